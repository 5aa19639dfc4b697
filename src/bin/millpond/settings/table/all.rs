//! Every setting, in order.

use super::daemon::DAEMON_ROWS;
use super::files::FILES_ROWS;
use super::listen::{LISTEN_ROWS, SITE_ROWS};
use super::proxy::PROXY_ROWS;
use super::row::Row;
use super::server::SERVER_ROWS;
use super::tls::{CERTIFICATE_ROWS, TLS_ROWS};

/// Every setting, in the order of `--help` and `--print-config`.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    [LISTEN_ROWS, CERTIFICATE_ROWS, TLS_ROWS, FILES_ROWS, SERVER_ROWS, PROXY_ROWS, DAEMON_ROWS]
        .into_iter()
        .flatten()
}

/// The settings that a `[[site]]` can have.
pub(crate) fn site_rows() -> impl Iterator<Item = &'static Row> + Clone {
    [SITE_ROWS, CERTIFICATE_ROWS, FILES_ROWS].into_iter().flatten()
}

/// The row with this key.
pub(crate) fn find(key: &str) -> Option<&'static Row> {
    rows().find(|row| row.key == key)
}

/// The variable of a setting: `MILLPOND_LIMITS_HEAD`.
pub(crate) fn variable(row: &Row) -> String {
    format!("MILLPOND_{}", row.key.replace('.', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use std::collections::HashSet;

    #[test]
    fn no_two_settings_share_a_key_a_flag_or_a_variable() {
        let mut seen = HashSet::new();
        for row in rows() {
            assert!(seen.insert(row.key.to_owned()), "{}", row.key);
            assert!(seen.insert(variable(row)), "{}", row.key);
            assert!(row.flag.is_empty() || seen.insert(format!("--{}", row.flag)), "{}", row.flag);
        }
    }

    #[test]
    fn every_setting_parses_its_own_text() {
        for row in rows() {
            let mut settings = Settings::default();
            let values = (row.get)(&settings);
            (row.set)(&mut settings, &values).unwrap();
            assert_eq!(settings, Settings::default(), "{}", row.key);
        }
    }

    #[test]
    fn every_setting_has_a_help_text() {
        for row in rows() {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.key);
            assert!(row.details.is_empty() || row.details.ends_with('.'), "{}", row.key);
            // The meaning of the key is the help of the flag without these words.
            assert_eq!(
                row.flag_sets == Some("false"),
                row.help.starts_with("Do not "),
                "{}",
                row.key
            );
        }
    }

    /// The `Default: …` of each field's documentation, by `table.field`.
    fn documented_defaults() -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (table, source) in [
            ("pool", include_str!("../../../../config/pool.rs")),
            ("limits", include_str!("../../../../config/limits.rs")),
            ("timeouts", include_str!("../../../../config/timeouts.rs")),
            ("overload", include_str!("../../../../config/overload.rs")),
            ("http", include_str!("../../../../config/http.rs")),
            ("proxy", include_str!("../../../../config/proxy.rs")),
        ] {
            let mut docs = String::new();
            for line in source.lines().map(str::trim) {
                if let Some(text) = line.strip_prefix("///") {
                    docs.push_str(text);
                    continue;
                }
                let field = line.strip_prefix("pub ").and_then(|line| line.split_once(": "));
                if let (Some((name, _)), Some((_, default))) = (field, docs.split_once("Default: "))
                {
                    let ends = [", ", ". ", " ("].map(|end| default.find(end));
                    let end = ends.into_iter().flatten().min().unwrap_or(default.len());
                    found.push((format!("{table}.{name}"), default[..end].to_owned()));
                }
                docs.clear();
            }
        }
        found
    }

    #[test]
    fn the_documented_defaults_of_the_library_are_the_defaults() {
        let defaults = documented_defaults();
        for row in rows().filter(|row| {
            ["pool.", "limits.", "timeouts.", "overload.", "http.", "proxy."]
                .iter()
                .any(|table| row.key.starts_with(table))
        }) {
            let (_, documented) = defaults
                .iter()
                .find(|(key, _)| key == row.key)
                .unwrap_or_else(|| panic!("{} has no documented default", row.key));
            if documented.starts_with("[`default_workers`]") {
                continue;
            }
            if row.is_list {
                assert!((row.get)(&Settings::default()).is_empty() && documented == "none");
                continue;
            }
            let text = documented.replace(" to ", "-").replace(['`', ' ', ','], "");
            let text = text.trim_end_matches('.').replace("None", "none");
            let mut settings = Settings::default();
            (row.set)(&mut settings, &[text]).unwrap();
            assert_eq!(settings, Settings::default(), "{}: {documented}", row.key);
        }
    }
}
