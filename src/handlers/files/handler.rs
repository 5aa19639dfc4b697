//! [`Files`]: serves the files below a directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, header};

use super::auth::{Access, BasicAuthenticator};
use super::cache::{Entry, Node};
use super::cors::CorsPolicy;
use super::file_store::{FileStore, status_of};
use super::listing::{self, ListingOptions};
use super::options::FilesOptions;
use super::pages::Page;
use super::path::{PathError, decode_leniently, encode, is_directory_path, relative_path};
use super::respond::METHODS;
use super::root::Root;
use super::{bounds, respond};
use crate::error::{Error, ErrorKind};
use crate::http::accept::{names_html, prefers_json};
use crate::http::{Handler, Method, Request, Response, StatusCode};
use crate::pool::OPENS_FILES;
use crate::pool::overload::fairness::ClientKey;
use crate::sync::unix_seconds;

/// Serves the files below a directory. `docs/files.md` describes every response and every option.
///
/// No encoding of a path and no symbolic link leads outside of the directory.
///
/// # Examples
/// ```no_run
/// use millpond::Server;
/// use millpond::handlers::{Files, FilesOptions};
///
/// let mut options = FilesOptions::default();
/// options.listing = true;
/// let files = Files::open("/srv/www", options)?;
/// Server::builder().bind("tcp://[::]:8888").http(files).build()?.run()?;
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    store: FileStore,
    options: FilesOptions,
    cors: Option<CorsPolicy>,
    authenticator: Option<BasicAuthenticator>,
}

impl Files {
    /// Opens the directory `root` and checks the options, before the server binds any socket.
    ///
    /// The directory remains open. If its path later refers to another directory, create a new
    /// `Files`. If the directory is removed, the handler serves the one that is created at its path
    /// afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) or
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission), with a hint, if the path is
    /// missing, not searchable, or not a directory; if an option is malformed; or if the file of
    /// users cannot be read or parsed.
    pub fn open(root: impl AsRef<Path>, options: FilesOptions) -> Result<Self, Error> {
        bounds::check(&options)?;
        let cors = options.cors.as_ref().map(CorsPolicy::new).transpose()?;
        let authenticator = options.basic_auth.as_ref().map(BasicAuthenticator::new).transpose()?;
        let secret = authenticator.as_ref().map(BasicAuthenticator::file);
        let store = FileStore::new(Root::open(root.as_ref())?, &options, secret)?;
        if let Some(auth) = &options.basic_auth
            && is_below(&auth.users, root.as_ref())
        {
            log::warn!(
                "the file of users {} is below the root: move it, as a copy of it would be served",
                auth.users.display()
            );
        }
        let files = Self { store, options, cors, authenticator };
        files.check()?;
        OPENS_FILES.store(true, Ordering::Relaxed);
        Ok(files)
    }

    /// The directory that is served, as it was passed to [`open`](Self::open).
    #[must_use]
    pub fn root(&self) -> &Path {
        self.store.root().path()
    }

    /// The response to `GET /`, as the end of a sentence for a log line: `responds with
    /// index.html`.
    #[must_use]
    pub fn describe_root(&self) -> String {
        let index = self.options.index.join(" or ");
        let page = self.options.fallback.as_ref().map(|page| format!("{page} for browsers, else "));
        match self.store.find(b"").as_deref() {
            Ok(Entry { node: Node::File(resource), .. }) => {
                format!("responds with {}", String::from_utf8_lossy(resource.path()))
            }
            Ok(_) if self.options.listing => "lists the directory".to_owned(),
            Ok(_) | Err(&StatusCode::NOT_FOUND) if index.is_empty() => {
                format!("responds with {}404: no index is configured", page.unwrap_or_default())
            }
            Ok(_) | Err(&StatusCode::NOT_FOUND) => {
                format!("responds with {}404: {index} does not exist", page.unwrap_or_default())
            }
            Err(status) => format!("responds with {status}"),
        }
    }

    /// Checks that every file that an option names exists.
    fn check(&self) -> Result<(), Error> {
        let pages = self.options.error_pages.iter();
        if let Some((status, _)) = pages.clone().find(|(status, _)| !(400..600).contains(*status)) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("invalid status {status} of an error page"),
            )
            .with_hint("expected 400 to 599"));
        }
        for path in self.options.fallback.iter().chain(pages.map(|(_, path)| path)) {
            if !matches!(
                self.configured_file(path).as_deref(),
                Ok(Entry { node: Node::File(_), .. })
            ) {
                let root = self.root().display();
                return Err(Error::new(ErrorKind::Config, format!("no file {path} in {root}"))
                    .with_hint("paths of pages are relative to the root"));
            }
        }
        Ok(())
    }

    fn respond(&self, request: &Request) -> Response {
        let target = request.path();
        let path = match relative_path(target, self.options.dotfiles) {
            Ok(path) => path,
            Err(error) => {
                return self.path_error_response(request, &error, &decode_leniently(target));
            }
        };
        if let Some(response) = self.early_response(request, &path) {
            return response;
        }
        if path.is_empty() && !request.uri().path().ends_with('/') {
            // The prefix of a router, without a slash: relative links would lead beside it.
            return self.redirect(request, &path);
        }
        match self.store.find(&path) {
            Ok(entry) => match &entry.node {
                Node::File(resource) => {
                    let most = self.options.ranges;
                    respond::file(resource, request.method(), request.headers(), most)
                        .unwrap_or_else(|(status, fields)| {
                            let mut response = self.error(request, status, &path);
                            response.headers_mut().extend(fields);
                            response
                        })
                }
                Node::Directory if !is_directory_path(&path) => self.redirect(request, &path),
                Node::Directory if self.options.listing => self.listing(request, &path),
                Node::Directory => self.not_found(request, &path),
            },
            Err(StatusCode::NOT_FOUND) => self.not_found(request, &path),
            Err(StatusCode::SERVICE_UNAVAILABLE) => self.unavailable(request, &path),
            Err(status) => self.error(request, status, &path),
        }
    }

    /// The response for a path at which no file can exist.
    fn path_error_response(&self, request: &Request, error: &PathError, path: &[u8]) -> Response {
        self.early_response(request, path).unwrap_or_else(|| {
            let status = match error {
                PathError::Malformed => StatusCode::BAD_REQUEST,
                PathError::Absent => StatusCode::NOT_FOUND,
            };
            self.error(request, status, path)
        })
    }

    /// The response that depends on no file: for the method, or for the credentials.
    fn early_response(&self, request: &Request, path: &[u8]) -> Option<Response> {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Some(self.options_response(request, path)),
            _ => {
                let mut response = self.error(request, StatusCode::METHOD_NOT_ALLOWED, path);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
                return Some(response);
            }
        }
        let authenticator = self.authenticator.as_ref()?;
        let client = request.client_addr().map_or(ClientKey::None, |client| client.ip().into());
        match authenticator.check(request.headers(), client) {
            Access::Granted => None,
            Access::Denied => {
                let mut response = self.error(request, StatusCode::UNAUTHORIZED, path);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, authenticator.challenge());
                Some(response)
            }
            Access::Busy => Some(self.unavailable(request, path)),
        }
    }

    /// 204 with the supported methods, and the fields that a preflight requests.
    fn options_response(&self, request: &Request, path: &[u8]) -> Response {
        let mut response = Response::empty(StatusCode::NO_CONTENT);
        self.apply_rules(path, response.headers_mut());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
        if let Some(cors) = &self.cors {
            cors.add_preflight_fields(request.headers(), response.headers_mut());
        }
        response
    }

    /// Adds the fields of rules to a response that is not a file: all except those that allow
    /// caching.
    fn apply_rules(&self, path: &[u8], headers: &mut HeaderMap) {
        if !self.store.rules().is_empty() {
            let mut fields = HeaderMap::new();
            self.store.rules().apply(path, &mut fields);
            strip_lifetimes(&mut fields);
            headers.extend(fields);
        }
    }

    /// 301 to the same path with a slash at its end. The location is encoded again from the decoded
    /// path: it begins with exactly one slash, so that it cannot name another host. Below the
    /// prefix of a router, it begins with the prefix.
    fn redirect(&self, request: &Request, path: &[u8]) -> Response {
        let prefix = request.uri().path().get(..request.prefix().get()).unwrap_or_default();
        let mut location = format!("{prefix}/");
        encode(path, &mut location);
        if !location.ends_with('/') {
            location.push('/');
        }
        if let Some(query) = request.uri().query() {
            location.push('?');
            location.push_str(query);
        }
        let mut response = Response::redirect(&location).with_status(StatusCode::MOVED_PERMANENTLY);
        self.store.rules().apply(path, response.headers_mut());
        response
    }

    fn listing(&self, request: &Request, path: &[u8]) -> Response {
        let options =
            ListingOptions { dotfiles: self.options.dotfiles, most: self.options.listing_entries };
        let as_json = prefers_json(request.headers());
        let make = || listing::page(self.store.root(), path, options, as_json);
        let page = match self.store.pages() {
            // No path contains a NUL.
            Some(pages) => pages.get(&[path, &[0, as_json.into()]].concat(), Instant::now(), make),
            None => make().map(Page::from),
        };
        match page {
            Ok(page) => {
                let mut response = listing::response(&page, as_json);
                if self.options.nosniff {
                    let value = HeaderValue::from_static("nosniff");
                    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, value);
                }
                self.store.rules().apply(path, response.headers_mut());
                response
            }
            Err(errno) => self.error(request, status_of(errno), path),
        }
    }

    /// 404, or the fallback page.
    fn not_found(&self, request: &Request, path: &[u8]) -> Response {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if let Some(fallback) = &self.options.fallback
            && (self.options.fallback_dots || !name.contains(&b'.'))
        {
            let page = names_html(request.headers()).then(|| self.configured_file(fallback));
            let mut response = match page.as_ref().map(|page| page.as_deref()) {
                Some(Ok(Entry { node: Node::File(resource), .. })) => {
                    let (method, request_headers) = (request.method(), request.headers());
                    respond::file(resource, method, request_headers, self.options.ranges)
                        .unwrap_or_else(|(status, _)| self.error(request, status, path))
                }
                _ => self.error(request, StatusCode::NOT_FOUND, path),
            };
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
            return response;
        }
        self.error(request, StatusCode::NOT_FOUND, path)
    }

    /// 503, with a time after which to retry.
    fn unavailable(&self, request: &Request, path: &[u8]) -> Response {
        let mut response = self.error(request, StatusCode::SERVICE_UNAVAILABLE, path);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }

    /// A response with this status, whose body is the configured page or a line of text. It has the
    /// fields of rules, too.
    fn error(&self, request: &Request, status: StatusCode, path: &[u8]) -> Response {
        let page =
            self.options.error_pages.get(&status.as_u16()).map(|page| self.configured_file(page));
        let mut response = match page.as_ref().map(|page| page.as_deref()) {
            Some(Ok(Entry { node: Node::File(resource), .. })) => {
                let now = unix_seconds();
                let mut response =
                    respond::whole(resource.choose(request.headers()), now).with_status(status);
                // These describe the page, not the error.
                for name in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
                    response.headers_mut().remove(name);
                }
                strip_lifetimes(response.headers_mut());
                response
            }
            _ => Response::error(status),
        };
        self.apply_rules(path, response.headers_mut());
        response
    }

    /// The file that an option names.
    fn configured_file(&self, path: &str) -> Result<Arc<Entry>, StatusCode> {
        self.store.find(path.trim_start_matches('/').as_bytes())
    }
}

impl Handler for Files {
    fn handle(&self, request: &mut Request) -> Response {
        let mut response = self.respond(request);
        if let Some(cors) = &self.cors {
            cors.add_fields(request.headers(), response.headers_mut());
        }
        response
    }
}

/// Removes the fields that allow caching. A rule that lets caches keep files for a year must not
/// make them keep an error for a year.
fn strip_lifetimes(fields: &mut HeaderMap) {
    fields.remove(header::CACHE_CONTROL);
    fields.remove(header::EXPIRES);
}

/// Whether a file is below a directory, with all links resolved.
fn is_below(file: &Path, dir: &Path) -> bool {
    let (file, dir) = (file.canonicalize(), dir.canonicalize());
    file.is_ok_and(|file| dir.is_ok_and(|dir| file.starts_with(dir)))
}
