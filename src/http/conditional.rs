//! Conditional requests: preconditions in their order (RFC 9110 §13.2.2).

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, header};
use memchr::memmem;

use super::codec::date::LAST_SECOND;
use super::list::split_tags;

/// The validators, which distinguish one version of a resource from another (RFC 9110 §8.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag with its quotes, and with `W/` before it if it is weak; empty if there is
    /// none.
    pub(crate) etag: &'a [u8],
    /// Last-Modified in seconds since 1970, if there is one.
    pub(crate) modified: Option<u64>,
}

/// The result of evaluating the preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preconditions {
    /// All are true: respond as without preconditions.
    Proceed,
    /// 304: the client has this version.
    NotModified,
    /// 412: the resource is not the version that the client expects.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD whose response would be 200. `now` is in seconds
/// since 1970.
pub(crate) fn evaluate(
    headers: &HeaderMap,
    validators: &Validators<'_>,
    now: u64,
) -> Preconditions {
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, &header::IF_MATCH, validators.etag, strong) {
            return Preconditions::Failed;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, &header::IF_UNMODIFIED_SINCE), validators.modified)
        && modified > date
    {
        return Preconditions::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if lists(headers, &header::IF_NONE_MATCH, validators.etag, weak) {
            return Preconditions::NotModified;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, &header::IF_MODIFIED_SINCE), validators.modified)
        // A date later than the server's clock is invalid (RFC 9110 §13.1.3).
        && (modified..=now).contains(&date)
    {
        return Preconditions::NotModified;
    }
    Preconditions::Proceed
}

/// The precondition of a request that changes a resource, if it is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedWrite {
    /// If-Match names another version (RFC 9110 §13.1.1).
    IfMatch,
    /// If-None-Match names this version, or any (§13.1.2).
    IfNoneMatch,
}

/// Evaluates the preconditions of a request that changes a resource, by the resource's entity tag:
/// `None` if it does not exist.
pub(crate) fn evaluate_write(headers: &HeaderMap, etag: Option<&[u8]>) -> Result<(), FailedWrite> {
    let named = |name, same| etag.is_some_and(|etag| lists(headers, name, etag, same));
    if headers.contains_key(header::IF_MATCH) && !named(&header::IF_MATCH, strong) {
        return Err(FailedWrite::IfMatch);
    }
    match named(&header::IF_NONE_MATCH, weak) {
        true => Err(FailedWrite::IfNoneMatch),
        false => Ok(()),
    }
}

/// Whether a Range field applies: there is no If-Range, or it names this version (RFC 9110
/// §13.1.5).
#[cfg(feature = "files")]
pub(crate) fn range_counts(headers: &HeaderMap, validators: &Validators<'_>) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    let value = value.as_bytes();
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return strong(value, validators.etag);
    }
    // A date is as good as a strong tag only if the file cannot have changed twice within its
    // second (§8.8.2.2). The same condition makes the tag strong.
    let is_strong = !validators.etag.starts_with(b"W/");
    is_strong && validators.modified.is_some() && seconds(value) == validators.modified
}

/// Strong comparison (RFC 9110 §8.8.3.2): equal, and neither is weak.
fn strong(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

/// Weak comparison: equal, weak or not.
fn weak(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

/// A tag without the prefix of a weak one.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of tags contains this tag, or is `*`. Members after a malformed one are not read.
fn lists(
    headers: &HeaderMap,
    name: &HeaderName,
    etag: &[u8],
    same: fn(&[u8], &[u8]) -> bool,
) -> bool {
    headers.get_all(name).into_iter().any(|value| {
        let value = value.as_bytes();
        // Searched first, so that a list of thousands of tags is split only if it contains this
        // one.
        value.trim_ascii() == b"*"
            || (memmem::find(value, opaque(etag)).is_some()
                && tags(value).any(|tag| same(tag, etag)))
    })
}

/// The entity tags of a list, up to the first malformed member.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_tags(list).filter(|member| !member.is_empty()).take_while(|member| is_tag(member))
}

/// Whether this is an entity tag: a quoted string without another quote in it, perhaps weak.
pub(crate) fn is_tag(member: &[u8]) -> bool {
    let inside = opaque(member).strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inside.is_some_and(|inside| !inside.contains(&b'"'))
}

/// The date of a field that has exactly one; a malformed date is ignored (RFC 9110 §13.1.3).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    seconds(value.as_bytes())
}

/// A date in seconds since 1970; `None` if it is malformed.
pub(crate) fn seconds(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

/// A date for Last-Modified.
pub(crate) fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const SECONDS: u64 = 784_111_777;
    const NOW: u64 = SECONDS + 1;
    const TOMORROW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn preconditions_are_evaluated_in_the_order_of_rfc_9110_13_2_2() {
        use Preconditions::{Failed, NotModified, Proceed};
        let table: &[(&[(&str, &str)], Preconditions)] = &[
            (&[], Proceed),
            // §13.1.2
            (&[("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "W/\"a\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Proceed),
            (&[("if-none-match", "\"b\", \"a\"")], NotModified),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", ",\"b,\" ,W/\"a\"")], NotModified),
            (&[("if-none-match", "a")], Proceed),
            (&[("if-none-match", "\"b\" a \"a\"")], Proceed),
            (&[("if-none-match", "\"a")], Proceed),
            (&[("if-none-match", "")], Proceed),
            // §13.1.3: ignored if there is an If-None-Match, or if it is not a date.
            (&[("if-modified-since", DATE)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", EARLIER)], Proceed),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("if-modified-since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("if-modified-since", "yesterday")], Proceed),
            (&[("if-modified-since", TOMORROW)], Proceed),
            (&[("if-modified-since", DATE), ("if-modified-since", DATE)], Proceed),
            (&[("if-none-match", "\"b\""), ("if-modified-since", DATE)], Proceed),
            (&[("if-none-match", "\"a\""), ("if-modified-since", EARLIER)], NotModified),
            // §13.1.1: strong comparison.
            (&[("if-match", "\"a\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "\"b\", \"a\"")], Proceed),
            (&[("if-match", "W/\"a\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-match", "junk")], Failed),
            // §13.1.4: ignored if there is an If-Match.
            (&[("if-unmodified-since", DATE)], Proceed),
            (&[("if-unmodified-since", LATER)], Proceed),
            (&[("if-unmodified-since", EARLIER)], Failed),
            (&[("if-unmodified-since", "junk")], Proceed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)], Proceed),
            (&[("if-match", "\"b\""), ("if-unmodified-since", LATER)], Failed),
            // The first two precede the last two.
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-unmodified-since", EARLIER), ("if-modified-since", DATE)], Failed),
            (&[("if-unmodified-since", DATE), ("if-modified-since", DATE)], NotModified),
        ];
        for (fields, expected) in table {
            let validators = Validators { etag: b"\"a\"", modified: Some(SECONDS) };
            assert_eq!(evaluate(&headers(fields), &validators, NOW), *expected, "{fields:?}");
        }
        let weak = Validators { etag: b"W/\"a\"", modified: None };
        assert_eq!(evaluate(&headers(&[("if-match", "W/\"a\"")]), &weak, NOW), Failed);
        assert_eq!(evaluate(&headers(&[("if-none-match", "\"a\"")]), &weak, NOW), NotModified);
        assert_eq!(evaluate(&headers(&[("if-modified-since", DATE)]), &weak, NOW), Proceed);
    }

    #[test]
    fn a_write_needs_the_version_that_it_names() {
        let (any, none) = (Ok(()), Err(FailedWrite::IfNoneMatch));
        let other = Err(FailedWrite::IfMatch);
        for (fields, strong, weak, absent) in [
            (&[][..], any, any, any),
            (&[("if-match", "\"a\"")], any, other, other),
            (&[("if-match", "\"b\", \"a\"")], any, other, other),
            (&[("if-match", "\"b\"")], other, other, other),
            (&[("if-match", "*")], any, any, other),
            (&[("if-match", "junk")], other, other, other),
            (&[("if-none-match", "*")], none, none, any),
            (&[("if-none-match", "\"a\"")], none, none, any),
            (&[("if-none-match", "\"b\"")], any, any, any),
            (&[("if-match", "\"a\""), ("if-none-match", "*")], none, other, other),
        ] {
            let headers = headers(fields);
            assert_eq!(evaluate_write(&headers, Some(b"\"a\"")), strong, "{fields:?}");
            assert_eq!(evaluate_write(&headers, Some(b"W/\"a\"")), weak, "{fields:?}");
            assert_eq!(evaluate_write(&headers, None), absent, "{fields:?}");
        }
    }

    #[test]
    fn without_a_tag_only_the_star_and_the_dates_count() {
        use Preconditions::{Failed, NotModified, Proceed};
        let untagged = Validators { etag: b"", modified: Some(SECONDS) };
        for (fields, expected) in [
            (&[("if-none-match", "\"\"")][..], Proceed),
            (&[("if-none-match", "\"a\", , \"b\"")], Proceed),
            (&[("if-none-match", "")], Proceed),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-match", "\"\"")], Failed),
            (&[("if-match", "*")], Proceed),
            (&[("if-modified-since", DATE)], NotModified),
        ] {
            assert_eq!(evaluate(&headers(fields), &untagged, NOW), expected, "{fields:?}");
        }
    }

    #[test]
    #[cfg(feature = "files")]
    fn if_range_compares_strongly() {
        let strong = Validators { etag: b"\"a\"", modified: Some(SECONDS) };
        let weak = Validators { etag: b"W/\"a\"", modified: Some(SECONDS) };
        for (value, with_strong, with_weak) in [
            ("\"a\"", true, false),
            ("W/\"a\"", false, false),
            ("\"b\"", false, false),
            (DATE, true, false),
            (LATER, false, false),
            (EARLIER, false, false),
            ("junk", false, false),
        ] {
            let headers = headers(&[("if-range", value)]);
            assert_eq!(range_counts(&headers, &strong), with_strong, "{value}");
            assert_eq!(range_counts(&headers, &weak), with_weak, "{value}");
        }
        assert!(range_counts(&HeaderMap::new(), &weak));
    }

    #[test]
    fn a_formatted_date_parses_to_the_same_second() {
        assert_eq!(http_date(SECONDS), DATE);
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
