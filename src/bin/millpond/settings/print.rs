//! `--print-config`: the effective settings as a file, with the origin of each.

use std::fmt::Write as _;

use super::load::Loaded;
use super::origin::Origin;
use super::table::{Row, rows, site_rows};
use super::types::Settings;
use crate::escape::escape_into;

/// The effective settings in TOML, each with its origin. As a file, they have the same meaning.
pub(crate) fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    write(&mut out, "", rows(), &loaded.settings, |key| loaded.origin(key));
    for (index, site) in loaded.settings.sites.iter().enumerate() {
        let _ = writeln!(out, "\n[[site]]");
        let settings = Settings { site: site.clone(), ..Settings::default() };
        write(&mut out, "site.", site_rows(), &settings, |key| loaded.site_origin(index, key));
    }
    out
}

/// Writes the settings of some rows, keys at the top before keys in tables, as TOML requires.
fn write<'a>(
    out: &mut String,
    within: &str,
    rows: impl Iterator<Item = &'a Row>,
    settings: &Settings,
    origin: impl Fn(&str) -> Origin,
) {
    let mut table = "";
    let (top, inner): (Vec<_>, Vec<&Row>) = rows.partition(|row| !row.key.contains('.'));
    for row in top.into_iter().chain(inner) {
        let (of, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        if of != table {
            table = of;
            let _ = writeln!(out, "\n[{within}{table}]");
        }
        let line = format!("{key} = {}", value(row, settings));
        let _ = writeln!(out, "{line:<40} # {}", origin(row.key));
    }
}

/// The value of a setting as TOML.
pub(crate) fn value(row: &Row, settings: &Settings) -> String {
    let values = (row.get)(settings);
    match row.is_list {
        true => {
            let quoted: Vec<_> = values.iter().map(|text| self::quoted(text)).collect();
            format!("[{}]", quoted.join(", "))
        }
        false => values.first().map(|text| literal(text)).unwrap_or_default(),
    }
}

/// A number or a switch without quotes, any other text in quotes.
fn literal(text: &str) -> String {
    let bare = text == "true" || text == "false" || text.parse::<f64>().is_ok_and(f64::is_finite);
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    escape_into(&mut out, text);
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Flags;

    #[test]
    fn printed_settings_are_a_file_with_the_same_meaning() {
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

    #[test]
    fn sites_are_printed_with_the_settings_that_they_inherit() {
        let path = std::path::Path::new("a.toml");
        let text = "[files]\nlisting = true\nheaders = [\"X-A: b\"]\n\
                    [[site]]\nhosts = [\"a.test\"]\nroot = \"/srv/a\"\nfiles.index = [\"a.html\"]\n\
                    [[site]]\nbind = [\"unix:/b\"]\nfiles.error_pages = { 404 = \"404.html\" }\n";
        let loaded = Loaded::from_layers(Some((path, text)), &[], &[]).unwrap();
        assert!(loaded.settings.sites[0].files.listing);
        let printed = print(&loaded);
        let site = &printed[printed.find("[[site]]").unwrap()..];
        for expected in ["listing = true", "a.toml:2", "a.toml:7", "# default"] {
            assert!(site.contains(expected), "{expected} is not in {printed}");
        }
        let again = Loaded::from_layers(Some((path, &printed)), &[], &[]).unwrap();
        assert_eq!(again.settings, loaded.settings, "{printed}");
    }
}
