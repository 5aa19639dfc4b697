//! [`BindOptions`]: the parts of an endpoint as text that are not its address, such as
//! `?priority=high&proxy=require`.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind};

/// How a server serves an endpoint: the options at the end of its text.
///
/// | option | field | meaning |
/// |---|---|---|
/// | `priority=high` | `urgent` | its work is served first and refused last |
/// | `proxy=require` | `proxy_header` | each connection begins with a PROXY header |
///
/// # Examples
/// ```
/// use millpond::BindOptions;
///
/// let (endpoint, options) = BindOptions::split("tcp://[::]:80?priority=high&proxy=require")?;
/// assert_eq!(endpoint, "tcp://[::]:80");
/// assert!(options.urgent && options.proxy_header);
///
/// let error = BindOptions::split("tcp://[::]:80?proxy=maybe").unwrap_err();
/// assert!(error.to_string().starts_with("unknown option \"proxy=maybe\""));
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindOptions {
    /// Whether workers serve its requests first: see [`Bind::urgent`](crate::Bind::urgent).
    pub urgent: bool,
    /// Whether each connection begins with a PROXY header: see
    /// [`Bind::proxy_header`](crate::Bind::proxy_header).
    pub proxy_header: bool,
}

/// The options, for the error about an unknown one.
const EXPECTED: &str = "priority=high or proxy=require";

impl BindOptions {
    /// Splits the options from an endpoint as text. Returns the endpoint without them.
    ///
    /// The options follow the last `?`, joined by `&`. In the path or name of a Unix socket, a `?`
    /// is a part of the name unless an `=` and no `/` follows.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`] if an option is unknown.
    pub fn split(endpoint: &str) -> Result<(Cow<'_, str>, Self), Error> {
        let mut options = Self::default();
        let Some((rest, tail)) = split_tail(endpoint) else {
            return Ok((endpoint.into(), options));
        };
        for option in tail.split('&') {
            match option {
                "priority=high" => options.urgent = true,
                "proxy=require" => options.proxy_header = true,
                _ => return Err(unknown(option, rest)),
            }
        }
        Ok((rest.into(), options))
    }

    /// The options that either has.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            urgent: self.urgent || other.urgent,
            proxy_header: self.proxy_header || other.proxy_header,
        }
    }
}

/// Splits the text of the options from that of the address.
pub(super) fn split_tail(endpoint: &str) -> Option<(&str, &str)> {
    let (rest, tail) = endpoint.rsplit_once('?')?;
    let is_part_of_name = rest.starts_with("unix") && (tail.contains('/') || !tail.contains('='));
    (!is_part_of_name).then_some((rest, tail))
}

fn unknown(option: &str, endpoint: &str) -> Error {
    let what = format!("unknown option {option:?} of the endpoint {endpoint}: expected {EXPECTED}");
    let hint = format!("options are joined by `&`: {endpoint}?priority=high&proxy=require");
    Error::new(ErrorKind::Endpoint, what).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, bool, bool) {
        let (endpoint, options) = BindOptions::split(text).unwrap();
        (endpoint.into_owned(), options.urgent, options.proxy_header)
    }

    #[test]
    fn options_are_split_from_an_endpoint_in_any_order() {
        for (text, endpoint, urgent, proxy_header) in [
            ("tcp://[::]:80", "tcp://[::]:80", false, false),
            ("[::]:80?priority=high", "[::]:80", true, false),
            ("[::]:80?proxy=require", "[::]:80", false, true),
            ("[::]:80?priority=high&proxy=require", "[::]:80", true, true),
            ("[::]:80?proxy=require&priority=high", "[::]:80", true, true),
            ("unix:/run/a?proxy=require", "unix:/run/a", false, true),
            ("unix:/run/a?b?proxy=require", "unix:/run/a?b", false, true),
            ("fd:web?proxy=require", "fd:web", false, true),
        ] {
            assert_eq!(split(text), (endpoint.to_owned(), urgent, proxy_header), "{text}");
        }
    }

    #[test]
    fn a_question_mark_may_be_part_of_the_name_of_a_unix_socket() {
        for text in ["unix:/run/a?b", "unix:@what?", "unix:/run/a=b?c=d/e"] {
            assert_eq!(split(text), (text.to_owned(), false, false));
        }
    }

    #[test]
    fn an_unknown_option_is_an_error_that_names_it() {
        for (text, option) in [
            ("[::]:80?x", "x"),
            ("[::]:80?", ""),
            ("[::]:80?priority=low", "priority=low"),
            ("[::]:80?proxy=require&", ""),
            ("[::]:80?proxy=require&proxy", "proxy"),
            ("unix:/run/a?prio=high", "prio=high"),
        ] {
            let error = BindOptions::split(text).unwrap_err();
            let endpoint = text.split('?').next().unwrap();
            assert_eq!(
                error.to_string(),
                format!(
                    "unknown option {option:?} of the endpoint {endpoint}: expected {EXPECTED}"
                )
            );
            assert!(error.hint().is_some());
        }
    }
}
