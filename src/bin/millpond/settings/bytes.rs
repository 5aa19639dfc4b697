//! Values of settings that are not UTF-8, as paths may be.
//!
//! Settings are text until they are parsed. Each byte that is not UTF-8 becomes a character of the
//! last private plane of Unicode, which no text uses; a path becomes bytes again when it is parsed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The character of byte 0. Bytes that are not UTF-8 are 0x80 to 0xff.
const BYTE_0: u32 = 0x10_ff00;

/// Keys whose values are paths, which may have any bytes.
const PATHS: [&str; 7] =
    ["root", "access_log.file", "files.auth", "reach", "tls.cert", "tls.key", "tls.client_ca"];

/// Bytes as text.
pub(crate) fn text(value: &OsStr) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&b| char::from_u32(BYTE_0 + u32::from(b))));
    }
    text
}

/// The byte that a character encodes, if it encodes one.
fn byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(BYTE_0)?).ok()
}

/// The path that a text encodes.
pub(crate) fn path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(bytes).into()
}

/// Whether a setting accepts this value: a path may have any bytes, other values are UTF-8.
pub(super) fn fits(key: &str, value: &str) -> bool {
    PATHS.contains(&key) || value.chars().all(|c| byte(c).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_as_they_were() {
        for bytes in [&b"/srv/www"[..], b"/m\xfchle", b"\xff\x80/\xe2\x82\xac\xe2\x82", b""] {
            let value = OsStr::from_bytes(bytes);
            let text = text(value);
            assert_eq!(path(&text).as_os_str(), value);
            assert_eq!(fits("user", &text), value.to_str().is_some());
            assert!(fits("root", &text));
        }
        assert_eq!(text(OsStr::new("Mühle")), "Mühle");
    }
}
