//! The options of the handler for files: plain data, each with its default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The options of [`Files`](super::Files). `docs/files.md` describes each in detail.
///
/// Paths in the options that name files to serve ([`fallback`](Self::fallback),
/// [`error_pages`](Self::error_pages)) are relative to the root, with or without a leading slash.
///
/// # Examples
/// ```
/// use millpond::handlers::FilesOptions;
///
/// let mut options = FilesOptions::default();
/// options.listing = true;
/// assert_eq!(options.index, ["index.html"]);
/// assert!(options.precompressed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesOptions {
    /// Names of files that are served for the directory that contains them. The first that exists
    /// wins. Default: `index.html`.
    pub index: Vec<String>,
    /// Whether the response for a directory without an index is a list of its files, as HTML, or as
    /// JSON for clients that prefer it. Default: false; the response is 404.
    pub listing: bool,
    /// The maximum number of names in a listing: the first ones in order. Default: 1000. A
    /// truncated list ends with a note, in JSON with an object of the type `truncated`. A thousand
    /// names of usual length stay below [`Limits::pending`](crate::config::Limits::pending). With
    /// more names and the cache off, a slow client of a listing can occupy a worker.
    pub listing_entries: usize,
    /// A file that is served, with status 200, in place of a 404 to clients that request a page: to
    /// GET and HEAD whose Accept names `text/html`, for a path whose last name has no dot.
    /// Single-page applications need this. Default: none.
    pub fallback: Option<String>,
    /// Whether the fallback is also served for paths whose last name has a dot, such as
    /// `/user/jane.doe`. A missing script then gets the page as well, if the client accepts HTML.
    /// Default: false.
    pub fallback_dots: bool,
    /// Files that are sent as the body of responses with these statuses, 400 to 599. Default: none;
    /// the body is the status as a line of text.
    pub error_pages: BTreeMap<u16, String>,
    /// Header fields that are added to the responses for matching paths. If several rules set one
    /// field, the last wins. Default: none.
    pub headers: Vec<FieldRule>,
    /// The value of Cache-Control for files (RFC 9111 §5.2). A rule in [`headers`](Self::headers)
    /// overrides it. Default: none.
    pub cache_control: Option<String>,
    /// The other origins whose pages may read the responses (CORS). Default: none.
    pub cors: Option<Cors>,
    /// The users who may read any file (RFC 7617). Default: none are required; everyone may.
    pub basic_auth: Option<BasicAuth>,
    /// Content types by extension, which override the built-in table: `md` to `text/markdown`.
    /// Default: none.
    pub types: BTreeMap<String, String>,
    /// The content type of files with an unknown extension. Default: `application/octet-stream`.
    pub default_type: String,
    /// The charset that is appended to text types without one, as `; charset=utf-8`. `None`: none
    /// is appended. Default: `utf-8`.
    pub charset: Option<String>,
    /// Whether to send `X-Content-Type-Options: nosniff`, so that browsers rely on the content
    /// type. Default: true.
    pub nosniff: bool,
    /// Whether to send `style.css.br`, `.zst` or `.gz` in place of `style.css` to clients that
    /// accept it, if that file exists and is not older. Default: true.
    pub precompressed: bool,
    /// The maximum number of ranges in a request. Default: 16. A request for more gets the whole
    /// file, as RFC 9110 §14.2 allows. 0 turns ranges off.
    pub ranges: usize,
    /// Whether to serve names that begin with a dot. Default: false. `/.well-known/` is always
    /// served (RFC 8615), and names that begin with `.ht` never are.
    pub dotfiles: bool,
    /// What the handler caches about files.
    pub cache: FileCache,
}

/// A rule that adds a header field to the responses for some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldRule {
    /// The decoded paths that match: `*` matches any bytes except a slash, `**` any bytes, and `?`
    /// one byte except a slash. A pattern that begins with a slash applies to the whole path, any
    /// other to its last name: `/assets/**`, `*.html`. After its first `*` or `?`, a pattern has at
    /// most 127 characters.
    pub pattern: String,
    /// The name of the field.
    pub name: String,
    /// The value of the field.
    pub value: String,
}

/// The other origins whose pages may read the responses: the protocol known as CORS, from the Fetch
/// standard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cors {
    /// The origins, as browsers send them: `https://example.com`. Default: `*`, any origin.
    pub origins: Vec<String>,
    /// Request fields, beyond the safelisted ones, that pages may send. Default: `Range`,
    /// `If-Range`, `If-None-Match`, `If-Modified-Since`.
    pub allow_headers: Vec<String>,
    /// Response fields, beyond the safelisted ones, that pages may read. Default: `Accept-Ranges`,
    /// `Content-Range`, `ETag`.
    pub expose_headers: Vec<String>,
    /// How long browsers may cache the response to a preflight. Default: one hour.
    pub max_age: Duration,
}

/// The users who may read the files: names and bcrypt hashes in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BasicAuth {
    /// The name of the protected area, as browsers show it to the user.
    pub realm: String,
    /// A file with lines `name:hash`, as `htpasswd -B` writes them. The handler reads it once, when
    /// it is created.
    pub users: PathBuf,
}

/// What the handler caches about files: metadata, open descriptors, the contents of small files,
/// and paths without a file. Each limit applies to the whole cache, which evicts the least recently
/// used entries first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileCache {
    /// The maximum number of cached paths, plus a quarter as many paths without a file. Default:
    /// 1024. 0 turns the cache off.
    pub entries: usize,
    /// The maximum number of open descriptors in the cache. Default: 256.
    pub descriptors: usize,
    /// The maximum size of the cached contents, in bytes. Default: 16 MiB.
    pub bytes: usize,
    /// The size in bytes up to which a file's contents are cached in memory, and are sent together
    /// with the head of the response. Default: 16 KiB. At most 64 KiB: sendfile(2) is better for
    /// more. A file above a 32nd of `bytes` is not cached in memory either.
    pub file_bytes: usize,
    /// The age at which an entry is checked against the file system again. Default: 1 s.
    pub revalidate: Duration,
}

impl FieldRule {
    /// A rule that adds the field `name: value` to the responses for the paths that match.
    ///
    /// # Examples
    /// ```
    /// use millpond::handlers::{FieldRule, FilesOptions};
    ///
    /// let mut options = FilesOptions::default();
    /// options.headers.push(FieldRule::new("*.html", "Cache-Control", "no-cache"));
    /// ```
    pub fn new(
        pattern: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self { pattern: pattern.into(), name: name.into(), value: value.into() }
    }
}

impl BasicAuth {
    /// A realm, and the file that lists its users.
    ///
    /// # Examples
    /// ```
    /// use millpond::handlers::{BasicAuth, FilesOptions};
    ///
    /// let mut options = FilesOptions::default();
    /// options.basic_auth = Some(BasicAuth::new("mill", "/etc/mill/users"));
    /// ```
    pub fn new(realm: impl Into<String>, users: impl Into<PathBuf>) -> Self {
        Self { realm: realm.into(), users: users.into() }
    }
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            listing: false,
            listing_entries: 1000,
            fallback: None,
            fallback_dots: false,
            error_pages: BTreeMap::new(),
            headers: Vec::new(),
            cache_control: None,
            cors: None,
            basic_auth: None,
            types: BTreeMap::new(),
            default_type: "application/octet-stream".to_owned(),
            charset: Some("utf-8".to_owned()),
            nosniff: true,
            precompressed: true,
            ranges: 16,
            dotfiles: false,
            cache: FileCache::default(),
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            origins: list(&["*"]),
            allow_headers: list(&["Range", "If-Range", "If-None-Match", "If-Modified-Since"]),
            expose_headers: list(&["Accept-Ranges", "Content-Range", "ETag"]),
            max_age: Duration::from_secs(3600),
        }
    }
}

impl Default for FileCache {
    fn default() -> Self {
        Self {
            entries: 1024,
            descriptors: 256,
            bytes: 16 << 20,
            file_bytes: 16 << 10,
            revalidate: Duration::from_secs(1),
        }
    }
}
