//! The cache of paths: bounded in entries, descriptors and bytes. Its entries are used for a
//! second, and then checked against the file system again.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;
use lru::LruCache;

use super::options::FileCache;
use super::resource::Resource;
use crate::sync::lock;

/// The maximum number of shards. More would not help: a shard is locked for some hundred
/// nanoseconds.
const SHARDS_MAX: usize = 8;
/// The minimum number of entries in a shard. With fewer, the distribution of paths over the shards
/// would decide which entries are evicted.
const SHARD_MIN: usize = 64;
/// The longest path without a file that is cached, in bytes, which bounds their memory.
const MISSING_PATH_MAX: usize = 512;

/// A file or a directory, as found at a path.
#[derive(Debug)]
pub(super) enum Node {
    File(Resource),
    /// A directory without an index, or one whose path lacks the trailing slash.
    Directory,
}

/// A file or directory, and when it was last checked against the file system.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) node: Node,
    /// When it was last checked, in milliseconds since the cache was created.
    checked: AtomicU64,
}

/// The result of a lookup in the cache.
#[derive(Debug)]
pub(super) enum Lookup {
    Unknown,
    Fresh(Arc<Entry>),
    /// The entry has to be checked against the file system.
    Stale(Arc<Entry>),
    /// There is no file at the path; the response has this status.
    Missing(StatusCode),
}

/// The cache, divided into shards by path.
#[derive(Debug)]
pub(super) struct Cache {
    shards: Box<[Mutex<Shard>]>,
    epoch: Instant,
    revalidate: u64,
    /// The maximum for one shard.
    bytes: usize,
    descriptors: usize,
}

#[derive(Debug)]
struct Shard {
    entries: LruCache<Box<[u8]>, Arc<Entry>>,
    missing: LruCache<Box<[u8]>, (StatusCode, u64)>,
    bytes: usize,
    descriptors: usize,
}

impl Cache {
    /// `None` if the options turn the cache off.
    pub(super) fn new(options: &FileCache) -> Option<Self> {
        let shards = (options.entries / SHARD_MIN).clamp(1, SHARDS_MAX);
        let entries = NonZeroUsize::new(options.entries / shards)?;
        let missing = NonZeroUsize::new(entries.get() / 4).unwrap_or(NonZeroUsize::MIN);
        let shard = || Shard {
            entries: LruCache::new(entries),
            missing: LruCache::new(missing),
            bytes: 0,
            descriptors: 0,
        };
        Some(Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            epoch: Instant::now(),
            revalidate: u64::try_from(options.revalidate.as_millis()).unwrap_or(u64::MAX),
            bytes: options.bytes / shards,
            descriptors: options.descriptors / shards,
        })
    }

    pub(super) fn get(&self, path: &[u8]) -> Lookup {
        let now = self.now();
        let fresh = |checked: u64| now.saturating_sub(checked) < self.revalidate;
        let mut shard = self.shard(path);
        if let Some(entry) = shard.entries.get(path) {
            let entry = Arc::clone(entry);
            return match fresh(entry.checked.load(Ordering::Relaxed)) {
                true => Lookup::Fresh(entry),
                false => Lookup::Stale(entry),
            };
        }
        match shard.missing.get(path) {
            Some((status, checked)) if fresh(*checked) => Lookup::Missing(*status),
            _ => Lookup::Unknown,
        }
    }

    /// Records that an entry was found unchanged.
    pub(super) fn confirm(&self, entry: &Entry) {
        entry.checked.store(self.now(), Ordering::Relaxed);
    }

    /// Stores the file or directory at a path, if there is room for it, and evicts the least
    /// recently used entries.
    pub(super) fn put(&self, path: &[u8], node: Node) -> Arc<Entry> {
        let entry = Arc::new(Entry { node, checked: AtomicU64::new(self.now()) });
        let (bytes, descriptors) = entry.weight();
        let mut shard = self.shard(path);
        shard.missing.pop(path);
        shard.remove(path);
        if bytes > self.bytes || descriptors > self.descriptors {
            return entry;
        }
        while shard.bytes + bytes > self.bytes
            || shard.descriptors + descriptors > self.descriptors
            || shard.entries.len() == shard.entries.cap().get()
        {
            shard.remove_oldest();
        }
        shard.bytes += bytes;
        shard.descriptors += descriptors;
        shard.entries.put(path.into(), Arc::clone(&entry));
        entry
    }

    /// Stores that there is no file at a path.
    pub(super) fn put_missing(&self, path: &[u8], status: StatusCode) {
        let now = self.now();
        let mut shard = self.shard(path);
        shard.remove(path);
        if path.len() <= MISSING_PATH_MAX {
            shard.missing.put(path.into(), (status, now));
        }
    }

    /// Removes all entries, which closes their descriptors.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.entries.clear();
            (shard.bytes, shard.descriptors) = (0, 0);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn shard(&self, path: &[u8]) -> std::sync::MutexGuard<'_, Shard> {
        let sum = path.iter().fold(0_usize, |sum, &byte| sum.wrapping_mul(31) + usize::from(byte));
        lock(&self.shards[sum % self.shards.len()])
    }
}

impl Shard {
    fn remove(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.pop(path) {
            self.forget(&entry);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_lru() {
            self.forget(&entry);
        }
    }

    fn forget(&mut self, entry: &Entry) {
        let (bytes, descriptors) = entry.weight();
        self.bytes -= bytes;
        self.descriptors -= descriptors;
    }
}

impl Entry {
    /// An entry that is not in the cache.
    pub(super) fn uncached(node: Node) -> Arc<Self> {
        Arc::new(Self { node, checked: AtomicU64::new(0) })
    }

    fn weight(&self) -> (usize, usize) {
        match &self.node {
            Node::File(resource) => resource.weight(),
            Node::Directory => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn cache(entries: usize, revalidate: Duration) -> Cache {
        Cache::new(&FileCache { entries, revalidate, ..FileCache::default() }).unwrap()
    }

    #[test]
    fn the_least_recently_used_entry_is_evicted_first() {
        let cache = cache(2, Duration::from_secs(3600));
        cache.put(b"a", Node::Directory);
        cache.put(b"b", Node::Directory);
        assert!(matches!(cache.get(b"a"), Lookup::Fresh(_)));
        cache.put(b"c", Node::Directory);
        assert!(matches!(cache.get(b"a"), Lookup::Fresh(_)));
        assert!(matches!(cache.get(b"b"), Lookup::Unknown));
        cache.put_missing(b"a", StatusCode::NOT_FOUND);
        assert!(matches!(cache.get(b"a"), Lookup::Missing(StatusCode::NOT_FOUND)));
        cache.put(b"a", Node::Directory);
        assert!(matches!(cache.get(b"a"), Lookup::Fresh(_)));
    }

    #[test]
    fn paths_without_a_file_evict_no_files() {
        let cache = cache(1024, Duration::from_secs(3600));
        cache.put(b"a", Node::Directory);
        for n in 0..10_000 {
            cache.put_missing(format!("missing-{n}").as_bytes(), StatusCode::NOT_FOUND);
        }
        assert!(matches!(cache.get(b"a"), Lookup::Fresh(_)));
        let remembered: usize = cache.shards.iter().map(|shard| lock(shard).missing.len()).sum();
        assert_eq!(remembered, 256);
    }

    #[test]
    fn an_entry_becomes_stale() {
        let cache = cache(2, Duration::ZERO);
        cache.put(b"a", Node::Directory);
        assert!(matches!(cache.get(b"a"), Lookup::Stale(_)));
        cache.put_missing(b"b", StatusCode::NOT_FOUND);
        assert!(matches!(cache.get(b"b"), Lookup::Unknown));
        assert!(Cache::new(&FileCache { entries: 0, ..FileCache::default() }).is_none());
    }
}
