//! The paths that a confined server can access.

use std::path::{Path, PathBuf};

use millpond::BindOptions;
use millpond::net::{Endpoint, UnixName};

use super::{admin, tls};
use crate::access_log::writer;
use crate::os::paths::parent_directory;
use crate::os::sandbox::AllowedPaths;
use crate::settings::{Loaded, Settings, bytes};

/// The paths that the server needs after everything is bound and open.
pub(super) fn allowed_paths(loaded: &Loaded) -> AllowedPaths {
    let settings = &loaded.settings;
    let sites = || std::iter::once(&settings.site).chain(&settings.sites);
    // A reload reads these files again.
    let reloaded = sites().filter_map(|site| site.users.as_deref()).chain(loaded.file.as_deref());
    let certificates = tls::files(settings);
    let certificates = certificates.iter().flat_map(|path| {
        // Tools for renewal keep a symbolic link to the present file in another directory.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        [reload_path(path), reload_path(&real)]
    });
    let configured = settings.reach.iter().map(|path| bytes::path(path));
    let endpoints = settings.bind.iter().chain(settings.sites.iter().flat_map(|site| &site.bind));
    let endpoints = endpoints.cloned().chain(admin::endpoint(settings));
    let sockets = endpoints.filter_map(|text| match BindOptions::split(&text).ok()?.0.parse() {
        Ok(Endpoint::Unix { name: UnixName::Path(path), .. }) => Some(parent_directory(&path)),
        _ => None,
    });
    let logs = writer::paths_to_reopen(&settings.access_log);
    AllowedPaths {
        read: roots(settings)
            .chain(reloaded.map(reload_path))
            .chain(certificates)
            .chain(configured)
            .collect(),
        write: logs.into_iter().chain(sockets).collect(),
    }
}

/// The directories that are served.
pub(super) fn roots(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let sites = std::iter::once(&settings.site).chain(&settings.sites);
    sites.filter_map(|site| site.root.clone())
}

/// The allowed paths in the words of the log.
pub(super) fn describe(settings: &Settings) -> &'static str {
    match roots(settings).next() {
        Some(_) => "the files that are served",
        None => "the settings and the logs, as no directory is served",
    }
}

/// The path that must stay accessible so that a file can be read again: its directory, since
/// editors replace a file by a new one. If that directory is at the top, such as /etc, only the
/// file, since the directory has files of other programs.
fn reload_path(path: &Path) -> PathBuf {
    let parent = parent_directory(path);
    let depth = std::fs::canonicalize(&parent).map_or(0, |real| real.components().count());
    if depth > 2 { parent } else { path.to_owned() }
}
