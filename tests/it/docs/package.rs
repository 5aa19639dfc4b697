//! The Debian package: its documents, and the files to which they link.

use std::path::Path;

use super::{DOCUMENTS, links};

#[test]
fn the_debian_package_has_what_its_documents_link_to() {
    let manifest = include_str!("../../../Cargo.toml");
    let assets: Vec<Vec<_>> = manifest
        .lines()
        .filter(|line| line.starts_with("    [\""))
        .map(|line| line.split('"').skip(1).step_by(2).collect())
        .collect();
    let is_shipped = |file: &str| {
        let directory = file.rsplit_once('/').map_or(String::new(), |(of, _)| format!("{of}/"));
        assets.iter().any(|asset| {
            let is_it = match asset[0].split_once('*') {
                Some((before, _)) if file.ends_with('/') => before == file,
                Some((before, after)) => file.starts_with(before) && file.ends_with(after),
                None => asset[0] == file,
            };
            is_it && asset[1] == format!("usr/share/doc/millpond/{directory}")
        })
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in DOCUMENTS {
        assert!(is_shipped(document), "the package lacks {document}");
        for link in links(&std::fs::read_to_string(root.join(document)).unwrap()) {
            let file = relative_to(document, &link);
            assert!(is_shipped(&file), "{document} links to {file}, which the package lacks");
        }
    }
}

/// The file to which a link of a document leads, from the root of the repository.
fn relative_to(document: &str, link: &str) -> String {
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.join("/")
}
