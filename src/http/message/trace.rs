//! [`TraceParent`]: the trace that a request belongs to; and the id that a proxy gave a request.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

use super::Request;

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The length of version 00 of the field. A later version is at least as long.
const LENGTH: usize = 55;

/// The most bytes of a request id.
const REQUEST_ID_MAX: usize = 128;

/// The parent of this request in a trace: the field `traceparent` of W3C Trace Context level 1
/// (<https://www.w3.org/TR/trace-context-1/#traceparent-header>).
///
/// # Examples
/// ```
/// use millpond::http::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse().unwrap();
/// assert!(parent.is_sampled());
/// assert_eq!(parent.parent_id(), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
/// assert_eq!(parent.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The id of the trace; not all zero.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span that sent this request; not all zero.
    #[must_use]
    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// Whether the caller may have recorded the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The parent for a request that the handler sends: the same trace, with the id of the
    /// handler's own span. `None` if the id is all zero.
    #[must_use]
    pub fn child(&self, span_id: [u8; 8]) -> Option<Self> {
        (span_id != [0; 8]).then_some(Self { parent_id: span_id, ..*self })
    }

    /// Parses the value of the field. `None`: it is malformed, and is to be ignored.
    ///
    /// Version 00 is exactly 55 characters in lower case. A later version begins like it and may
    /// have more behind a dash; only the bit `sampled` of its flags is known.
    fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let [version] = hex(&head[..2])?;
        let is_version_known = match (version, rest) {
            (0xff, _) => false,
            (0, rest) => rest.is_empty(),
            (_, rest) => rest.is_empty() || rest[0] == b'-',
        };
        if !is_version_known || [head[2], head[35], head[52]] != *b"---" {
            return None;
        }
        let (trace_id, parent_id) = (hex(&head[3..35])?, hex(&head[36..52])?);
        let [flags] = hex(&head[53..])?;
        // Flags that this version does not know are not passed on.
        let flags = flags & 1;
        let is_valid = trace_id != [0; 16] && parent_id != [0; 8];
        is_valid.then_some(Self { trace_id, parent_id, flags })
    }
}

/// The bytes that digits in lower case stand for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        Self::parse(text.as_bytes()).ok_or(InvalidTraceParent)
    }
}

/// The error of parsing an invalid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid traceparent: expected VERSION-TRACE_ID-PARENT_ID-FLAGS in lower case")
    }
}

impl std::error::Error for InvalidTraceParent {}

/// Writes it as version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let parent_id = u64::from_be_bytes(self.parent_id);
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{:02x}", self.flags)
    }
}

impl Request {
    /// The trace that the request belongs to, from its field `traceparent`; `None` if there is
    /// none, more than one, or a malformed one. It is parsed at each call.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    ///
    /// fn greet(req: &mut Request) -> Response {
    ///     let span_id = *b"my span!"; // a random one, in a real program
    ///     let downstream = req.trace_parent().and_then(|parent| parent.child(span_id));
    ///     match downstream {
    ///         Some(parent) => Response::text(format!("traceparent: {parent}\n")),
    ///         None => Response::text("not traced\n"),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn trace_parent(&self) -> Option<TraceParent> {
        TraceParent::parse(self.only_value(&TRACE_PARENT)?)
    }

    /// The id that the client or a proxy gave the request in its field `X-Request-Id`; `None` if
    /// there is none, more than one, or one that is not 1 to 128 visible ASCII characters without
    /// `"`, `,`, `;`, `<`, `>` and `\`. Such an id can be written into logs and lists as it is.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = http::Request::builder().header("X-Request-Id", "7b0c-42");
    /// let request = Request::from(builder.body(millpond::http::Body::empty())?);
    /// assert_eq!(request.request_id(), Some("7b0c-42"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        let value = self.only_value(&REQUEST_ID)?;
        let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !b"\",;<>\\".contains(byte);
        let is_valid = (1..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(is_allowed);
        if is_valid { str::from_utf8(value).ok() } else { None }
    }

    /// The value of a field that may come once.
    fn only_value(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut values = self.headers().get_all(name).iter();
        let first = values.next()?;
        values.next().is_none().then_some(first.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::http::Body;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn with(name: &'static str, values: &[&[u8]]) -> Request {
        let mut request = Request::from(http::Request::new(Body::empty()));
        for value in values {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        request
    }

    #[test]
    fn a_traceparent_is_read_strictly() {
        let table: &[(&str, Option<&str>)] = &[
            (VALID, Some(VALID)),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
            ),
            // Flags that are not known.
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", Some(VALID)),
            // Later versions.
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(VALID)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", Some(VALID)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", Some(VALID)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", None),
            ("", None),
        ];
        for (text, expected) in table {
            let parent = with("traceparent", &[text.as_bytes()]).trace_parent();
            assert_eq!(parent.map(|parent| parent.to_string()).as_deref(), *expected, "{text:?}");
            assert_eq!(text.parse().ok(), parent, "{text:?}");
        }
        assert_eq!(with("traceparent", &[]).trace_parent(), None);
        assert_eq!(with("traceparent", &[VALID.as_bytes(); 2]).trace_parent(), None);
    }

    #[test]
    fn a_child_has_the_trace_and_a_parent_of_its_own() {
        let parent: TraceParent = VALID.parse().unwrap();
        let child = parent.child([7; 8]).unwrap();
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
        assert_eq!(parent.child([0; 8]), None);
    }

    #[test]
    fn a_request_id_is_short_visible_text_without_separators() {
        let longest = [b'a'; REQUEST_ID_MAX];
        let longer = [b'a'; REQUEST_ID_MAX + 1];
        let valid: [&[u8]; 5] =
            [b"7", b"b7e9-42", b"Root=1-67891233-abcdef", b"a/b+c==:{}", &longest];
        for id in valid {
            let request = with("x-request-id", &[id]);
            assert_eq!(request.request_id().map(str::as_bytes), Some(id));
        }
        let invalid: [&[u8]; 10] =
            [b"", b"a b", b"a\tb", b"a,b", b"a;b", b"\"a\"", b"<a>", b"a\\", b"\xe9", &longer];
        for id in invalid {
            assert_eq!(with("x-request-id", &[id]).request_id(), None, "{}", id.escape_ascii());
        }
        assert_eq!(with("x-request-id", &[b"a", b"a"]).request_id(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_written_is_read_again(
            trace_id in 1_u128.., parent_id in 1_u64.., flags in 0_u8..2,
        ) {
            let (trace_id, parent_id) = (trace_id.to_be_bytes(), parent_id.to_be_bytes());
            let parent = TraceParent { trace_id, parent_id, flags };
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn no_value_makes_it_panic(value in "[-0-9a-fA-Z\u{e9}]{0,60}") {
            let _ = TraceParent::parse(value.as_bytes());
        }
    }
}
