//! [`Literals`]: the paths without names, found without the matcher.

/// Paths of lengths that differ by this number share a bucket.
const BUCKETS: usize = 32;

/// The paths without names, by their length. Such a path takes precedence over every path with
/// names, so that a request for it does not need the matcher, which takes more time.
pub(super) struct Literals([Vec<(Box<str>, usize)>; BUCKETS]);

impl Literals {
    pub(super) fn new() -> Self {
        Self([const { Vec::new() }; BUCKETS])
    }

    /// Adds the path with this index, unless it has names, or braces that matchit unescapes.
    pub(super) fn add(&mut self, path: &str, index: usize) {
        if !path.contains(['{', '}']) {
            self.0[path.len() % BUCKETS].push((path.into(), index));
        }
    }

    /// The index of this path.
    #[inline]
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        let bucket = &self.0[path.len() % BUCKETS];
        bucket.iter().find(|(literal, _)| **literal == *path).map(|(_, index)| *index)
    }
}
