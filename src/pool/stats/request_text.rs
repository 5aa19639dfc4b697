//! [`RequestText`]: the method and the path of the request that a worker serves.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a method, and of a path, that are kept.
const METHOD_BYTES: usize = 8;
const PATH_BYTES: usize = 64;
const PATH_WORDS: usize = PATH_BYTES / 8;

/// The start of a request line in words that one thread writes. It is part of a seqlock: see
/// [`ActivityCell`](super::worker_state::ActivityCell).
#[derive(Debug, Default)]
pub(super) struct RequestText {
    /// The method, filled up with zeros; 0: there is no request.
    method: AtomicU64,
    /// The path, filled up with zeros after its last word.
    path: [AtomicU64; PATH_WORDS],
    /// How many words of the path are set.
    words: AtomicU64,
}

impl RequestText {
    pub(super) fn clear(&self) {
        self.method.store(0, Relaxed);
    }

    pub(super) fn set(&self, method: &[u8], path: &[u8]) {
        let path = &path[..path.len().min(PATH_BYTES)];
        let method = &method[..method.len().min(METHOD_BYTES)];
        self.method.store(word(method), Relaxed);
        let (chunks, rest) = path.as_chunks();
        for (to, from) in self.path.iter().zip(chunks) {
            to.store(u64::from_le_bytes(*from), Relaxed);
        }
        if let Some(last) = self.path.get(chunks.len()) {
            last.store(word(rest), Relaxed);
        }
        self.words.store(path.len().div_ceil(8) as u64, Relaxed);
    }

    /// The words as they are, to be turned into text once they are known to belong together.
    pub(super) fn read(&self) -> [u64; PATH_WORDS + 2] {
        let mut words = [0; PATH_WORDS + 2];
        words[0] = self.method.load(Relaxed);
        words[1] = self.words.load(Relaxed);
        for (to, from) in words[2..].iter_mut().zip(&self.path) {
            *to = from.load(Relaxed);
        }
        words
    }
}

/// The text of words that [`RequestText::read`] returned: `GET /path`.
pub(super) fn text(words: [u64; PATH_WORDS + 2]) -> Option<String> {
    let [method, count, path @ ..] = words;
    if method == 0 {
        return None;
    }
    let count = (count as usize).min(PATH_WORDS);
    let bytes = path[..count].iter().flat_map(|word| word.to_le_bytes());
    let text = method.to_le_bytes().into_iter().chain([b' ']).chain(bytes);
    let bytes: Vec<u8> = text.filter(|byte| *byte != 0).collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Up to eight bytes, the first one lowest. A loop, as so few bytes are not worth a call of memcpy.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_request_line_is_read_as_it_was_written() {
        let cell = RequestText::default();
        assert_eq!(text(cell.read()), None);
        for (method, path) in
            [("GET", "/a/long/path/of/more/than/a/word"), ("POST", "/"), ("A", "")]
        {
            cell.set(method.as_bytes(), path.as_bytes());
            assert_eq!(text(cell.read()), Some(format!("{method} {path}")));
        }
        let long = format!("/{}", "x".repeat(100));
        cell.set(b"PROPPATCH", long.as_bytes());
        assert_eq!(text(cell.read()), Some(format!("PROPPATC {}", &long[..64])));
        cell.clear();
        assert_eq!(text(cell.read()), None);
    }
}
