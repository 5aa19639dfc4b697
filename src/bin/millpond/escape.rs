//! Text in double quotes, for JSON (RFC 8259 §7) and TOML, which escape it alike.

use std::fmt::Write;

/// Appends a text as it is between the double quotes of a JSON or TOML string.
pub(crate) fn escape_into(out: &mut impl Write, text: &str) {
    for c in text.chars() {
        // Writing to a `String` does not fail.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            c if c.is_control() => write!(out, "\\u{:04x}", c as u32),
            c => out.write_char(c),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        let mut out = String::new();
        escape_into(&mut out, "a\"\\\t\u{7f}\u{85}ü𝄞");
        assert_eq!(out, "a\\\"\\\\\\u0009\\u007f\\u0085ü𝄞");
    }
}
