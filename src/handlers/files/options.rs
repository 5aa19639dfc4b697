//! What can be set about the handler for files: plain data, each with its default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set about [`Files`](super::Files). `docs/files.md` tells more about each.
///
/// Paths of the options that name files to be served ([`fallback`](Self::fallback),
/// [`error_pages`](Self::error_pages)) are relative to the root, with or without a slash before
/// them.
///
/// # Examples
/// ```
/// use millpond::handlers::FilesOptions;
///
/// let options = FilesOptions { listing: true, ..FilesOptions::default() };
/// assert_eq!(options.index, ["index.html"]);
/// assert!(options.precompressed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesOptions {
    /// Names of files that are served for the directory they are in; the first that exists wins.
    /// Default: `index.html`.
    pub index: Vec<String>,
    /// Whether a directory without an index is answered with a list of what is in it, as HTML, or
    /// as JSON to clients that prefer it. Default: false, and the answer is 404.
    pub listing: bool,
    /// How many names of a directory are listed at most: the first ones in order. Default: 1000. A
    /// list that was cut ends with a note, in JSON with an object of the type `truncated`. A
    /// thousand names of usual length stay below
    /// [`Limits::pending`](crate::config::Limits::pending); with more and the cache off, a slow
    /// reader of a list can hold a worker.
    pub listing_entries: usize,
    /// A file that is served, with status 200, in place of a 404 to clients that ask for a page: to
    /// GET and HEAD whose Accept names `text/html`, for a path whose last name has no dot (what
    /// single-page applications need). Default: none.
    pub fallback: Option<String>,
    /// Whether the fallback is also served for paths whose last name has a dot, such as
    /// `/user/jane.doe`. Then a script that is missing is answered with the page if the client
    /// accepts HTML. Default: false.
    pub fallback_dots: bool,
    /// Files that are sent as the body of answers with these statuses, 400 to 599. Default: none;
    /// the body is the status as a line of text.
    pub error_pages: BTreeMap<u16, String>,
    /// Fields added to the answers for the paths that match; of several for one field the last
    /// wins. Default: none.
    pub headers: Vec<FieldRule>,
    /// The value of Cache-Control for files (RFC 9111 §5.2); a rule of [`headers`](Self::headers)
    /// goes before it. Default: none.
    pub cache_control: Option<String>,
    /// Which other origins' pages may read the answers (CORS). Default: none.
    pub cors: Option<Cors>,
    /// Who may read anything at all (RFC 7617). Default: everybody.
    pub basic_auth: Option<BasicAuth>,
    /// Content types by extension, which go before the built-in table: `md` to `text/markdown`.
    /// Default: none.
    pub types: BTreeMap<String, String>,
    /// The content type of files whose extension is not known. Default: `application/octet-stream`.
    pub default_type: String,
    /// What is appended to text types that say nothing of it: `; charset=utf-8`. `None`: nothing.
    /// Default: `utf-8`.
    pub charset: Option<String>,
    /// Whether `X-Content-Type-Options: nosniff` is sent, so that browsers believe the content
    /// type. Default: true.
    pub nosniff: bool,
    /// Whether `style.css.br`, `.zst` or `.gz` is sent in place of `style.css` to clients that
    /// accept it, if it exists and is no older. Default: true.
    pub precompressed: bool,
    /// How many ranges of a file one request may ask for. Default: 16. One that asks for more gets
    /// the whole file, as RFC 9110 §14.2 allows; 0 turns ranges off.
    pub ranges: usize,
    /// Whether names that begin with a dot are served. Default: false. `/.well-known/` always is
    /// (RFC 8615); names that begin with `.ht` never are.
    pub dotfiles: bool,
    /// What is remembered about files.
    pub cache: FileCache,
}

/// A field that is added to the answers for some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Which paths, decoded: `*` stands for any bytes but a slash, `**` for any bytes, `?` for one
    /// that is no slash. A pattern that begins with a slash is matched against the whole path,
    /// another against the last name in it: `/assets/**`, `*.html`. After its first `*` or `?` it
    /// has at most 127 characters.
    pub pattern: String,
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Which other origins' pages may read the answers: the protocol known as CORS, from the Fetch
/// standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins, as browsers send them: `https://example.com`. Default: `*`, any.
    pub origins: Vec<String>,
    /// Request fields beyond the safelisted ones that pages may send. Default: `Range`, `If-Range`,
    /// `If-None-Match`, `If-Modified-Since`.
    pub allow_headers: Vec<String>,
    /// Answer fields beyond the safelisted ones that pages may read. Default: `Accept-Ranges`,
    /// `Content-Range`, `ETag`.
    pub expose_headers: Vec<String>,
    /// How long browsers may remember the answer to a preflight. Default: one hour.
    pub max_age: Duration,
}

/// Who may read: names and bcrypt hashes in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// What is protected, as shown to the user.
    pub realm: String,
    /// A file with lines `name:hash` as `htpasswd -B` writes them. It is read once, when the
    /// handler is made.
    pub users: PathBuf,
}

/// What is remembered about files: metadata, open descriptors, the contents of small files, and
/// which paths lead nowhere. The bounds are for all together, and the least recently used goes
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCache {
    /// Paths remembered, and a quarter as many that lead nowhere. Default: 1024. 0 turns the cache
    /// off.
    pub entries: usize,
    /// Descriptors kept open. Default: 256.
    pub descriptors: usize,
    /// Bytes of contents kept in memory. Default: 16 MiB.
    pub bytes: usize,
    /// The size in bytes up to which a file's contents are kept in memory, and leave together with
    /// the head of the answer. Default: 16 KiB. At most 64 KiB: sendfile(2) is better for more.
    pub file_bytes: usize,
    /// How long what is remembered is believed before the file is looked at again. Default: 1 s.
    pub revalidate: Duration,
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
