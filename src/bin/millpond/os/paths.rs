//! Paths, as far as that needs no file to be opened.

use std::path::{Path, PathBuf};

/// The directory that contains a path.
pub(crate) fn parent_directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        // The root has no parent.
        None => path.to_owned(),
        _ => PathBuf::from("."),
    }
}
