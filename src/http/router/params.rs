//! [`Params`]: the values of the names in a route's path.

use percent_encoding::percent_decode_str;

/// The values of the names in a route's path, percent-decoded.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(Box<str>, Box<str>)>);

impl Params {
    /// Decodes the values. `None` if a decoded value is not UTF-8.
    pub(crate) fn decode<'a>(found: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let decoded = found.map(|(name, value)| Some((name.into(), decode(value)?)));
        decoded.collect::<Option<_>>().map(Self)
    }

    /// Adds the values of a nested router. If both have a name, the value of the nested one counts.
    pub(crate) fn extend(&mut self, inner: Self) {
        self.0.extend(inner.0);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(other, _)| **other == *name).map(|(_, value)| &**value)
    }
}

/// Decodes the percent escapes of a path (RFC 3986 §2.1). A percent sign that starts no escape
/// stays as it is.
fn decode(text: &str) -> Option<Box<str>> {
    percent_decode_str(text).decode_utf8().ok().map(Box::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_decoded_and_other_percent_signs_stay() {
        for (text, decoded) in [
            ("", Some("")),
            ("a+b", Some("a+b")),
            ("%41%7a", Some("Az")),
            ("%2F%25", Some("/%")),
            ("%", Some("%")),
            ("%4", Some("%4")),
            ("%g0%41", Some("%g0A")),
            ("%e2%82%ac", Some("€")),
            ("%e2%82", None),
            ("%00", Some("\0")),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn an_escaped_text_decodes_to_itself(text in any::<String>(), all in any::<bool>()) {
            let escape = |byte: u8| match byte {
                b'a'..=b'z' if !all => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            };
            let escaped: String = text.bytes().map(escape).collect();
            let decoded = decode(&escaped);
            prop_assert_eq!(decoded.as_deref(), Some(&*text));
        }

        #[test]
        fn a_decoded_path_is_not_longer(path in "[%a-f0-9é/]{0,40}") {
            if let Some(decoded) = decode(&path) {
                prop_assert!(decoded.len() <= path.len());
            }
        }
    }
}
