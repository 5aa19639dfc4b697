//! Text inside of a JSON string (RFC 8259 §7).

use std::fmt::Write;

/// Appends text as the contents of a JSON string.
pub(crate) fn escape_json(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char < ' ' => {
                // Writing to a `String` does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
}
