//! [`FileRequest`]: a file below a root that another thread opens, because this one may not.
//!
//! Landlock(7) ties its rules to directories, not to their paths, and a thread cannot be granted
//! more rights later. So a root that is removed and created again is out of reach for threads that
//! were confined to the first one. A program may keep one less confined thread, which opens files
//! for the others. Every file that it opens is beneath the root.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::fstat;
use rustix::io::Errno;

use super::root::open::{READ_ONLY, open_at, open_root};

type Opener = dyn Fn(FileRequest) -> std::io::Result<OwnedFd> + Send + Sync;

static OPENER: OnceLock<Box<Opener>> = OnceLock::new();

/// A request to open a file for a [`Files`](super::Files) handler whose thread may not open it.
#[derive(Debug)]
pub struct FileRequest {
    root: PathBuf,
    /// The device and inode of the root that the handler has open.
    identity: (u64, u64),
    path: Vec<u8>,
    openat2: bool,
}

impl FileRequest {
    /// Sets the function that opens the files which the threads of the process's
    /// [`Files`](super::Files) handlers may not open themselves (`EACCES`). It may pass the request
    /// to another thread. It can be set once; returns `false` if it was set before.
    ///
    /// This is for programs that confine themselves with Landlock, such as the daemon.
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
    /// Those of openat2(2); `EACCES` if the root's path refers to another directory than the one
    /// that the handler has open.
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

/// Opens a file that this thread may not open, through the opener.
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
