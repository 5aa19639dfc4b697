//! The system calls that open the root, and files below it.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::walk;

/// The flags for opening a file. A FIFO does not block, and a terminal does not become the
/// controlling one.
pub(in crate::handlers::files) const READ_ONLY: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How often openat2(2) is tried if a concurrent rename prevents it from resolving a path safely
/// (`EAGAIN`).
const OPENAT2_TRIES: usize = 16;

/// The flags for opening a directory as a path only, for which it need not be readable.
pub(in crate::handlers::files) const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the file or directory at `path` below a directory.
pub(in crate::handlers::files) fn open_at(
    dir: &OwnedFd,
    path: &[u8],
    flags: OFlags,
    openat2: bool,
) -> Result<OwnedFd, Errno> {
    if !openat2 {
        return walk::open(dir, path, flags);
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut last = Errno::AGAIN;
    for _ in 0..OPENAT2_TRIES {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), within) {
            Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
            outcome => return outcome,
        }
    }
    Err(last)
}

/// Opens the root directory by its path.
pub(in crate::handlers::files) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, DIRECTORY, Mode::empty())
}
