//! A file as it is served: its representations, each with precomputed header fields.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use rustix::fs::FileType;

use super::accept::{Coding, Codings};
use super::root::Opened;
use crate::http::Body;
use crate::http::conditional::{Validators, http_date};
use crate::http::file_stamp::FileStamp;
use crate::pool::Segment;
use crate::sync::unix_seconds;

/// A file as it is served: the plain file, and the compressed files beside it.
#[derive(Debug)]
pub(super) struct Resource {
    /// Where it is below the root: for a directory, its index.
    path: Vec<u8>,
    /// The plain file comes first.
    pub(super) representations: Vec<Representation>,
}

/// One representation (RFC 9110 §8).
#[derive(Debug)]
pub(super) struct Representation {
    coding: Option<Coding>,
    stamp: FileStamp,
    pub(super) length: u64,
    content: FileContent,
    etag: HeaderValue,
    /// The modification time in seconds since 1970. It may be in the future.
    modified: Option<u64>,
    /// The fields of a 200, and those of a 304 (RFC 9110 §15.4.5). They contain a Last-Modified
    /// unless the modification time was in the future when they were computed.
    fields: HeaderMap,
    not_modified_fields: HeaderMap,
}

/// The bytes of a file.
#[derive(Debug)]
enum FileContent {
    Memory(Bytes),
    File(Arc<File>),
}

/// A file that was opened, and the compressed files beside it.
#[derive(Debug)]
pub(super) struct OpenedResource {
    /// Where it is below the root: for a directory, its index.
    pub(super) path: Vec<u8>,
    pub(super) plain: Opened,
    pub(super) coded: Vec<(Coding, Opened)>,
}

impl OpenedResource {
    fn stamps(&self) -> impl Iterator<Item = FileStamp> {
        let now = unix_seconds();
        let all = std::iter::once(&self.plain).chain(self.coded.iter().map(|(_, opened)| opened));
        all.map(move |opened| FileStamp::new(&opened.stat, now))
    }

    /// Reads small files into memory, and computes the fields.
    ///
    /// # Errors
    /// Those of read(2).
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

/// The contents of a small file, or the open file.
fn read(mut file: File, size: u64, in_memory_max: u64) -> io::Result<FileContent> {
    if size > in_memory_max {
        return Ok(FileContent::File(Arc::new(file)));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    (&mut file).take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        return Ok(FileContent::Memory(bytes.into()));
    }
    // The file has just shrunk. If it stays short, sending it fails.
    Ok(FileContent::File(Arc::new(file)))
}

impl Resource {
    /// Whether these are the same files that were loaded, unchanged.
    pub(super) fn is(&self, found: &OpenedResource) -> bool {
        let mine = self
            .representations
            .iter()
            .map(|representation| (representation.coding, representation.stamp));
        let codings =
            std::iter::once(None).chain(found.coded.iter().map(|(coding, _)| Some(*coding)));
        mine.eq(codings.zip(found.stamps()))
            && !self
                .representations
                .iter()
                .any(|one| one.stamp.modified_just_now || one.stamp.changed_just_now)
    }

    /// The path below the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The representation with the highest weight for the client; among equals, the smallest.
    pub(super) fn choose(&self, request_headers: &HeaderMap) -> &Representation {
        let plain = &self.representations[0];
        if self.representations.len() == 1 {
            return plain;
        }
        let codings = Codings::of(request_headers);
        let rank = |representation: &&Representation| {
            (codings.weight(representation.coding), std::cmp::Reverse(representation.length))
        };
        // If no representation is acceptable, the plain one is sent: RFC 9110 §12.5.3 allows it,
        // and it is more useful than a 406.
        let acceptable =
            self.representations.iter().filter(|representation| rank(representation).0 > 0);
        acceptable.rev().max_by_key(rank).unwrap_or(plain)
    }

    /// The cost of caching it: bytes in memory, and open descriptors.
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
        stamp: FileStamp,
        content: FileContent,
        kind: &HeaderValue,
        base: &HeaderMap,
        varies: bool,
    ) -> io::Result<Self> {
        let etag = HeaderValue::try_from(stamp.etag()).map_err(io::Error::other)?;
        // The format has no times before 1970.
        let modified = u64::try_from(stamp.modified.0).ok();
        let mut not_modified_fields = HeaderMap::new();
        not_modified_fields.insert(header::ETAG, etag.clone());
        if let Some(seconds) = modified.filter(|seconds| *seconds <= unix_seconds()) {
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

    /// The validators at `now`, in seconds since 1970. A file whose modification time is in the
    /// future has no date for conditions.
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

    /// Fields with their Last-Modified. While the modification time is in the future, the present
    /// time replaces it (RFC 9110 §8.8.2.1).
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

    /// The whole body.
    pub(super) fn body(&self) -> Body {
        match &self.content {
            FileContent::Memory(bytes) => Body::from(bytes.clone()),
            FileContent::File(file) => Body::from_file(Arc::clone(file), 0, self.length),
        }
    }

    /// A part of the body; the range is inside its length.
    pub(super) fn slice(&self, range: &std::ops::Range<u64>) -> Segment {
        match &self.content {
            // A length in memory fits into `usize`.
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

/// Whether the file is an SVG drawing that is already compressed: browsers show it only if the
/// response names the coding.
pub(super) fn is_compressed_drawing(path: &[u8]) -> bool {
    path.len() > 5 && path[path.len() - 5..].eq_ignore_ascii_case(b".svgz")
}

/// Whether a compressed file may be sent in place of the plain one: it is a regular file, not
/// empty, and not older.
pub(super) fn is_usable(coded: &Opened, plain: &Opened) -> bool {
    let time = |opened: &Opened| (opened.stat.st_mtime, opened.stat.st_mtime_nsec);
    coded.kind() == FileType::RegularFile && coded.stat.st_size > 0 && time(coded) >= time(plain)
}
