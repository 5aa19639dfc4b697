//! The file of a Unix socket: taken over when stale, removed when its owner goes.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::Addr;
use crate::net::attempt::AttemptError;

/// A socket's file that this program made. Dropping it removes the file, if it is still the same
/// one: another server may have put its own in its place.
#[derive(Debug)]
pub(super) struct BoundPath {
    path: PathBuf,
    identity: (u64, u64),
}

impl BoundPath {
    /// Takes charge of the file that bind(2) has just made.
    fn of(path: &Path) -> io::Result<Self> {
        // The working directory may change before the end.
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
            // Nobody is left to tell, and the next start takes a stale file over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// bind(2), where a stale socket file is replaced. The second part stands for the file, if there is
/// one.
pub(super) fn bind(fd: &OwnedFd, addr: &Addr) -> Result<Option<BoundPath>, AttemptError> {
    let any = addr.to_any()?;
    match (net::bind(fd, &any), addr) {
        (Err(Errno::ADDRINUSE), Addr::Path(path)) => {
            evict(path, addr)?;
            net::bind(fd, &any)?;
        }
        (result, _) => result?,
    }
    Ok(match addr {
        Addr::Path(path) => Some(BoundPath::of(path)?),
        _ => None,
    })
}

/// Removes a socket file that no socket is behind any more.
fn evict(path: &Path, addr: &Addr) -> Result<(), AttemptError> {
    let file = fs::symlink_metadata(path)?;
    if !file.file_type().is_socket() {
        return Err(AttemptError {
            reason: io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            ),
            hint: Some("choose another path, or move that file away".to_owned()),
        });
    }
    // Of whatever type the other socket is: a live one answers with success, EAGAIN or EPROTOTYPE.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let probe = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match net::connect(&probe, &addr.to_any()?) {
        Err(Errno::CONNREFUSED) => {
            log::info!("replacing the stale socket file {}", path.display());
            Ok(fs::remove_file(path)?)
        }
        // Somebody else has just removed it.
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ACCESS) => Err(Errno::ACCESS.into()),
        Ok(()) | Err(_) => Err(AttemptError {
            reason: Errno::ADDRINUSE.into(),
            hint: Some("another program listens there; choose another path or stop it".to_owned()),
        }),
    }
}
