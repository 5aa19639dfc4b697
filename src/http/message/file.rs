//! [`Response::file`]: a file as a response.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use rustix::fs::{FileType, OFlags, fstat};

use super::body::Body;
use super::response::Response;
use crate::http::conditional::http_date;
use crate::http::file_stamp::FileStamp;
use crate::sync::unix_seconds;

impl Response {
    /// 200 with a regular file: its length, its Last-Modified, and an ETag that changes whenever
    /// the file does. The file is sent by sendfile(2), and a slow client does not occupy a worker.
    ///
    /// The content type follows from the extension with the feature `files`, and is
    /// `application/octet-stream` otherwise. [`with_header`](Self::with_header) sets another one,
    /// [`conditional`](Self::conditional) evaluates the conditions of the request. Whole
    /// directories are served by `handlers::Files`, which also knows ranges and compressed files.
    ///
    /// Never make the path from the text of a request without a check of it: `..` leads out of any
    /// directory.
    ///
    /// # Errors
    /// Those of open(2) and fstat(2); `InvalidInput` for a file that is not a regular one. A
    /// handler that returns them responds with a 500: map `NotFound` to a 404.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Problem, Request, Response};
    ///
    /// fn manual(req: &mut Request) -> Result<Response, Problem> {
    ///     let response = Response::file("README.md")?;
    ///     Ok(response.with_header("cache-control", "max-age=60").conditional(req))
    /// }
    ///
    /// let mut request = Request::from(http::Request::new("".into()));
    /// assert!(manual(&mut request).unwrap().headers().contains_key("etag"));
    /// ```
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Opening a FIFO would wait for its writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Self::of_file(path, file)
    }

    fn of_file(path: &Path, file: File) -> io::Result<Self> {
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let message = format!("{} is not a regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let now = unix_seconds();
        let stamp = FileStamp::new(&stat, now);
        let response = Self::new(Body::from_file(Arc::new(file), 0, stamp.size))
            .with_header(CONTENT_TYPE, content_type(path))
            .with_header(ETAG, stamp.etag());
        // The format has no times before 1970.
        Ok(match u64::try_from(stamp.modified.0) {
            Ok(seconds) => response.with_header(LAST_MODIFIED, http_date(seconds.min(now))),
            Err(_) => response,
        })
    }
}

#[cfg(feature = "files")]
fn content_type(path: &Path) -> HeaderValue {
    use std::os::unix::ffi::OsStrExt;

    use crate::http::known_types::{extension, known_type};

    let known = extension(path.as_os_str().as_bytes()).and_then(|found| known_type(&found));
    let value = known.map(|known| match known.starts_with("text/") {
        true => HeaderValue::try_from(format!("{known}; charset=utf-8")),
        false => Ok(HeaderValue::from_static(known)),
    });
    value.and_then(Result::ok).unwrap_or(OCTETS)
}

#[cfg(not(feature = "files"))]
fn content_type(_: &Path) -> HeaderValue {
    OCTETS
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_length_its_date_and_its_tag() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.TXT");
        std::fs::write(&path, "12345").unwrap();
        let mut response = Response::file(&path).unwrap();
        let field =
            |response: &Response, name| response.headers()[name].to_str().unwrap().to_owned();
        let expected = match cfg!(feature = "files") {
            true => "text/plain; charset=utf-8",
            false => "application/octet-stream",
        };
        assert_eq!(field(&response, "content-type"), expected);
        assert!(field(&response, "last-modified").ends_with(" GMT"));
        assert_eq!(response.body().length(), Some(5));
        assert_eq!(response.body_mut().read_text(5).unwrap(), "12345");
        let tag = field(&response, "etag");
        std::fs::write(&path, "123456").unwrap();
        assert_ne!(field(&Response::file(&path).unwrap(), "etag"), tag);
        let mut request = http::Request::new(Body::empty());
        request.headers_mut().insert("if-none-match", "*".parse().unwrap());
        let not_modified = Response::file(&path).unwrap().conditional(&request.into());
        assert_eq!(not_modified.status(), 304);
    }

    #[test]
    fn only_a_regular_file_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let error = Response::file(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Response::file(directory.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let fifo = directory.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        assert_eq!(Response::file(&fifo).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
