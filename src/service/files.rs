//! [`Files`]: serves the files below a directory.

mod options;
mod path;
mod root;

use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

pub use options::{BasicAuth, Cors, FieldRule, FileCache, FilesOptions};

use crate::error::Error;
use crate::http::{Body, Handler, Method, Request, Response, StatusCode};
use path::{Nowhere, encode, relative};
use root::Root;

/// Serves the files below a directory; see docs/files.md.
///
/// What is outside the directory cannot be reached, by no encoding of a path and no symbolic link.
///
/// # Examples
/// ```no_run
/// use millpond::Server;
/// use millpond::service::{Files, FilesOptions};
///
/// let options = FilesOptions { listing: true, ..FilesOptions::default() };
/// let files = Files::open("/srv/www", options)?;
/// Server::builder().bind("tcp://[::]:8888").http(files)?.run()?;
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    root: Root,
    options: FilesOptions,
}

impl Files {
    /// Opens the directory `root` and checks the options, before anything is bound.
    ///
    /// The directory is held open: if its path comes to lead elsewhere, `Files` has to be made anew.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) or
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission), with a hint: the directory is missing,
    /// unreadable, or none; an option is malformed; the file of users cannot be read or understood.
    pub fn open(root: impl AsRef<Path>, options: FilesOptions) -> Result<Self, Error> {
        Ok(Self { root: Root::open(root.as_ref())?, options })
    }

    /// The directory that is served, as it was given.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Handler for Files {
    fn handle(&self, request: &mut Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Response::method_not_allowed(&[Method::GET, Method::HEAD]);
        }
        let path = match relative(request.uri().path(), self.options.dotfiles) {
            Ok(path) => path,
            Err(Nowhere::Malformed) => return Response::error(StatusCode::BAD_REQUEST),
            Err(Nowhere::Absent) => return Response::error(StatusCode::NOT_FOUND),
        };
        match self.root.beneath(&path) {
            Ok(opened) if opened.kind() == FileType::Directory && !is_directory(&path) => {
                let mut location = String::from("/");
                encode(&path, &mut location);
                location.push('/');
                if let Some(query) = request.uri().query() {
                    location.push('?');
                    location.push_str(query);
                }
                Response::redirect(&location).with_status(StatusCode::MOVED_PERMANENTLY)
            }
            Ok(opened) if opened.kind() == FileType::RegularFile && !path.ends_with(b"/") => {
                let length = u64::try_from(opened.stat.st_size).unwrap_or(0);
                Response::new(Body::from_file(Arc::new(opened.file), 0, length))
            }
            Err(Errno::ACCESS) => Response::error(StatusCode::FORBIDDEN),
            _ => Response::error(StatusCode::NOT_FOUND),
        }
    }
}

/// Whether a path asks for a directory.
fn is_directory(path: &[u8]) -> bool {
    path.is_empty() || path.ends_with(b"/")
}
