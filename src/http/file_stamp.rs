//! [`FileStamp`]: the version of a file, and its entity tag.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustix::fs::Stat;

/// A file whose modification time is less than this many seconds ago may change again without
/// getting another time: file systems store times in steps of up to two seconds.
const TIMESTAMP_STEP: u64 = 2;

/// The metadata by which an unchanged file is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    dev: u64,
    ino: u64,
    pub(crate) size: u64,
    pub(crate) modified: (i64, u64),
    changed: (i64, u64),
    /// The file was modified so recently that it may change again without getting another
    /// modification time.
    pub(crate) modified_just_now: bool,
    /// The file was changed so recently, by its change time, that it is read again at the next
    /// check.
    pub(crate) changed_just_now: bool,
}

impl FileStamp {
    /// `now` is in seconds since 1970.
    pub(crate) fn new(stat: &Stat, now: u64) -> Self {
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            modified_just_now: now.abs_diff(modified.0) < TIMESTAMP_STEP,
            changed_just_now: now.abs_diff(stat.st_ctime) < TIMESTAMP_STEP,
        }
    }

    /// The entity tag: different for each file, size, modification time and change time. It is weak
    /// while these might not distinguish two versions (RFC 9110 §8.8.1).
    ///
    /// The change time is included because no program can set it. Builds that set all modification
    /// times to one value replace files by others of the same size, and file systems reuse inodes.
    /// The hash is not keyed, so that a tag survives a restart. It discloses neither inode nor
    /// change time.
    pub(crate) fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (self.ino, self.size, self.modified, self.changed).hash(&mut hasher);
        let weak = if self.modified_just_now { "W/" } else { "" };
        format!("{weak}\"{:x}-{:016x}\"", self.size, hasher.finish())
    }
}
