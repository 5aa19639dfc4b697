//! Every setting, in order.

use super::daemon::DAEMON_ROWS;
use super::files::FILES_ROWS;
use super::listen::{LISTEN_ROWS, SITE_ROWS};
use super::row::Row;
use super::server::SERVER_ROWS;

/// Every setting, in the order of `--help` and `--print-config`.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    [LISTEN_ROWS, FILES_ROWS, SERVER_ROWS, DAEMON_ROWS].into_iter().flatten()
}

/// The settings that a `[[site]]` can have.
pub(crate) fn site_rows() -> impl Iterator<Item = &'static Row> + Clone {
    [SITE_ROWS, FILES_ROWS].into_iter().flatten()
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
}
