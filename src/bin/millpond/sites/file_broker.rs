//! The file broker: a thread that opens files below roots that were removed and made again.
//!
//! The rules of Landlock are for the directories that existed when the rules were made. The threads
//! of the server are confined to the roots. The broker can read the directories that contain the
//! roots, serves no request, and opens only files below a root.

use std::io::{self, Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use log::warn;
use millpond::handlers::FileRequest;

use crate::os::sandbox::{AllowedPaths, restrict};

/// Requests that can wait for the broker.
const QUEUE: usize = 16;

/// A file to open, and the channel for the result.
type OpenRequest = (FileRequest, SyncSender<io::Result<OwnedFd>>);

/// Starts the broker for these roots. To be called before the process is confined.
pub(crate) fn start(roots: impl IntoIterator<Item = PathBuf>) {
    let roots: Vec<_> =
        roots.into_iter().filter_map(|root| std::path::absolute(root).ok()).collect();
    if roots.is_empty() {
        return;
    }
    let (sender, requests) = sync_channel::<OpenRequest>(QUEUE);
    let started = thread::Builder::new().name("opener".to_owned()).spawn(move || {
        let read = roots.iter().flat_map(|root| parent_directories(root)).collect();
        // Where the broker cannot be confined, the process cannot be confined either.
        let _ = restrict(&AllowedPaths { read, write: Vec::new() });
        run(&roots, &requests);
    });
    match started {
        Ok(_) => {
            FileRequest::set_opener(move |request| {
                let (reply, replies) = sync_channel(1);
                let ended = || Error::from(ErrorKind::PermissionDenied);
                sender.send((request, reply)).map_err(|_| ended())?;
                replies.recv().map_err(|_| ended())?
            });
        }
        Err(error) => {
            warn!(
                "cannot start the opener thread: {error}; a root that is made again needs a restart"
            );
        }
    }
}

/// The directories that contain a root: by its path, and by the path that symbolic links lead to.
fn parent_directories(root: &Path) -> impl Iterator<Item = PathBuf> {
    let real = root.canonicalize().ok();
    [Some(root.to_owned()), real]
        .into_iter()
        .flatten()
        .filter_map(|path| Some(path.parent()?.to_owned()))
}

/// Opens the requested files below these roots until the process ends.
fn run(roots: &[PathBuf], requests: &Receiver<OpenRequest>) {
    for (request, reply) in requests {
        let known = roots.iter().any(|root| root == request.root());
        let denied = || Err(Error::from(ErrorKind::PermissionDenied));
        // The worker waits for the reply, so that it cannot have dropped the channel.
        let _ = reply.send(if known { request.open() } else { denied() });
    }
}
