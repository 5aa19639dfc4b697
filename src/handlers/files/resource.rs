//! A file as it is served: its representations, each with the fields of its answers made
//! beforehand.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use rustix::fs::{FileType, Stat};

use super::accept::{Coding, Codings};
use super::conditional::{Validators, http_date};
use super::root::Opened;
use crate::http::Body;
use crate::pool::Segment;

/// A file modified less than this many seconds before it was looked at may be modified once more
/// without getting another time: file systems keep time in steps of up to two seconds.
const TIMESTAMP_STEP: i64 = 2;

/// A file as it is served: the plain one, and those beside it that are compressed.
#[derive(Debug)]
pub(super) struct Resource {
    /// Where it is below the root: for a directory, its index.
    path: Vec<u8>,
    /// The plain one first.
    pub(super) representations: Vec<Representation>,
}

/// One representation (RFC 9110 §8).
#[derive(Debug)]
pub(super) struct Representation {
    coding: Option<Coding>,
    stamp: Stamp,
    pub(super) length: u64,
    content: FileContent,
    etag: HeaderValue,
    /// When it was modified, in seconds since 1970. It may be a time to come.
    modified: Option<u64>,
    /// The fields of a 200, and those of a 304 (RFC 9110 §15.4.5). They have a Last-Modified unless
    /// that was a time to come when they were made.
    fields: HeaderMap,
    not_modified_fields: HeaderMap,
}

/// Where the bytes are.
#[derive(Debug)]
enum FileContent {
    Memory(Bytes),
    File(Arc<File>),
}

/// What tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
    /// It was modified so recently that it may change without its time of modification changing.
    modified_just_now: bool,
    /// It was changed so recently, by its other time, that it is read again at the next look.
    changed_just_now: bool,
}

impl Stamp {
    fn new(stat: &Stat, now: i64) -> Self {
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            modified_just_now: (now - modified.0).abs() < TIMESTAMP_STEP,
            changed_just_now: (now - stat.st_ctime).abs() < TIMESTAMP_STEP,
        }
    }

    /// The entity tag: another for each file, size, time of modification and time of change, and
    /// weak as long as that might not be enough (RFC 9110 §8.8.1).
    ///
    /// The time of change counts because no program can set it: builds that set all times of
    /// modification to one value replace files by others of the same size, and inodes are used
    /// again. The hash is not keyed, so that a tag outlives the process, and shows neither inode
    /// nor time of change.
    fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (self.ino, self.size, self.modified, self.changed).hash(&mut hasher);
        let weak = if self.modified_just_now { "W/" } else { "" };
        format!("{weak}\"{:x}-{:016x}\"", self.size, hasher.finish())
    }
}

/// A file that was opened, and the compressed ones beside it.
#[derive(Debug)]
pub(super) struct OpenedResource {
    /// Where it is below the root: for a directory, its index.
    pub(super) path: Vec<u8>,
    pub(super) plain: Opened,
    pub(super) coded: Vec<(Coding, Opened)>,
}

impl OpenedResource {
    fn stamps(&self) -> impl Iterator<Item = Stamp> {
        let now = now();
        let all = std::iter::once(&self.plain).chain(self.coded.iter().map(|(_, opened)| opened));
        all.map(move |opened| Stamp::new(&opened.stat, now))
    }

    /// Reads what is in_memory_max, and makes the fields.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn load(
        self,
        kind: &HeaderValue,
        base: &HeaderMap,
        in_memory_max: u64,
    ) -> io::Result<Resource> {
        let drawing =
            is_compressed_drawing(&self.path) && kind.as_bytes().starts_with(b"image/svg+xml");
        let varies = !self.coded.is_empty();
        let stamps: Vec<_> = self.stamps().collect();
        let coded = self.coded.into_iter().map(|(coding, opened)| (Some(coding), opened));
        let all = std::iter::once((None, self.plain)).chain(coded);
        let mut representations = Vec::with_capacity(stamps.len());
        for ((coding, opened), stamp) in all.zip(stamps) {
            let content = read(opened.file, stamp.size, in_memory_max)?;
            let mut representation =
                Representation::new(coding, stamp, content, kind, base, varies)?;
            if drawing {
                let gzip = HeaderValue::from_static(Coding::Gzip.token());
                representation.fields.insert(header::CONTENT_ENCODING, gzip);
            }
            representations.push(representation);
        }
        Ok(Resource { path: self.path, representations })
    }
}

/// The contents of a in_memory_max file, or the file.
fn read(mut file: File, size: u64, in_memory_max: u64) -> io::Result<FileContent> {
    if size > in_memory_max {
        return Ok(FileContent::File(Arc::new(file)));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    (&mut file).take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        return Ok(FileContent::Memory(bytes.into()));
    }
    // It has just been cut short: sending will notice if it stays so.
    Ok(FileContent::File(Arc::new(file)))
}

impl Resource {
    /// Whether these are the same files as were loaded, unchanged.
    pub(super) fn is(&self, found: &OpenedResource) -> bool {
        let mine = self
            .representations
            .iter()
            .map(|representation| (representation.coding, representation.stamp));
        let codings = std::iter::once(None).chain(found.coded.iter().map(|(c, _)| Some(*c)));
        mine.eq(codings.zip(found.stamps()))
            && !self
                .representations
                .iter()
                .any(|v| v.stamp.modified_just_now || v.stamp.changed_just_now)
    }

    /// Where it is below the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The representation that the client likes best; of those it likes the same, the smallest.
    pub(super) fn choose(&self, request_headers: &HeaderMap) -> &Representation {
        let plain = &self.representations[0];
        if self.representations.len() == 1 {
            return plain;
        }
        let codings = Codings::of(request_headers);
        let rank = |representation: &&Representation| {
            (codings.weight(representation.coding), std::cmp::Reverse(representation.length))
        };
        // The plain one goes out even to a client that refuses it, when nothing else would do: RFC
        // 9110 §12.5.3 allows it, and a 406 helps nobody.
        let acceptable =
            self.representations.iter().filter(|representation| rank(representation).0 > 0);
        acceptable.rev().max_by_key(rank).unwrap_or(plain)
    }

    /// What keeping it costs: bytes in memory, and open descriptors.
    pub(super) fn weight(&self) -> (usize, usize) {
        self.representations.iter().fold((0, 0), |(bytes, files), representation| {
            match &representation.content {
                FileContent::Memory(content) => (bytes + content.len(), files),
                FileContent::File(_) => (bytes, files + 1),
            }
        })
    }
}

impl Representation {
    fn new(
        coding: Option<Coding>,
        stamp: Stamp,
        content: FileContent,
        kind: &HeaderValue,
        base: &HeaderMap,
        varies: bool,
    ) -> io::Result<Self> {
        let etag = HeaderValue::try_from(stamp.etag()).map_err(io::Error::other)?;
        // A time before 1970 cannot be told.
        let modified = u64::try_from(stamp.modified.0).ok();
        let mut not_modified_fields = HeaderMap::new();
        not_modified_fields.insert(header::ETAG, etag.clone());
        if let Some(seconds) = modified.filter(|seconds| *seconds <= now().unsigned_abs()) {
            let date = HeaderValue::try_from(http_date(seconds)).map_err(io::Error::other)?;
            not_modified_fields.insert(header::LAST_MODIFIED, date);
        }
        if varies {
            not_modified_fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let mut fields = HeaderMap::new();
        fields.insert(header::CONTENT_TYPE, kind.clone());
        if let Some(coding) = coding {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        not_modified_fields.extend(base.iter().map(|(name, value)| (name.clone(), value.clone())));
        fields
            .extend(not_modified_fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(Self {
            coding,
            stamp,
            length: stamp.size,
            content,
            etag,
            modified,
            fields,
            not_modified_fields,
        })
    }

    /// What tells this representation from another, at a time in seconds since 1970. One that was modified
    /// at a time to come has no date by which it could be told.
    pub(super) fn validators(&self, now: u64) -> Validators<'_> {
        let modified = self.modified.filter(|seconds| *seconds <= now);
        Validators { etag: self.etag.as_bytes(), modified }
    }

    /// The fields of a 200.
    pub(super) fn fields(&self, now: u64) -> HeaderMap {
        self.dated(&self.fields, now)
    }

    /// The fields of a 304.
    pub(super) fn not_modified_fields(&self, now: u64) -> HeaderMap {
        self.dated(&self.not_modified_fields, now)
    }

    /// Fields with their Last-Modified: a time to come is replaced by the present one (RFC 9110
    /// §8.8.2.1) for as long as it is one.
    fn dated(&self, fields: &HeaderMap, now: u64) -> HeaderMap {
        let mut fields = fields.clone();
        if let Some(seconds) = self.modified
            && !fields.contains_key(header::LAST_MODIFIED)
            && let Ok(date) = HeaderValue::try_from(http_date(seconds.min(now)))
        {
            fields.insert(header::LAST_MODIFIED, date);
        }
        fields
    }

    /// All of its bytes.
    pub(super) fn body(&self) -> Body {
        match &self.content {
            FileContent::Memory(bytes) => Body::from(bytes.clone()),
            FileContent::File(file) => Body::from_file(Arc::clone(file), 0, self.length),
        }
    }

    /// Some of its bytes; the range lies within its length.
    pub(super) fn slice(&self, range: &std::ops::Range<u64>) -> Segment {
        match &self.content {
            // A length in memory fits.
            FileContent::Memory(bytes) => {
                Segment::Bytes(bytes.slice(range.start as usize..range.end as usize))
            }
            FileContent::File(file) => Segment::File {
                file: Arc::clone(file),
                offset: range.start,
                length: range.end - range.start,
            },
        }
    }
}

/// Whether it is an SVG drawing that is compressed by itself: browsers show one only if they are
/// told.
pub(super) fn is_compressed_drawing(path: &[u8]) -> bool {
    path.len() > 5 && path[path.len() - 5..].eq_ignore_ascii_case(b".svgz")
}

/// Whether a compressed file counts beside the plain one: it is a file, has something in it, and is
/// no older.
pub(super) fn is_usable(coded: &Opened, plain: &Opened) -> bool {
    let time = |opened: &Opened| (opened.stat.st_mtime, opened.stat.st_mtime_nsec);
    coded.kind() == FileType::RegularFile && coded.stat.st_size > 0 && time(coded) >= time(plain)
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.ok().and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or(0)
}
