//! The cache of listings: all requests within `revalidate` share one reading of a directory.
//!
//! A long listing is a file in memory (memfd_create(2)) that is sent with sendfile(2) like other
//! files: a slow client occupies neither a worker nor memory of its own.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;
use rustix::fs::{MemfdFlags, memfd_create};

use super::options::FileCache;
use crate::http::Body;
use crate::sync::lock;

/// Listings may take one in this many bytes of the cache's memory, in addition to it.
const CACHE_SHARE: usize = 4;
/// The maximum number of cached listings.
const PAGES_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");
/// Listings above this size become files.
const IN_MEMORY_MAX: usize = 16 << 10;

/// A listing, shared by all responses that send it.
#[derive(Clone, Debug)]
pub(super) struct Page {
    content: PageContent,
    length: usize,
    /// A hash of the text.
    sum: u64,
}

#[derive(Clone, Debug)]
enum PageContent {
    Memory(Bytes),
    File(Arc<File>),
}

/// The cached listings of a root.
#[derive(Debug)]
pub(super) struct Pages {
    revalidate: Duration,
    /// The maximum size of all cached listings, including their paths; and of all those that are
    /// files.
    bytes_max: usize,
    hasher: RandomState,
    state: Mutex<PageTable>,
}

#[derive(Debug)]
struct PageTable {
    pages: LruCache<Box<[u8]>, (Page, Instant)>,
    bytes: usize,
    /// The pages that are files, and their sizes, including pages that are no longer cached but
    /// still being sent.
    files: Vec<(Weak<File>, usize)>,
}

impl Page {
    /// The page as the body of a response.
    pub(super) fn body(&self) -> Body {
        match &self.content {
            PageContent::Memory(bytes) => Body::from(bytes.clone()),
            PageContent::File(file) => Body::from_file(Arc::clone(file), 0, self.length as u64),
        }
    }
}

impl From<String> for Page {
    /// A page that is sent once.
    fn from(text: String) -> Self {
        Self { length: text.len(), content: PageContent::Memory(text.into()), sum: 0 }
    }
}

impl Pages {
    /// `None` if the options turn the cache off.
    pub(super) fn new(options: &FileCache) -> Option<Self> {
        let state = PageTable { pages: LruCache::new(PAGES_MAX), bytes: 0, files: Vec::new() };
        (options.entries > 0).then(|| Self {
            revalidate: options.revalidate,
            bytes_max: options.bytes / CACHE_SHARE,
            hasher: RandomState::new(),
            state: Mutex::new(state),
        })
    }

    /// The page with this name, built if it is missing or too old. While one thread rebuilds an old
    /// page, other threads get the old one.
    ///
    /// # Errors
    /// Those of building it.
    pub(super) fn get<E>(
        &self,
        name: &[u8],
        now: Instant,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<Page, E> {
        let old = match self.known(name, now) {
            Some((page, true)) => return Ok(page),
            known => known.map(|(page, _)| page),
        };
        match make() {
            Ok(text) => {
                let sum = self.hasher.hash_one(text.as_bytes());
                let page = match old {
                    // The old page may still be being sent to slow clients: this avoids a second
                    // copy.
                    Some(old) if (old.length, old.sum) == (text.len(), sum) => old,
                    _ => self.page(text, sum),
                };
                lock(&self.state).put(name, &page, now, self.bytes_max);
                Ok(page)
            }
            Err(error) => {
                lock(&self.state).remove(name);
                Err(error)
            }
        }
    }

    /// The cached page, and whether it is fresh.
    fn known(&self, name: &[u8], now: Instant) -> Option<(Page, bool)> {
        let mut state = lock(&self.state);
        let (page, made) = state.pages.get_mut(name)?;
        let fresh = now.saturating_duration_since(*made) < self.revalidate;
        if !fresh {
            // The caller rebuilds the page.
            *made = now;
        }
        Some((page.clone(), fresh))
    }

    fn page(&self, text: String, sum: u64) -> Page {
        let length = text.len();
        let file = (length > IN_MEMORY_MAX).then(|| self.file(&text)).flatten();
        let content = file.map_or_else(|| PageContent::Memory(text.into()), PageContent::File);
        Page { content, length, sum }
    }

    /// A text as a file in memory; `None` if such files already take too much memory, or the kernel
    /// refuses.
    fn file(&self, text: &str) -> Option<Arc<File>> {
        let mut state = lock(&self.state);
        state.files.retain(|(file, _)| file.strong_count() > 0);
        let bytes: usize = state.files.iter().map(|(_, length)| length).sum();
        if bytes + text.len() > self.bytes_max {
            return None;
        }
        let file = Arc::new(memory(text).ok()?);
        state.files.push((Arc::downgrade(&file), text.len()));
        Some(file)
    }
}

fn memory(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"listing", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

impl PageTable {
    fn put(&mut self, name: &[u8], page: &Page, made: Instant, bytes_max: usize) {
        self.remove(name);
        let size = name.len() + page.length;
        if size > bytes_max {
            return;
        }
        while self.bytes + size > bytes_max || self.pages.len() == PAGES_MAX.get() {
            let Some((name, (page, _))) = self.pages.pop_lru() else { break };
            self.bytes -= name.len() + page.length;
        }
        self.bytes += size;
        self.pages.put(name.into(), (page.clone(), made));
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some((page, _)) = self.pages.pop(name) {
            self.bytes -= name.len() + page.length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Page {
        fn text(&self) -> String {
            match &self.content {
                PageContent::Memory(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                PageContent::File(file) => {
                    use std::os::unix::fs::FileExt;
                    let mut bytes = vec![0; self.length];
                    file.read_exact_at(&mut bytes, 0).unwrap();
                    String::from_utf8(bytes).unwrap()
                }
            }
        }

        fn is_file(&self) -> bool {
            matches!(self.content, PageContent::File(_))
        }
    }

    #[test]
    fn a_fresh_page_is_built_once() {
        let pages = Pages::new(&FileCache::default()).unwrap();
        let start = Instant::now();
        let get = |text: &str, ms| {
            let made = || Ok::<_, ()>(text.to_owned());
            pages.get(b"a", start + Duration::from_millis(ms), made).unwrap().text()
        };
        assert_eq!(get("one", 0), "one");
        assert_eq!(get("two", 999), "one");
        assert_eq!(get("two", 1000), "two");
        // While one thread rebuilds the page, others get the old one. A failure removes it.
        let late = start + Duration::from_secs(9);
        let failed = pages.get(b"a", late, || {
            assert_eq!(pages.get(b"a", late, || Err(())).unwrap().text(), "two");
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
            pages.get(name.as_bytes(), Instant::now(), made).unwrap().length
        };
        let state = || lock(&pages.state).pages.len();
        assert_eq!(put("too long", 10_000), 10_000);
        assert_eq!(state(), 0);
        for n in 0..1000 {
            put(&n.to_string(), 20);
        }
        assert_eq!(state(), PAGES_MAX.get());
        for n in 0..10 {
            put(&format!("long-{n}"), 4000);
        }
        assert_eq!(state(), 2);
        assert_eq!(lock(&pages.state).bytes, 2 * 4006);
        assert!(Pages::new(&FileCache { entries: 0, ..options }).is_none());
    }

    #[test]
    fn a_long_page_is_a_file_and_counts_while_it_is_being_sent() {
        let options = FileCache { bytes: 4 * 50_000, ..FileCache::default() };
        let pages = Pages::new(&options).unwrap();
        let now = Instant::now();
        let get = |fill: &str, seconds| {
            let made = || Ok::<_, ()>(fill.repeat(20_000));
            pages.get(b"a", now + Duration::from_secs(seconds), made).unwrap()
        };
        let first = get("a", 0);
        assert!(first.is_file() && first.text() == "a".repeat(20_000));
        // Built again with the same text, it is the same file.
        let again = get("a", 5);
        assert!(again.is_file() && lock(&pages.state).files.len() == 1);
        let second = get("b", 10);
        assert!(second.is_file());
        // Both are still being sent: there is no room for a third.
        let third = get("c", 15);
        assert!(!third.is_file() && third.text() == "c".repeat(20_000));
        drop((first, again));
        assert!(get("d", 20).is_file());
    }
}
