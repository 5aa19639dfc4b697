//! [`FileRequest`]: a file below a root that another thread opens, as this one may not.
//!
//! Landlock(7) binds its rules to directories, not to their paths, and no thread can be granted
//! more later on. So a root that is removed and made again is out of reach for threads that were
//! confined to the first one. A program may keep one thread that is confined less, and have that
//! open what the others ask for: what is opened is always beneath the root.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::fstat;
use rustix::io::Errno;

use super::root::open::{READ_ONLY, open_at, open_root};

type Opener = dyn Fn(FileRequest) -> std::io::Result<OwnedFd> + Send + Sync;

static OPENER: OnceLock<Box<Opener>> = OnceLock::new();

/// A file that is to be opened for a [`Files`](super::Files) handler, whose thread was denied it.
#[derive(Debug)]
pub struct FileRequest {
    root: PathBuf,
    /// The device and inode of the root that the handler holds.
    identity: (u64, u64),
    path: Vec<u8>,
    openat2: bool,
}

impl FileRequest {
    /// Has every file of the process's [`Files`](super::Files) handlers that their own threads may
    /// not open (`EACCES`) opened by `opener`, which may pass the request to another thread. It can
    /// be set once; `false`: it was set before.
    ///
    /// It is for programs that confine themselves with Landlock; the daemon is one.
    pub fn set_opener(
        opener: impl Fn(Self) -> std::io::Result<OwnedFd> + Send + Sync + 'static,
    ) -> bool {
        OPENER.set(Box::new(opener)).is_ok()
    }

    /// The absolute path of the root that the file is below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the file for reading, with the rights of the calling thread.
    ///
    /// # Errors
    /// Those of openat2(2); `EACCES` if another directory is at the root's path than the one that
    /// the handler holds.
    pub fn open(&self) -> std::io::Result<OwnedFd> {
        let dir = open_root(&self.root)?;
        if identity(&dir)? != self.identity {
            return Err(Errno::ACCESS.into());
        }
        Ok(open_at(&dir, &self.path, READ_ONLY, self.openat2)?)
    }
}

fn identity(dir: &OwnedFd) -> Result<(u64, u64), Errno> {
    fstat(dir).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Has a file opened that was denied to this thread.
pub(super) fn open(
    root: &Path,
    dir: &OwnedFd,
    path: &[u8],
    openat2: bool,
) -> Result<OwnedFd, Errno> {
    let opener = OPENER.get().ok_or(Errno::ACCESS)?;
    let (root, path) = (root.to_owned(), path.to_owned());
    let request = FileRequest { root, identity: identity(dir)?, path, openat2 };
    opener(request).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
}
