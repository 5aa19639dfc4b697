//! Translates the path of a target into a path below the root. Pure functions: they open no file.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// The maximum length of a name on Linux (`NAME_MAX`), in bytes.
const NAME_MAX: usize = 255;
/// The maximum length of a path in a system call (`PATH_MAX`, with its NUL), in bytes.
const FILE_PATH_MAX: usize = 4096;

/// Why no file can exist at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// 400: the path cannot be decoded, or contains a NUL.
    Malformed,
    /// 404: no file can have this path, or it is never served.
    Absent,
}

/// The path below the root, decoded once and without its leading slash. A path of a directory ends
/// with a slash, or is empty.
///
/// The path is a sequence of literal names. An empty name, `.`, `..`, a name that contains a slash,
/// and a name that is too long are errors. Nothing is normalized, which leaves nothing to exploit:
/// clients resolve dot segments before they send a target (RFC 3986 §5.2.4). A backslash is an
/// ordinary byte of a name.
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

/// Whether a name is not served. Names such as `.htpasswd` are hidden even with `dotfiles`.
pub(super) fn is_hidden(name: &[u8], dotfiles: bool) -> bool {
    (name.starts_with(b".") && !dotfiles)
        || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b".ht"))
}

/// Whether a path has the form of a directory's.
pub(super) fn is_directory_path(path: &[u8]) -> bool {
    path.is_empty() || path.ends_with(b"/")
}

/// Decodes percent escapes, once (RFC 3986 §2.1, §2.4).
fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            Some(b"00") => return Err(PathError::Malformed),
            // An escaped slash would be part of a name, and no file name contains one.
            Some(b"2F" | b"2f") => return Err(PathError::Absent),
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(PathError::Malformed),
        }
    }
    Ok(percent_decode(path).into())
}

/// The path of any target as the patterns of header rules see it: without its leading slash, and
/// with every valid escape decoded. It is for matching only; no file is opened by it.
pub(super) fn decode_leniently(path: &str) -> Cow<'_, [u8]> {
    percent_decode(path.strip_prefix('/').unwrap_or(path).as_bytes()).into()
}

/// Bytes that a path in a target contains only as escapes: all but the unreserved ones (RFC 3986
/// §2.3) and the slash.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Appends a path as a target can contain it.
pub(super) fn encode(path: &[u8], out: &mut String) {
    out.extend(percent_encode(path, ESCAPED));
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
            // Names of dots are hidden like all that begin with one, so `dotfiles` is set here.
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
    fn patterns_of_rules_match_every_target_decoded_leniently() {
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
        fn a_decoded_path_never_leaves_the_root(
            path in "/([a./%\\\\]|%2[eEfF]|%252e|%00|%c0%ae){0,24}",
        ) {
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
        fn an_encoded_name_decodes_to_itself(name in "[^/\0]{1,40}") {
            prop_assume!(!matches!(name.as_str(), "." | "..") && name.len() < NAME_MAX);
            prop_assume!(!is_hidden(name.as_bytes(), true));
            let mut path = String::from("/");
            encode(name.as_bytes(), &mut path);
            let decoded = relative_path(&path, true);
            prop_assert_eq!(decoded.as_deref(), Ok(name.as_bytes()));
        }
    }
}
