//! What a client accepts: lists with weights (RFC 9110 §12.4.2, §12.5). Pure functions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::list::split;

/// A weight in thousandths: 1000 is the highest, 0 means "not acceptable".
pub(super) type Weight = u16;

/// Members of one field's lists that are read. Browsers send fewer than ten. The rest is ignored,
/// which bounds the work for a request.
const MEMBERS_MAX: usize = 64;
/// Parameters of a member that are read. The rest is ignored.
const PARAMETERS_MAX: usize = 8;

/// The members of a field's lists, each with its weight. A member whose weight is malformed counts
/// as not acceptable.
fn weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'a [u8], Weight)> {
    let values = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
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

/// A content coding in which a compressed file may exist beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The name in Accept-Encoding and Content-Encoding.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The suffix of a compressed file's name.
    pub(super) fn suffix(self) -> &'static [u8] {
        match self {
            Self::Zstd => b".zst",
            Self::Brotli => b".br",
            Self::Gzip => b".gz",
        }
    }
}

/// The client's weight for each coding (RFC 9110 §12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codings {
    identity: Weight,
    coded: [Weight; Coding::ALL.len()],
}

impl Codings {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut identity, mut any) = (None, None);
        let mut coded = [None; Coding::ALL.len()];
        for (token, weight) in weighted(headers, &header::ACCEPT_ENCODING) {
            let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
            if is("identity") {
                identity = Some(weight);
            } else if is("*") {
                any = Some(weight);
            } else if let Some(place) = Coding::ALL
                .iter()
                .position(|coding| is(coding.token()) || (*coding == Coding::Gzip && is("x-gzip")))
            {
                coded[place] = Some(weight);
            }
        }
        // Unless the field names it, identity is acceptable, with a weight below every other.
        let identity = identity.unwrap_or(if any == Some(0) { 0 } else { 1 });
        Self { identity, coded: coded.map(|weight| weight.or(any).unwrap_or(0)) }
    }

    pub(super) fn weight(&self, coding: Option<Coding>) -> Weight {
        match coding {
            None => self.identity,
            Some(coding) => self.coded[coding as usize],
        }
    }
}

/// Whether the client names HTML among the types that it accepts. Browsers do so when they open a
/// page, and not when a page loads a picture or data.
pub(super) fn names_html(headers: &HeaderMap) -> bool {
    weighted(headers, &header::ACCEPT)
        .any(|(range, weight)| weight > 0 && range.eq_ignore_ascii_case(b"text/html"))
}

/// Whether the client prefers JSON to HTML.
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
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
    fn codings_are_weighed_as_rfc_9110_12_5_3_says() {
        // Identity, zstd, br, gzip.
        let table: &[(&[&str], [Weight; 4])] = &[
            (&[], [1, 0, 0, 0]),
            (&[""], [1, 0, 0, 0]),
            (&["gzip, deflate, br, zstd"], [1, 1000, 1000, 1000]),
            (&["gzip;q=0.5, br;q=0.25"], [1, 0, 250, 500]),
            (&["gzip", "br;q=0.1"], [1, 0, 100, 1000]),
            (&["*"], [1, 1000, 1000, 1000]),
            (&["*;q=0"], [0, 0, 0, 0]),
            (&["gzip, *;q=0"], [0, 0, 0, 1000]),
            (&["identity;q=0.5, gzip;q=0.2"], [500, 0, 0, 200]),
            (&["identity;q=0, br"], [0, 0, 1000, 0]),
            (&["GZIP ; Q=0.001"], [1, 0, 0, 1]),
            (&["x-gzip"], [1, 0, 0, 1000]),
            (&["gzip;q=2, br;q=x, zstd;q=0.1234"], [1, 0, 0, 0]),
            (&[", ,gzip;q=1.000,"], [1, 0, 0, 1000]),
            (&["gzip;q=, br;q=1.001, zstd;q=0."], [1, 0, 0, 0]),
        ];
        for (values, [identity, coded @ ..]) in table {
            let codings = Codings::of(&headers(&header::ACCEPT_ENCODING, values));
            assert_eq!(codings, Codings { identity: *identity, coded: *coded }, "{values:?}");
        }
    }

    #[test]
    fn members_and_parameters_beyond_the_limits_are_ignored() {
        let codings = |value: &str| Codings::of(&headers(&header::ACCEPT_ENCODING, &[value]));
        let many = |n: usize| "a,".repeat(n);
        assert_eq!(codings(&(many(MEMBERS_MAX - 1) + "gzip")).coded, [0, 0, 1000]);
        assert_eq!(codings(&(many(MEMBERS_MAX) + "gzip")).coded, [0, 0, 0]);
        assert_eq!(codings(&(many(30_000) + "gzip")).coded, [0, 0, 0]);
        assert_eq!(codings(&format!("gzip{};q=0.5", ";a=b".repeat(9))).coded, [0, 0, 1000]);
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
    fn only_text_html_with_a_weight_above_zero_requests_a_page() {
        for (value, expected) in
            [("text/html,*/*;q=0.8", true), ("*/*", false), ("text/html;q=0", false), ("", false)]
        {
            assert_eq!(names_html(&headers(&header::ACCEPT, &[value])), expected, "{value}");
        }
    }
}
