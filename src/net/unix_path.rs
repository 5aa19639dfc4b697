//! The file of a Unix socket: replaced if it is stale, removed when the socket is closed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType};

use super::Addr;
use super::attempt::AttemptError;
use super::socket;

/// The file that bind(2) made for a socket. Dropping it removes the file, unless another program
/// has replaced it with its own.
#[derive(Debug)]
pub(super) struct BoundPath {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl BoundPath {
    fn new(path: &Path) -> io::Result<Self> {
        // The working directory may have changed by the time the file is removed.
        let path = std::path::absolute(path)?;
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { path, identity: (file.dev(), file.ino()) })
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if same {
            // A file that remains is stale, so the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// bind(2) that replaces a stale file. Returns the file, if the address has one.
pub(super) fn bind(fd: &OwnedFd, addr: &Addr) -> Result<Option<BoundPath>, AttemptError> {
    let any = addr.to_any()?;
    match (net::bind(fd, &any), addr) {
        (Err(Errno::ADDRINUSE), Addr::Path(path)) => {
            remove_stale(path, addr)?;
            net::bind(fd, &any)?;
        }
        (result, _) => result?,
    }
    Ok(match addr {
        Addr::Path(path) => Some(BoundPath::new(path)?),
        _ => None,
    })
}

/// Removes the file of a socket that is no longer open. An error if a program still uses it.
fn remove_stale(path: &Path, addr: &Addr) -> Result<(), AttemptError> {
    let file = fs::symlink_metadata(path)?;
    if !file.file_type().is_socket() {
        return Err(AttemptError {
            reason: io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the file exists and is not a socket",
            ),
            hint: Some("choose another path, or move that file away".to_owned()),
        });
    }
    // connect(2) to an open socket of any type succeeds, or fails with EAGAIN or EPROTOTYPE.
    let probe = socket::open(AddressFamily::UNIX, SocketType::STREAM, None)?;
    match net::connect(&probe, &addr.to_any()?) {
        Err(Errno::CONNREFUSED) => {
            log::info!("replacing the stale socket file {}", path.display());
            Ok(fs::remove_file(path)?)
        }
        // Another program has just removed it.
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ACCESS) => Err(Errno::ACCESS.into()),
        Ok(()) | Err(_) => Err(AttemptError {
            reason: Errno::ADDRINUSE.into(),
            hint: Some("another program listens there; choose another path or stop it".to_owned()),
        }),
    }
}
