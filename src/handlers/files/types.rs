//! Content types by file name.

use std::collections::HashMap;

use http::HeaderValue;

use super::options::FilesOptions;
use crate::error::{Error, ErrorKind};
use crate::http::known_types::{extension, known_type};

/// Content types by extension.
#[derive(Debug)]
pub(super) struct ContentTypes {
    configured: HashMap<String, HeaderValue>,
    default: HeaderValue,
    charset: Option<String>,
}

impl ContentTypes {
    pub(super) fn new(options: &FilesOptions) -> Result<Self, Error> {
        let charset = options.charset.clone();
        if charset.as_deref().is_some_and(|charset| !is_token(charset)) {
            return Err(invalid("charset", charset.as_deref().unwrap_or_default())
                .with_hint("expected a name such as utf-8"));
        }
        let mut types =
            Self { configured: HashMap::new(), default: HeaderValue::from_static(""), charset };
        types.default = types.value(&options.default_type)?;
        for (extension, name) in &options.types {
            let extension = extension.trim_start_matches('.').to_ascii_lowercase();
            if extension.is_empty() || extension.contains(['.', '/']) {
                return Err(invalid("extension", &extension)
                    .with_hint("expected the part after the last dot of a name, such as md"));
            }
            let value = types.value(name)?;
            types.configured.insert(extension, value);
        }
        Ok(types)
    }

    /// The content type of a file, by the last extension of its name.
    pub(super) fn of(&self, path: &[u8]) -> HeaderValue {
        let Some(extension) = extension(path) else { return self.default.clone() };
        if let Some(configured) = self.configured.get(&extension) {
            return configured.clone();
        }
        let known = known_type(&extension);
        known.and_then(|name| self.value(name).ok()).unwrap_or_else(|| self.default.clone())
    }

    /// A content type as a field value. A text type gets the charset.
    fn value(&self, name: &str) -> Result<HeaderValue, Error> {
        let essence = name.split(';').next().unwrap_or_default().trim();
        let valid =
            essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
        let hint = "expected two parts, such as text/plain";
        if !valid {
            return Err(invalid("content type", name).with_hint(hint));
        }
        let is_text = essence.len() > 5 && essence[..5].eq_ignore_ascii_case("text/");
        let value = match &self.charset {
            Some(charset) if is_text && !name.to_ascii_lowercase().contains("charset") => {
                HeaderValue::try_from(format!("{name}; charset={charset}"))
            }
            _ => HeaderValue::try_from(name),
        };
        value.map_err(|_| invalid("content type", name).with_hint(hint))
    }
}

/// Whether the text is a token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn invalid(what: &str, text: &str) -> Error {
    Error::new(ErrorKind::Config, format!("invalid {what} {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_types_that_they_need() {
        let types = ContentTypes::new(&FilesOptions::default()).unwrap();
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("data.json", "application/json"),
            ("feed.xml", "application/xml"),
            ("site.webmanifest", "application/manifest+json"),
            ("logo.svg", "image/svg+xml"),
            ("photo.jpg", "image/jpeg"),
            ("photo.png", "image/png"),
            ("photo.webp", "image/webp"),
            ("photo.avif", "image/avif"),
            ("favicon.ico", "image/x-icon"),
            ("font.woff2", "font/woff2"),
            ("code.wasm", "application/wasm"),
            ("film.mp4", "video/mp4"),
            ("song.mp3", "audio/mpeg"),
            ("paper.pdf", "application/pdf"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("table.csv", "text/csv; charset=utf-8"),
            ("archive.tar.gz", "application/gzip"),
            ("archive.zip", "application/zip"),
            ("README", "application/octet-stream"),
            ("dir.html/README", "application/octet-stream"),
            ("strange.qqq", "application/octet-stream"),
            ("dot.", "application/octet-stream"),
        ] {
            assert_eq!(types.of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(types.of(b"bad.\xff"), "application/octet-stream");
    }

    #[test]
    fn types_can_be_configured() {
        let options = FilesOptions {
            types: [(".Foo", "text/foo"), ("html", "text/html;charset=latin1"), ("md", "a/b")]
                .map(|(extension, name)| (extension.to_owned(), name.to_owned()))
                .into(),
            default_type: "text/plain".to_owned(),
            ..FilesOptions::default()
        };
        let types = ContentTypes::new(&options).unwrap();
        assert_eq!(types.of(b"x.foo"), "text/foo; charset=utf-8");
        assert_eq!(types.of(b"x.html"), "text/html;charset=latin1");
        assert_eq!(types.of(b"x.md"), "a/b");
        assert_eq!(types.of(b"x"), "text/plain; charset=utf-8");
        for bad in ["html", "text/", "/", "a b/c", "text/html\r\nX: y"] {
            let types = [("x".to_owned(), bad.to_owned())].into();
            let options = FilesOptions { types, ..FilesOptions::default() };
            assert!(ContentTypes::new(&options).unwrap_err().hint().is_some(), "{bad}");
        }
    }
}
