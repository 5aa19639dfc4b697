//! What a reload or a rotation could not open again with the rights that the server runs with: it
//! is logged at the start, and `millpond check` warns of it.

use std::path::Path;
use std::thread;

use rustix::fs::{Access as May, access};
use rustix::process::geteuid;

use crate::access_log;
use crate::failure::{Failure, code};
use crate::os::sandbox::User;
use crate::settings::{Format, Loaded};

/// What the calling thread could not open again, a line each.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<String> {
    let settings = &loaded.settings;
    let sites = || std::iter::once(&settings.site).chain(&settings.sites);
    let files =
        loaded.file.as_deref().into_iter().chain(sites().filter_map(|s| s.users.as_deref()));
    let files = files.map(|path| (path, May::READ_OK));
    let roots = sites().filter_map(|site| site.root.as_deref()).map(|path| (path, May::EXEC_OK));
    let log = match settings.access.format {
        Format::Off => None,
        _ => access_log::not_again(&settings.access),
    };
    files.chain(roots).filter_map(|(path, may)| unreadable(path, may)).chain(log).collect()
}

fn unreadable(path: &Path, may: May) -> Option<String> {
    let error = access(path, may).err()?.into();
    let what = format!("HUP cannot read {} again", path.display());
    Some(Failure::io(code::CONFIG, what, error).message().to_owned())
}

/// The same for another user, as far as the calling one may become that one: rights belong to a
/// thread, so that a thread of its own can look.
pub(crate) fn warnings_as(user: &User, loaded: &Loaded) -> Result<Vec<String>, Failure> {
    if !geteuid().is_root() {
        return Ok(Vec::new());
    }
    thread::scope(|scope| {
        let look = || user.assume().map(|()| warnings(loaded));
        scope.spawn(look).join().unwrap_or_else(|_| Ok(Vec::new()))
    })
}
