//! From the path of a target to a path below the root. Pure: no file is looked at.

use std::borrow::Cow;

/// The longest name that Linux has (`NAME_MAX`), in bytes.
const NAME_MAX: usize = 255;
/// The longest path that a system call takes (`PATH_MAX` with its NUL), in bytes.
const FILE_PATH_MAX: usize = 4096;

/// Why a path leads nowhere, whatever files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// It cannot be decoded, or holds a NUL: 400.
    Malformed,
    /// No file can have that path, or it is one that is never served: 404.
    Absent,
}

/// The path below the root: decoded once, without the slash at its start. It ends with a slash, or
/// is empty, if it asks for a directory.
///
/// It is a sequence of names exactly as they stand in directories. What a name cannot be leads
/// nowhere: an empty one, `.`, `..`, one with a slash in it, a name that is too long. Nothing is
/// resolved or tidied up, so there is nothing to be tricked; clients resolve dot segments before
/// they send a target (RFC 3986 §5.2.4). A backslash is a byte of a name like any other.
pub(super) fn relative_path(path: &str, dotfiles: bool) -> Result<Cow<'_, [u8]>, PathError> {
    let rest = path.strip_prefix('/').ok_or(PathError::Malformed)?;
    let decoded = decode(rest.as_bytes())?;
    if decoded.len() >= FILE_PATH_MAX {
        return Err(PathError::Absent);
    }
    if decoded.is_empty() {
        return Ok(decoded);
    }
    let names = decoded.strip_suffix(b"/").unwrap_or(&decoded);
    for (index, name) in names.split(|&byte| byte == b'/').enumerate() {
        if matches!(name, b"" | b"." | b"..") || name.len() > NAME_MAX {
            return Err(PathError::Absent);
        }
        let well_known = index == 0 && name == b".well-known";
        if !well_known && is_hidden(name, dotfiles) {
            return Err(PathError::Absent);
        }
    }
    Ok(decoded)
}

/// Whether a name is never served. `.htpasswd` and its kin are not, even where dot files are.
pub(super) fn is_hidden(name: &[u8], dotfiles: bool) -> bool {
    (name.starts_with(b".") && !dotfiles)
        || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b".ht"))
}

/// Whether a path asks for a directory.
pub(super) fn asks_for_directory(path: &[u8]) -> bool {
    path.is_empty() || path.ends_with(b"/")
}

/// Decodes percent escapes, once (RFC 3986 §2.1, §2.4). An escaped slash would be part of a name,
/// and no name has one.
fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    if !path.contains(&b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = after else { return Err(PathError::Malformed) };
        rest = after;
        match digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low) {
            None | Some(0) => return Err(PathError::Malformed),
            Some(b'/') => return Err(PathError::Absent),
            Some(byte) => decoded.push(byte),
        }
    }
    Ok(Cow::Owned(decoded))
}

/// The path of any target as rules for fields see it: without the slash at its start, and decoded
/// as far as that goes. It is for matching alone; nothing is opened by it.
pub(super) fn decode_leniently(path: &str) -> Cow<'_, [u8]> {
    let path = path.strip_prefix('/').unwrap_or(path).as_bytes();
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(escaped.map_or(*byte, |(high, low)| high << 4 | low));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Appends a path as a target may have it: every byte that is not unreserved (RFC 3986 §2.3), nor a
/// slash, as an escape.
pub(super) fn encode(path: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_decoded_once_and_stays_below_the_root() {
        let table: &[(&str, &[u8])] = &[
            ("/", b""),
            ("/a", b"a"),
            ("/a/b/", b"a/b/"),
            ("/a%20b", b"a b"),
            ("/%61%2e%74xt", b"a.txt"),
            ("/%252e%252e", b"%2e%2e"),
            ("/a\\..\\b", b"a\\..\\b"),
            ("/...", b"..."),
            ("/a;b=c", b"a;b=c"),
            ("/%c0%ae%c0%ae/a", b"\xc0\xae\xc0\xae/a"),
            ("/.well-known/acme", b".well-known/acme"),
        ];
        for (path, expected) in table {
            // Names of dots alone are hidden, as they begin with one; here they are asked for.
            assert_eq!(relative_path(path, true).as_deref(), Ok(*expected), "{path}");
        }
        for path in ["/.env", "/a/.git/config", "/a/.well-known/x", "/.well-known/.x", "/.a/"] {
            assert_eq!(relative_path(path, false), Err(PathError::Absent), "{path}");
        }
        for path in ["/.htpasswd", "/a/.htaccess", "/.HTpasswd", "/.ht"] {
            assert_eq!(relative_path(path, true), Err(PathError::Absent), "{path}");
        }
    }

    #[test]
    fn rules_see_every_target_decoded_as_far_as_that_goes() {
        let table: &[(&str, &[u8])] = &[
            ("*", b"*"),
            ("/a%20b", b"a b"),
            ("/%2Fa", b"/a"),
            ("/%zz%4", b"%zz%4"),
            ("/%00%", b"\0%"),
            ("/.env", b".env"),
            ("//a", b"/a"),
        ];
        for (path, expected) in table {
            assert_eq!(*decode_leniently(path), **expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_never_climbs(path in "/([a./%\\\\]|%2[eEfF]|%252e|%00|%c0%ae){0,24}") {
            if let Ok(decoded) = relative_path(&path, true) {
                prop_assert!(!decoded.starts_with(b"/"));
                prop_assert!(!decoded.contains(&0));
                let names = decoded.strip_suffix(b"/").unwrap_or(&decoded);
                for name in names.split(|&byte| byte == b'/') {
                    prop_assert!(name != b".." && name != b".", "{:?}", decoded);
                }
            }
        }

        #[test]
        fn what_is_encoded_is_decoded_to_the_same(name in "[^/\0]{1,40}") {
            prop_assume!(!matches!(name.as_str(), "." | "..") && name.len() < NAME_MAX);
            prop_assume!(!is_hidden(name.as_bytes(), true));
            let mut path = String::from("/");
            encode(name.as_bytes(), &mut path);
            let decoded = relative_path(&path, true);
            prop_assert_eq!(decoded.as_deref(), Ok(name.as_bytes()));
        }
    }
}
