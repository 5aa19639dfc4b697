//! Splitting the value of a field into the members of its list (RFC 9110 §5.6.1).

use memchr::{memchr, memchr2};

/// Splits a field value at each `separator` outside of quoted strings (RFC 9110 §5.6.4), and trims
/// the parts. Empty parts are returned too.
///
/// The iterator is lazy: it reads no byte of a part before the caller requests that part, so that a
/// caller bounds its work by the number of parts that it requests.
pub(crate) fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    parts(value, separator, true)
}

/// Splits a list of entity tags (RFC 9110 §8.8.3) at its commas, as [`split`] does. In an entity
/// tag, a backslash is an ordinary character.
pub(crate) fn split_tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(value, b',', false)
}

fn parts(value: &[u8], separator: u8, escapes: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = part_length(text, separator, escapes);
        rest = text.get(end + 1..);
        Some(text[..end].trim_ascii())
    })
}

/// The length of the first part. A quoted string that is not closed ends with the text.
fn part_length(text: &[u8], separator: u8, escapes: bool) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(separator, b'"', &text[at..]) {
        at += found;
        if text[at] == separator {
            return at;
        }
        match quoted_length(&text[at + 1..], escapes) {
            Some(length) => at += length + 1,
            None => break,
        }
    }
    text.len()
}

/// The length of a quoted string without its opening quote; `None` if it has no closing one.
fn quoted_length(text: &[u8], escapes: bool) -> Option<usize> {
    if !escapes {
        return memchr(b'"', text).map(|quote| quote + 1);
    }
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_split_outside_of_quoted_strings() {
        let table: &[(&str, &[&str])] = &[
            ("", &[""]),
            ("a", &["a"]),
            ("a, b\t,c", &["a", "b", "c"]),
            (",a,,", &["", "a", "", ""]),
            (r#"a;x="b,c", d"#, &[r#"a;x="b,c""#, "d"]),
            (r#"a="b\",c",d"#, &[r#"a="b\",c""#, "d"]),
            (r#"a="b\\",d"#, &[r#"a="b\\""#, "d"]),
            (r#"a,"b,c"#, &["a", r#""b,c"#]),
            (r#"a,"b\"#, &["a", r#""b\"#]),
        ];
        for (value, expected) in table {
            let parts: Vec<_> = split(value.as_bytes(), b',').collect();
            let expected: Vec<_> = expected.iter().map(|part| part.as_bytes()).collect();
            assert_eq!(parts, expected, "{value}");
        }
        let tags: Vec<_> = split_tags(br#""a\", W/"b,c""#).collect();
        assert_eq!(tags, [&br#""a\""#[..], br#"W/"b,c""#]);
    }

    proptest! {
        #[test]
        fn without_quotes_every_separator_splits(value in "[a, ]{0,20}") {
            let parts: Vec<_> = split(value.as_bytes(), b',').collect();
            let expected: Vec<_> = value.split(',').map(|part| part.trim().as_bytes()).collect();
            prop_assert_eq!(parts, expected);
        }

        #[test]
        fn no_value_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (split(&value, b',').count(), split(&value, b'"').count());
            let _ = split_tags(&value).count();
        }
    }
}
