//! Listings that are remembered: a directory is read once for all who ask within the time that what is
//! remembered is believed.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;

use super::options::FileCache;
use crate::pool::slots::lock;

/// The part of the memory for contents that listings may take beside it.
const PART: usize = 4;
/// Listings remembered, however small.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The listings of a root.
#[derive(Debug)]
pub(super) struct Pages {
    revalidate: Duration,
    /// What all of them may take, with their paths.
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pages: LruCache<Box<[u8]>, Page>,
    bytes: usize,
}

#[derive(Debug)]
struct Page {
    body: Bytes,
    made: Instant,
}

impl Pages {
    /// `None` if nothing is to be remembered.
    pub(super) fn new(options: &FileCache) -> Option<Self> {
        let state = State { pages: LruCache::new(ENTRIES), bytes: 0 };
        (options.entries > 0).then(|| Self {
            revalidate: options.revalidate,
            bytes_max: options.bytes / PART,
            state: Mutex::new(state),
        })
    }

    /// The page by this name, made if it is not there or too old. While a page that is too old is made
    /// again, other threads get the old one.
    ///
    /// # Errors
    /// Those of making it.
    pub(super) fn get<E>(
        &self,
        name: &[u8],
        now: Instant,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        if let Some(body) = self.fresh(name, now) {
            return Ok(body);
        }
        match make() {
            Ok(text) => {
                let body = Bytes::from(text);
                lock(&self.state).put(name, &body, now, self.bytes_max);
                Ok(body)
            }
            Err(error) => {
                lock(&self.state).remove(name);
                Err(error)
            }
        }
    }

    fn fresh(&self, name: &[u8], now: Instant) -> Option<Bytes> {
        let mut state = lock(&self.state);
        let page = state.pages.get_mut(name)?;
        if now.saturating_duration_since(page.made) < self.revalidate {
            return Some(page.body.clone());
        }
        // The caller makes it again.
        page.made = now;
        None
    }
}

impl State {
    fn put(&mut self, name: &[u8], body: &Bytes, made: Instant, bytes_max: usize) {
        self.remove(name);
        let size = name.len() + body.len();
        if size > bytes_max {
            return;
        }
        while self.bytes + size > bytes_max || self.pages.len() == ENTRIES.get() {
            let Some((name, page)) = self.pages.pop_lru() else { break };
            self.bytes -= name.len() + page.body.len();
        }
        self.bytes += size;
        self.pages.put(name.into(), Page { body: body.clone(), made });
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(page) = self.pages.pop(name) {
            self.bytes -= name.len() + page.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_made_once_while_it_is_believed() {
        let pages = Pages::new(&FileCache::default()).unwrap();
        let start = Instant::now();
        let get = |text: &str, ms| {
            let made = || Ok::<_, ()>(text.to_owned());
            pages.get(b"a", start + Duration::from_millis(ms), made).unwrap()
        };
        assert_eq!(get("one", 0), "one");
        assert_eq!(get("two", 999), "one");
        assert_eq!(get("two", 1000), "two");
        // One who makes it lets the others have the old one, and a failure forgets it.
        let late = start + Duration::from_secs(9);
        let failed = pages.get(b"a", late, || {
            assert_eq!(pages.get(b"a", late, || Err(())).unwrap(), "two");
            Err(())
        });
        assert!(failed.is_err());
        assert_eq!(lock(&pages.state).bytes, 0);
    }

    #[test]
    fn pages_are_bounded_in_number_and_bytes() {
        let options = FileCache { bytes: 4 * 10_000, ..FileCache::default() };
        let pages = Pages::new(&options).unwrap();
        let put = |name: &str, length: usize| {
            let made = || Ok::<_, ()>("x".repeat(length));
            pages.get(name.as_bytes(), Instant::now(), made).unwrap().len()
        };
        let state = || lock(&pages.state).pages.len();
        assert_eq!(put("too long", 10_000), 10_000);
        assert_eq!(state(), 0);
        for n in 0..1000 {
            put(&n.to_string(), 20);
        }
        assert_eq!(state(), ENTRIES.get());
        for n in 0..10 {
            put(&format!("long-{n}"), 4000);
        }
        assert_eq!(state(), 2);
        assert_eq!(lock(&pages.state).bytes, 2 * 4006);
        assert!(Pages::new(&FileCache { entries: 0, ..options }).is_none());
    }
}
