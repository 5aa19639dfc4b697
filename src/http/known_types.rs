//! Content types by the extension of a file's name.

/// Corrections to the table of `mime_guess`, where it is behind IANA's registry, or has types that
/// browsers do not understand. An XML file names its own encoding, and a charset in its content
/// type would override that (RFC 7303 §3).
const CORRECTED: [(&str, &str); 27] = [
    ("avif", "image/avif"),
    ("cjs", "text/javascript"),
    ("cfg", "text/plain"),
    ("conf", "text/plain"),
    ("geojson", "application/geo+json"),
    ("ini", "text/plain"),
    ("js", "text/javascript"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("map", "application/json"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mts", "video/mp2t"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("xsl", "application/xslt+xml"),
    ("zst", "application/zstd"),
];

/// The last extension of a file's name, in small letters.
pub(crate) fn extension(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = name.iter().rposition(|&byte| byte == b'.').map(|dot| &name[dot + 1..])?;
    std::str::from_utf8(extension).ok().map(str::to_ascii_lowercase)
}

/// The content type of an extension in small letters.
pub(crate) fn known_type(extension: &str) -> Option<&'static str> {
    match CORRECTED.iter().find(|(known, _)| *known == extension) {
        Some((_, name)) => Some(*name),
        None => mime_guess::from_ext(extension).first_raw(),
    }
}
