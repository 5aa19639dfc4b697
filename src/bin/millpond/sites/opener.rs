//! The one thread that is confined less than the others: it opens files below roots that were
//! removed and made again.
//!
//! Landlock's rules are for the directories that were there when they were made. The server's
//! threads are confined to the roots; this one may read the directories in which the roots are,
//! does nothing else, and opens only what is beneath a root.

use std::io::{self, Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use log::warn;
use millpond::handlers::FileRequest;

use crate::os::sandbox::{Reach, restrict};

/// Files that wait for the thread.
const WAITING: usize = 16;

/// A file to open, and the way back.
type Job = (FileRequest, SyncSender<io::Result<OwnedFd>>);

/// Starts the thread, for these roots. To be called before the process is confined.
pub(crate) fn start(roots: impl IntoIterator<Item = PathBuf>) {
    let roots: Vec<_> =
        roots.into_iter().filter_map(|root| std::path::absolute(root).ok()).collect();
    if roots.is_empty() {
        return;
    }
    let (sender, jobs) = sync_channel::<Job>(WAITING);
    let started = thread::Builder::new().name("opener".to_owned()).spawn(move || {
        let read = roots.iter().flat_map(|root| places(root)).collect();
        // One that cannot be confined is no worse than a process that cannot.
        let _ = restrict(&Reach { read, write: Vec::new() });
        run(&roots, &jobs);
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
        Err(error) => warn!("a root that is made again is served after a restart only: {error}"),
    }
}

/// The directories in which a root is, by its path and where that leads to.
fn places(root: &Path) -> impl Iterator<Item = PathBuf> {
    let real = root.canonicalize().ok();
    [Some(root.to_owned()), real]
        .into_iter()
        .flatten()
        .filter_map(|path| Some(path.parent()?.to_owned()))
}

/// Opens what is asked for, below these roots, for as long as the process runs.
fn run(roots: &[PathBuf], jobs: &Receiver<Job>) {
    for (request, reply) in jobs {
        let known = roots.iter().any(|root| root == request.root());
        let denied = || Err(Error::from(ErrorKind::PermissionDenied));
        // The worker waits for the reply.
        let _ = reply.send(if known { request.open() } else { denied() });
    }
}
