//! `--print-config`: the effective settings as a file that means the same, with their origins.

use std::fmt::Write as _;

use super::table::{ROWS, Row};
use super::{Loaded, Origin};

/// The effective settings in TOML, each with where it comes from.
pub(crate) fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    let mut table = "";
    // Keys at the top must come before the first table.
    let (top, inner): (Vec<_>, Vec<&Row>) = ROWS.iter().partition(|row| !row.key.contains('.'));
    for row in top.into_iter().chain(inner) {
        let (of, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        if of != table {
            table = of;
            let _ = writeln!(out, "\n[{table}]");
        }
        let values = (row.get)(&loaded.settings);
        let value = match row.many {
            true => format!(
                "[{}]",
                values.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
            ),
            false => values.first().map(|text| literal(text)).unwrap_or_default(),
        };
        let origin = match loaded.origin(row.key) {
            Origin::Default => "default".to_owned(),
            Origin::File(path, line) => format!("{}:{line}", path.display()),
            Origin::Variable(name) => name,
            Origin::Flag(flag) => flag,
        };
        let line = format!("{key} = {value}");
        let _ = writeln!(out, "{line:<40} # {origin}");
    }
    out
}

/// A number or a switch as it is, any other text in quotes.
fn literal(text: &str) -> String {
    let bare = text == "true" || text == "false" || text.parse::<f64>().is_ok_and(f64::is_finite);
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, Settings};
    use super::*;

    #[test]
    fn what_is_printed_is_a_file_that_means_the_same() {
        let flags = Flags {
            values: vec![
                ("bind", "-b".to_owned(), vec!["unix:/a \"b\"".to_owned(), "[::]:1".to_owned()]),
                ("pool.queue", "--queue".to_owned(), vec!["77".to_owned()]),
                ("timeouts.head", "--head-timeout".to_owned(), vec!["1.5".to_owned()]),
            ],
            ..Flags::default()
        };
        let loaded = Loaded::new(&flags, &[]).unwrap();
        assert_ne!(loaded.settings, Settings::default());
        let text = print(&loaded);
        let path = std::path::Path::new("printed.toml");
        let again = Loaded::from_layers(Some((path, &text)), &[], &[]).unwrap();
        assert_eq!(again.settings, loaded.settings, "{text}");
        assert!(text.contains("# --queue"), "{text}");
    }
}
