//! Warnings of files that the server could not reopen with the rights that it runs with. They are
//! logged at the start, and `millpond check` prints them.

use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Access as May, access};
use rustix::process::geteuid;

use super::tls;
use crate::access_log::writer;
use crate::failure::{Failure, code};
use crate::os::user::User;
use crate::settings::{AccessLogFormat, Loaded};

/// One warning for each file that the calling thread could not reopen.
pub(super) fn warnings(loaded: &Loaded) -> Vec<String> {
    let settings = &loaded.settings;
    let sites = || std::iter::once(&settings.site).chain(&settings.sites);
    let files =
        loaded.file.as_deref().into_iter().chain(sites().filter_map(|s| s.users.as_deref()));
    let certificates = tls::files(settings);
    let files = files.chain(certificates.iter().map(PathBuf::as_path));
    let files = files.map(|path| (path, May::READ_OK));
    let roots = sites().filter_map(|site| site.root.as_deref()).map(|path| (path, May::EXEC_OK));
    let log = match settings.access_log.format {
        AccessLogFormat::Off => None,
        _ => writer::reopen_problem(&settings.access_log),
    };
    files.chain(roots).filter_map(|(path, may)| unreadable(path, may)).chain(log).collect()
}

fn unreadable(path: &Path, may: May) -> Option<String> {
    let error = access(path, may).err()?.into();
    let what = format!("reload: HUP cannot read {}", path.display());
    Some(Failure::io(code::CONFIG, what, error).message().to_owned())
}

/// The warnings for another user, if the calling thread may become that user. Rights belong to a
/// thread, so that a thread of its own can check.
pub(super) fn warnings_as(user: &User, loaded: &Loaded) -> Result<Vec<String>, Failure> {
    if !geteuid().is_root() {
        return Ok(Vec::new());
    }
    thread::scope(|scope| {
        let check = || user.assume().map(|()| warnings(loaded));
        scope.spawn(check).join().unwrap_or_else(|_| Ok(Vec::new()))
    })
}
