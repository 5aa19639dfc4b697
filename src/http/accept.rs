//! What a client accepts: lists with weights (RFC 9110 §12.4.2, §12.5). Pure functions.

use http::{HeaderMap, HeaderName, header};

use super::list::split;

/// A weight in thousandths: 1000 is the highest, 0 means "not acceptable".
pub(crate) type Weight = u16;

/// Members of one field's lists that are read. Browsers send fewer than ten. The rest is ignored,
/// which bounds the work for a request.
pub(crate) const MEMBERS_MAX: usize = 64;
/// Bytes of one field's values that are read, in all its lines. The rest is ignored: a head may be
/// long, and refusals under overload must stay cheap.
const BYTES_MAX: usize = 4096;
/// Parameters of a member that are read. The rest is ignored.
const PARAMETERS_MAX: usize = 8;

/// The members of a field's lists, each with its weight. A member whose weight is malformed counts
/// as not acceptable.
pub(crate) fn weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'a [u8], Weight)> {
    let mut left = BYTES_MAX;
    let values = headers.get_all(name).into_iter().map(move |value| {
        let value = value.as_bytes();
        let value = &value[..value.len().min(left)];
        left -= value.len();
        value
    });
    values.flat_map(|value| split(value, b',')).take(MEMBERS_MAX).filter_map(|member| {
        let mut parts = split(member, b';');
        let token = parts.next().filter(|token| !token.is_empty())?;
        let mut weight = 1000;
        for part in parts.take(PARAMETERS_MAX) {
            if let Some(at) = memchr::memchr(b'=', part)
                && part[..at].trim_ascii().eq_ignore_ascii_case(b"q")
            {
                weight = qvalue(part[at + 1..].trim_ascii()).unwrap_or(0);
            }
        }
        Some((token, weight))
    })
}

/// Parses `0.5` into thousandths: up to three digits after the point, and at most 1.
fn qvalue(text: &[u8]) -> Option<Weight> {
    let (whole, fraction) = match text {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] => (*whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |digit| Weight::from(digit - b'0'));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    match (whole, thousandths) {
        (b'1', 0) => Some(1000),
        (b'0', weight) => Some(weight),
        _ => None,
    }
}

/// Whether the client names HTML among the types that it accepts. Browsers do so when they open a
/// page, and not when a page loads a picture or data.
#[cfg(any(feature = "files", test))]
pub(crate) fn names_html(headers: &HeaderMap) -> bool {
    weighted(headers, &header::ACCEPT)
        .any(|(range, weight)| weight > 0 && range.eq_ignore_ascii_case(b"text/html"))
}

/// Whether the client prefers JSON to HTML.
#[cfg(any(feature = "files", test))]
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    media_weight(headers, "application", "json") > media_weight(headers, "text", "html")
}

/// The weight of a media type: that of the most specific range that includes it (RFC 9110 §12.5.1).
fn media_weight(headers: &HeaderMap, kind: &str, subtype: &str) -> Weight {
    let mut best = (0, 0);
    for (range, weight) in weighted(headers, &header::ACCEPT) {
        let Some(slash) = memchr::memchr(b'/', range) else { continue };
        let (left, right) = (&range[..slash], &range[slash + 1..]);
        let is = |part: &[u8], name: &str| part.eq_ignore_ascii_case(name.as_bytes());
        let rank = match (is(left, kind), is(right, subtype)) {
            (true, true) => 3,
            (true, _) if right == b"*" => 2,
            _ if range == b"*/*" => 1,
            _ => continue,
        };
        best = best.max((rank, weight));
    }
    best.1
}

/// Whether a client prefers an error as problem+json (RFC 9457) to text. A range with a wildcard
/// counts for text, which every client can show.
pub(crate) fn prefers_problem_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT).into_iter();
    if !values.any(|value| memchr::memmem::find(value.as_bytes(), b"json").is_some()) {
        return false;
    }
    // The place and the weight of the first range with one of these names.
    let find = |names: [&[u8]; 2]| {
        let mut ranges = weighted(headers, &header::ACCEPT).enumerate();
        let is_named = |range: &[u8]| names.iter().any(|name| range.eq_ignore_ascii_case(name));
        ranges.find_map(|(at, (range, weight))| is_named(range).then_some((at, weight)))
    };
    let json = find([b"application/problem+json", b"application/json"]);
    let text = find([b"text/plain", b"text/html"]);
    match (json, text) {
        (None, _) => false,
        (Some((json_at, json)), Some((text_at, text))) => {
            json > text || (json == text && json > 0 && json_at < text_at)
        }
        (Some((_, json)), None) => json > 0 && json >= media_weight(headers, "text", "plain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn json_is_for_clients_that_prefer_it_to_html() {
        let table = [
            ("", false),
            ("*/*", false),
            ("application/json", true),
            ("application/*", true),
            ("text/html, application/json;q=0.9", false),
            ("text/html;q=0.5, application/json", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("text/html;x=\",\";q=0.5, application/json", true),
            ("application/json, */*", false),
            ("application/json, */*;q=0.1", true),
        ];
        for (value, expected) in table {
            assert_eq!(prefers_json(&headers(&header::ACCEPT, &[value])), expected, "{value}");
        }
    }

    #[test]
    fn no_more_than_a_few_kilobytes_are_read() {
        let long = "x".repeat(BYTES_MAX / 2);
        for (values, expected) in [
            (&[&*long, "application/json"][..], true),
            (&[&*long, &*long, "application/json"], false),
            (&[&*format!("{long},{long},application/json")], false),
        ] {
            assert_eq!(prefers_problem_json(&headers(&header::ACCEPT, values)), expected);
        }
    }

    #[test]
    fn only_text_html_with_a_weight_above_zero_requests_a_page() {
        for (value, expected) in
            [("text/html,*/*;q=0.8", true), ("*/*", false), ("text/html;q=0", false), ("", false)]
        {
            assert_eq!(names_html(&headers(&header::ACCEPT, &[value])), expected, "{value}");
        }
    }

    #[test]
    fn problem_json_is_for_clients_that_name_json_first() {
        let table = [
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/json", true),
            ("application/problem+json", true),
            ("Application/json", true),
            ("application/json, text/plain, */*", true),
            ("text/plain, application/json", false),
            ("text/html, application/json", false),
            ("application/json;q=0.5, text/plain", false),
            ("application/json, */*", true),
            ("application/json;q=0", false),
            ("application/json;q=0.5, */*", false),
            ("application/vnd.json", false),
        ];
        for (value, expected) in table {
            let headers = headers(&header::ACCEPT, &[value]);
            assert_eq!(prefers_problem_json(&headers), expected, "{value}");
        }
    }
}
