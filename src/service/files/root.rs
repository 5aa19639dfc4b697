//! The root directory, and opening what lies beneath it: nothing else can be reached.
//!
//! The kernel does it where it can: openat2(2) with `RESOLVE_BENEATH` resolves a path, symbolic links
//! included, and fails with `EXDEV` as soon as it would leave the root. Where the kernel is older than
//! 5.6, or a sandbox denies the call, [`walk`] does the same name by name.

mod walk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// How a file is opened. A FIFO does not block, a terminal does not become the process's own.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How often openat2(2) is tried when it cannot tell whether a rename led it astray (`EAGAIN`).
const TRIES: usize = 16;

/// The root directory, held open: the path that led to it is never looked at again.
#[derive(Debug)]
pub(super) struct Root {
    dir: OwnedFd,
    path: PathBuf,
    openat2: bool,
}

/// Something below the root that was opened, and what it was then.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
}

impl Opened {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

impl Root {
    /// Opens the root directory.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let dir = rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| unfit(path, errno))?;
        let mut root = Self { dir, path: path.to_owned(), openat2: true };
        // It has to be readable too, and the first try tells whether openat2 is there.
        match root.beneath(b"") {
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                log::debug!("no openat2(2) here: paths are resolved name by name");
                root.openat2 = false;
                root.beneath(b"").map_err(|errno| unfit(path, errno))?;
            }
            Err(errno) => return Err(unfit(path, errno)),
            Ok(_) => {}
        }
        Ok(root)
    }

    /// Where it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what is at `path` below the root, for reading, without ever waiting for it.
    ///
    /// # Errors
    /// Those of openat2(2): `EXDEV` or `ELOOP` where a symbolic link leads out of the root or in a
    /// circle.
    pub(super) fn beneath(&self, path: &[u8]) -> Result<Opened, Errno> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = if path.is_empty() { b"." } else { path };
        let fd = if self.openat2 { self.resolve(path) } else { walk::open(&self.dir, path) }?;
        let stat = fstat(&fd)?;
        Ok(Opened { file: fd.into(), stat })
    }

    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut last = Errno::AGAIN;
        for _ in 0..TRIES {
            match openat2(&self.dir, path, READ, Mode::empty(), within) {
                Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    /// The same root without openat2(2), as on an older kernel.
    #[cfg(test)]
    pub(super) fn without_openat2(mut self) -> Self {
        self.openat2 = false;
        self
    }
}

fn unfit(path: &Path, errno: Errno) -> Error {
    let hint = match errno {
        Errno::NOENT => "create it, or name the directory that has the files",
        Errno::NOTDIR => "the root is a directory; name the one that the file is in",
        Errno::ACCESS => "it has to be readable and searchable for the user that serves it",
        _ => "the root is a directory that the user that serves it may read",
    };
    Error::new(ErrorKind::Config, format!("cannot serve {}", path.display()))
        .with_source(io::Error::from(errno))
        .with_hint(hint)
}

#[cfg(test)]
mod tests;
