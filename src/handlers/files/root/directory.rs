//! [`Root`]: the directory that is served.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustix::fs::{Access, AtFlags, FileType, OFlags, Stat, accessat, fstat};
use rustix::io::Errno;

use super::open::{DIRECTORY, READ_ONLY, open_at, open_root};
use crate::error::{Error, ErrorKind};
use crate::handlers::files::opener;

/// The root directory, which remains open. Its path is resolved again only after the directory has
/// been removed.
#[derive(Debug)]
pub(in crate::handlers::files) struct Root {
    dir: ArcSwap<OwnedFd>,
    path: PathBuf,
    /// The absolute path, for resolving it again: the working directory may be the one that is
    /// removed.
    absolute_path: PathBuf,
    openat2: bool,
    /// Whether the file system counts the links to directories: a removed one then has none.
    has_links: bool,
}

/// A file or directory that was opened below the root, and its metadata at that time.
#[derive(Debug)]
pub(in crate::handlers::files) struct Opened {
    pub(in crate::handlers::files) file: File,
    pub(in crate::handlers::files) stat: Stat,
}

impl Opened {
    pub(in crate::handlers::files) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

impl Root {
    /// Opens the root directory. It must be searchable. If it is not readable, it has no listing.
    pub(in crate::handlers::files) fn open(path: &Path) -> Result<Self, Error> {
        let absolute_path = absolute_path(path);
        let has_links = |dir: &OwnedFd| fstat(dir).is_ok_and(|stat| stat.st_nlink > 0);
        let dir = match open_root(path) {
            // The working directory was removed, and perhaps created again.
            Ok(dir) if !has_links(&dir) => open_root(&absolute_path),
            outcome => outcome,
        };
        let dir = dir.map_err(|errno| open_error(path, errno, ""))?;
        let has_links = has_links(&dir);
        let dir = ArcSwap::from_pointee(dir);
        let mut root = Self { dir, path: path.to_owned(), absolute_path, openat2: true, has_links };
        // The first call shows whether openat2(2) works: sandboxes deny it with various errors.
        if root.open_at(&root.dir.load(), b".", DIRECTORY).is_err() {
            root.openat2 = false;
            root.open_at(&root.dir.load(), b".", DIRECTORY)
                .map_err(|errno| open_error(path, errno, ""))?;
            log::debug!("openat2(2) is not available: resolving paths name by name");
        }
        let readable = || accessat(&**root.dir.load(), c".", Access::READ_OK, AtFlags::empty());
        match root.read_at(&root.dir.load(), b".") {
            Err(Errno::ACCESS) if readable().is_err() => {}
            // The mode allows reading, and the kernel still denies it: the process is confined.
            Err(errno @ Errno::ACCESS) => return Err(open_error(path, errno, CONFINED_HINT)),
            Err(errno) => return Err(open_error(path, errno, "")),
            Ok(_) => {}
        }
        Ok(root)
    }

    /// The path with which the root was opened.
    pub(in crate::handlers::files) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file or directory at `path` below the root, for reading, and never blocks. A
    /// directory that may not be read is opened as a path only.
    ///
    /// # Errors
    /// Those of openat2(2): `EXDEV` or `ELOOP` for a symbolic link that leads outside the root or
    /// to itself.
    pub(in crate::handlers::files) fn beneath(&self, path: &[u8]) -> Result<Opened, Errno> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = if path.is_empty() { b"." } else { path };
        let dir = self.dir.load();
        match self.look(&dir, path) {
            Err(Errno::NOENT) if self.renew(&dir) => self.look(&self.dir.load(), path),
            outcome => outcome,
        }
    }

    fn look(&self, dir: &OwnedFd, path: &[u8]) -> Result<Opened, Errno> {
        let fd = match self.read_at(dir, path) {
            Err(Errno::ACCESS) => self.open_at(dir, path, DIRECTORY).map_err(|_| Errno::ACCESS),
            outcome => outcome,
        }?;
        let stat = fstat(&fd)?;
        // A root that was removed can still be opened through its descriptor.
        match path == b"." && self.is_removed(&stat) {
            true => Err(Errno::NOENT),
            false => Ok(Opened { file: fd.into(), stat }),
        }
    }

    /// If the root directory was removed, replaces it by the one that is at its path now. Returns
    /// `false` if there is none, or if the root still exists.
    fn renew(&self, dir: &Arc<OwnedFd>) -> bool {
        if !fstat(&**dir).is_ok_and(|stat| self.is_removed(&stat)) {
            return false;
        }
        if !Arc::ptr_eq(dir, &self.dir.load()) {
            // Another thread has already replaced it.
            return true;
        }
        let Ok(dir) = open_root(&self.absolute_path) else { return false };
        self.dir.store(Arc::new(dir));
        log::info!("{} was removed and created again", self.path.display());
        true
    }

    fn is_removed(&self, root: &Stat) -> bool {
        self.has_links && root.st_nlink == 0
    }

    fn open_at(&self, dir: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        open_at(dir, path, flags, self.openat2)
    }

    /// Opens for reading, through the process's opener if this thread may not.
    fn read_at(&self, dir: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.open_at(dir, path, READ_ONLY) {
            Err(Errno::ACCESS) => opener::open(&self.absolute_path, dir, path, self.openat2),
            outcome => outcome,
        }
    }

    /// The same root without openat2(2), as on an older kernel.
    #[cfg(test)]
    pub(in crate::handlers::files) fn without_openat2(mut self) -> Self {
        self.openat2 = false;
        self
    }
}

/// The hint for a directory that its mode would let the process read.
const CONFINED_HINT: &str = "its mode allows it, and the confinement (Landlock) does not: add it to \
                        `reach`, and restart";

/// The absolute path of a root. If the working directory was removed, the path is relative to the
/// one that was current when the first root was opened.
fn absolute_path(path: &Path) -> PathBuf {
    static FIRST_WORKING_DIR: OnceLock<PathBuf> = OnceLock::new();
    match std::env::current_dir() {
        Ok(dir) => {
            let _ = FIRST_WORKING_DIR.set(dir);
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
        }
        Err(_) => {
            let joined = FIRST_WORKING_DIR.get().map(|dir| std::path::absolute(dir.join(path)));
            joined.and_then(Result::ok).unwrap_or_else(|| path.to_owned())
        }
    }
}

/// The error for a path that cannot be a root, with this hint or the usual one.
fn open_error(path: &Path, errno: Errno, hint: &str) -> Error {
    let usual = match errno {
        Errno::NOENT => "create it, or serve the directory that contains the files",
        Errno::NOTDIR => "expected a directory: serve the one that contains the file",
        Errno::ACCESS => "the user of the server must be able to search it",
        _ => "expected a directory that the user of the server can search",
    };
    Error::new(ErrorKind::Config, format!("cannot serve {}", path.display()))
        .with_source(io::Error::from(errno))
        .with_hint(if hint.is_empty() { usual } else { hint })
}
