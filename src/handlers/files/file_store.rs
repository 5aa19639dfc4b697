//! Finds the file or directory at a path: in the cache, or below the root.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use log::Level;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::accept::Coding;
use super::cache::{Cache, Entry, Lookup, Node};
use super::options::FilesOptions;
use super::pages::Pages;
use super::path::{is_directory_path, is_hidden};
use super::resource::{OpenedResource, Resource, is_compressed_drawing, is_usable};
use super::root::{Opened, Root};
use super::rules::FieldRules;
use super::types::ContentTypes;
use crate::error::{Error, ErrorKind};
use crate::sync::LogThrottle;

/// The maximum of `cache.file_bytes`.
const FILE_BYTES_MAX: usize = 64 << 10;

/// The files below the root, with their cache.
#[derive(Debug)]
pub(super) struct FileStore {
    root: Root,
    cache: Option<Cache>,
    pages: Option<Pages>,
    types: ContentTypes,
    rules: FieldRules,
    index: Vec<Vec<u8>>,
    precompressed: bool,
    /// Files up to this size are read into memory.
    in_memory_max: u64,
    /// The fields of every file.
    base: HeaderMap,
    /// The device and inode of the file of users, which is never served, whatever its name.
    never_served: Option<(u64, u64)>,
}

/// A file or directory that was opened below the root.
enum OpenedNode {
    File(Box<OpenedResource>),
    Directory,
}

impl FileStore {
    pub(super) fn new(
        root: Root,
        options: &FilesOptions,
        never_served: Option<(u64, u64)>,
    ) -> Result<Self, Error> {
        Ok(Self {
            root,
            cache: Cache::new(&options.cache),
            pages: Pages::new(&options.cache),
            types: ContentTypes::new(options)?,
            rules: FieldRules::new(options)?,
            index: index(options)?,
            precompressed: options.precompressed,
            in_memory_max: in_memory_max(options)?,
            base: base(options)?,
            never_served,
        })
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The cache of listings.
    pub(super) fn pages(&self) -> Option<&Pages> {
        self.pages.as_ref()
    }

    pub(super) fn rules(&self) -> &FieldRules {
        &self.rules
    }

    /// The file or directory at a path below the root.
    ///
    /// # Errors
    /// The status of the response: 404, 403, 503 when descriptors or memory are short, 500.
    pub(super) fn find(&self, path: &[u8]) -> Result<Arc<Entry>, StatusCode> {
        let Some(cache) = &self.cache else {
            return self.open_node(path).and_then(|opened| self.load(opened)).map(Entry::uncached);
        };
        let known = match cache.get(path) {
            Lookup::Fresh(entry) => return Ok(entry),
            Lookup::Missing(status) => return Err(status),
            Lookup::Stale(entry) => Some(entry),
            Lookup::Unknown => None,
        };
        let mut opened = self.open_node(path);
        if matches!(opened, Err(StatusCode::SERVICE_UNAVAILABLE)) {
            // The cache's own descriptors may be the ones that are missing.
            cache.clear();
            opened = self.open_node(path);
        }
        let opened = opened.inspect_err(|status| {
            if matches!(*status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
                cache.put_missing(path, *status);
            }
        })?;
        if let Some(entry) = known {
            let unchanged = match (&entry.node, &opened) {
                (Node::File(resource), OpenedNode::File(found)) => resource.is(found),
                (Node::Directory, OpenedNode::Directory) => true,
                _ => false,
            };
            if unchanged {
                cache.confirm(&entry);
                return Ok(entry);
            }
        }
        Ok(cache.put(path, self.load(opened)?))
    }

    /// Opens what is at a path below the root. For a directory, opens its index, if it has one.
    fn open_node(&self, path: &[u8]) -> Result<OpenedNode, StatusCode> {
        if !is_directory_path(path) {
            let opened = self.root.beneath(path).map_err(status_of)?;
            return match opened.kind() {
                FileType::Directory => Ok(OpenedNode::Directory),
                _ => self.file(path.to_vec(), opened),
            };
        }
        for name in &self.index {
            let path = [path, name].concat();
            match self.root.beneath(&path) {
                Ok(opened) if opened.kind() == FileType::RegularFile => {
                    return self.file(path, opened);
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(status_of(errno)),
            }
        }
        match self.root.beneath(path).map_err(status_of)?.kind() {
            FileType::Directory => Ok(OpenedNode::Directory),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }

    /// A file that may be served, and the compressed files beside it.
    fn file(&self, path: Vec<u8>, plain: Opened) -> Result<OpenedNode, StatusCode> {
        if plain.kind() != FileType::RegularFile || self.is_never_served(&plain) {
            return Err(StatusCode::NOT_FOUND);
        }
        let mut coded = Vec::new();
        if self.precompressed && !is_compressed_drawing(&path) {
            for coding in Coding::ALL {
                let beside = self.root.beneath(&[&path, coding.suffix()].concat());
                if let Ok(beside) = beside
                    && is_usable(&beside, &plain)
                    && !self.is_never_served(&beside)
                {
                    coded.push((coding, beside));
                }
            }
        }
        Ok(OpenedNode::File(Box::new(OpenedResource { path, plain, coded })))
    }

    fn is_never_served(&self, opened: &Opened) -> bool {
        self.never_served == Some((opened.stat.st_dev, opened.stat.st_ino))
    }

    fn load(&self, opened: OpenedNode) -> Result<Node, StatusCode> {
        match opened {
            OpenedNode::Directory => Ok(Node::Directory),
            OpenedNode::File(found) => self.resource(*found).map(Node::File),
        }
    }

    fn resource(&self, found: OpenedResource) -> Result<Resource, StatusCode> {
        let mut base = self.base.clone();
        self.rules.apply(&found.path, &mut base);
        let kind = self.types.of(&found.path);
        found.load(&kind, &base, self.in_memory_max).map_err(|error| {
            let root = self.root.path().display();
            log_throttled(Level::Error, || format!("cannot read a file below {root}: {error}"));
            StatusCode::INTERNAL_SERVER_ERROR
        })
    }
}

/// Logs an event that every request can cause, at a limited rate.
fn log_throttled(level: Level, text: impl FnOnce() -> String) {
    static THROTTLE: LazyLock<LogThrottle> = LazyLock::new(LogThrottle::default);
    if let Some(line) = THROTTLE.line(Instant::now(), text) {
        log::log!(level, "{line}");
    }
}

/// The status for an error of openat2(2).
pub(super) fn status_of(errno: Errno) -> StatusCode {
    match errno {
        Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
            log_throttled(Level::Warn, || format!("cannot open a file for now: {errno}"));
            StatusCode::SERVICE_UNAVAILABLE
        }
        Errno::IO | Errno::STALE => {
            log_throttled(Level::Error, || format!("cannot open a file: {errno}"));
            StatusCode::INTERNAL_SERVER_ERROR
        }
        // Among these errors: a missing file, a link that leads outside the root or to itself, a
        // name that is too long, a socket, or a device without a driver.
        _ => StatusCode::NOT_FOUND,
    }
}

fn index(options: &FilesOptions) -> Result<Vec<Vec<u8>>, Error> {
    if let Some(bad) = options.index.iter().find(|name| {
        name.is_empty() || name.contains(['/', '\0']) || is_hidden(name.as_bytes(), true)
    }) {
        return Err(Error::new(ErrorKind::Config, format!("invalid index {bad:?}"))
            .with_hint("expected the name of a file in each directory, such as index.html"));
    }
    Ok(options.index.iter().map(|name| name.clone().into_bytes()).collect())
}

/// The size up to which a file is read into memory.
fn in_memory_max(options: &FilesOptions) -> Result<u64, Error> {
    let in_memory_max = options.cache.file_bytes;
    if in_memory_max > FILE_BYTES_MAX {
        // More would count against `limits.pending`, and could occupy the worker of a slow client.
        return Err(Error::new(
            ErrorKind::Config,
            format!("invalid cache.file_bytes {in_memory_max}: expected at most {FILE_BYTES_MAX}"),
        )
        .with_hint("larger files are sent with sendfile(2)"));
    }
    // A file that the cache has no room for would be read for every request.
    let room = if options.cache.entries == 0 { FILE_BYTES_MAX } else { options.cache.bytes / 32 };
    Ok(in_memory_max.min(room) as u64)
}

/// The fields that all files have in common.
fn base(options: &FilesOptions) -> Result<HeaderMap, Error> {
    let mut base = HeaderMap::new();
    if options.nosniff {
        base.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(text) = &options.cache_control {
        let value = HeaderValue::from_str(text).map_err(|_| {
            Error::new(ErrorKind::Config, format!("invalid Cache-Control {text:?}"))
                .with_hint("expected a value such as public, max-age=3600")
        })?;
        base.insert(header::CACHE_CONTROL, value);
    }
    Ok(base)
}
