//! The table of settings: each one's key, flag, help text, and its way in and out of [`Settings`].
//!
//! A row is all there is to a setting: the command line, the variables, the file, `--help`,
//! `--print-config` and the man page are made from it.

use super::value::{self, Expected};
use super::{COLORS, FORMATS, LEVELS, Settings};

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its place in the file: `table.key`, or `key` at the top.
    pub(crate) key: &'static str,
    /// Its long flag, without the dashes; empty where it has none.
    pub(crate) flag: &'static str,
    pub(crate) short: Option<char>,
    /// Another spelling of the flag.
    pub(crate) alias: Option<&'static str>,
    /// What `--help` calls the flag's value.
    pub(crate) value: &'static str,
    /// The words that it may be; empty where it is no choice.
    pub(crate) choices: &'static [&'static str],
    /// For a flag that takes no value: the text it stands for.
    pub(crate) on: Option<&'static str>,
    /// Whether it is a list, and its flag may be repeated. Its variable holds the items with spaces
    /// between them.
    pub(crate) many: bool,
    /// Whether the list may stand in the file as a table, whose entries become `KEY=VALUE`.
    pub(crate) table: bool,
    /// Whether the items may have spaces in them, so that the variable holds one a line.
    pub(crate) lines: bool,
    /// Whether `-h` shows it.
    pub(crate) common: bool,
    /// One line for `-h`.
    pub(crate) help: &'static str,
    /// What `--help` adds.
    pub(crate) more: &'static str,
    pub(crate) get: fn(&Settings) -> Vec<String>,
    pub(crate) set: fn(&mut Settings, &[String]) -> Result<(), Expected>,
}

const ROW: Row = Row {
    key: "",
    flag: "",
    short: None,
    alias: None,
    value: "N",
    choices: &[],
    on: None,
    many: false,
    table: false,
    lines: false,
    common: false,
    help: "",
    more: "",
    get: |_| Vec::new(),
    set: |_, _| Ok(()),
};

/// The only value of a setting that is no list.
fn one(values: &[String]) -> Result<&str, Expected> {
    match values {
        [value] => Ok(value),
        _ => Err("a single value".to_owned()),
    }
}

/// The two functions of a row: which field, how it is read, how it is written.
macro_rules! field {
    ($row:ident, $($field:ident).+, $read:expr, $write:expr) => {
        Row {
            get: |s| vec![$write(s.$($field).+.clone())],
            set: |s, v| {
                s.$($field).+ = $read(one(v)?)?;
                Ok(())
            },
            ..$row
        }
    };
}

macro_rules! row {
    ($key:literal, $flag:literal, $value:literal, $help:literal, $more:literal $(,)?) => {
        Row { key: $key, flag: $flag, value: $value, help: $help, more: $more, ..ROW }
    };
}

macro_rules! time {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(R, $($field).+, value::time, value::time_text)
    }};
}

macro_rules! number {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(R, $($field).+, value::number, |n| value::text(&n))
    }};
}

/// A size that is a `usize` in the configuration.
macro_rules! size {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(
            R,
            $($field).+,
            |text| value::size(text)
                .and_then(|n| n.try_into().map_err(|_| "a size that fits".to_owned())),
            |n| value::size_text(n as u64)
        )
    }};
}

macro_rules! switch {
    ($on:literal, $($field:ident).+, $($row:tt)+) => {{
        const R: Row = Row { on: Some($on), ..row!($($row)+) };
        field!(R, $($field).+, value::switch, |b| value::text(&b))
    }};
}

macro_rules! word {
    ($words:expr, $($field:ident).+, $($row:tt)+) => {{
        const CHOICES: &[&str] = &value::names(&$words);
        const R: Row = Row { choices: CHOICES, ..row!($($row)+) };
        field!(
            R,
            $($field).+,
            |text| value::word(text, &$words),
            |w| value::word_text(&w, &$words)
        )
    }};
}

macro_rules! maybe {
    ($read:expr, $write:expr, $($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(
            R,
            $($field).+,
            |text| value::maybe(text, $read),
            |m: Option<_>| value::maybe_text(m.as_ref(), $write)
        )
    }};
}

/// A list of texts.
macro_rules! many {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = Row { many: true, ..row!($($row)+) };
        Row {
            get: |s| s.$($field).+.clone(),
            set: |s, v| {
                s.$($field).+ = v.to_vec();
                Ok(())
            },
            ..R
        }
    }};
}

mod daemon;
mod files;
mod server;

/// Shown by `-h`.
const fn common(row: Row) -> Row {
    Row { common: true, ..row }
}

const fn short(letter: char, row: Row) -> Row {
    Row { short: Some(letter), common: true, ..row }
}

fn path(text: &str) -> Result<std::path::PathBuf, Expected> {
    if text.is_empty() { Err("a path".to_owned()) } else { Ok(super::bytes::path(text)) }
}

#[expect(clippy::ptr_arg, reason = "the form that `maybe!` asks for")]
fn path_text(path: &std::path::PathBuf) -> String {
    path.display().to_string()
}

/// Where, and what in general.
static FIRST: &[Row] = &[
    Row {
        key: "bind",
        flag: "bind",
        short: Some('b'),
        value: "ENDPOINT",
        many: true,
        common: true,
        help: "Where to listen; repeatable",
        more: "An endpoint is tcp://HOST:PORT, unix:PATH, unix:@NAME, or fd:NAME and fd:N for a \
               socket that was passed by the service manager (N counts from 0). Port 0 takes a \
               free one. With --echo also udp://HOST:PORT, unixgram:PATH and unixpacket:PATH, see \
               docs/sockets.md. With ?priority=high behind it, its work is taken first and \
               refused last. Without any, all passed sockets are taken, or else tcp://[::]:8888, \
               which is every address, IPv4 and IPv6.",
        get: |s| s.bind.clone(),
        set: |s, v| {
            if v.iter().any(String::is_empty) {
                return Err("an endpoint".to_owned());
            }
            s.bind = v.to_vec();
            Ok(())
        },
        ..ROW
    },
    common(switch!(
        "true",
        echo,
        "echo",
        "echo",
        "",
        "Send back what comes, instead of HTTP",
        "RFC 862."
    )),
];

/// What only a `[[site]]` of the file has, besides the settings of its files.
static SITE: &[Row] = &[
    many!(
        site.hosts,
        "hosts",
        "",
        "HOST",
        "The names of the site, as in Host",
        "`*.example.org` is every name below example.org. Without hosts, or with `*`, the site \
         answers for every name that no other one has."
    ),
    many!(
        site.bind,
        "bind",
        "",
        "ENDPOINT",
        "Where the site is served, if elsewhere than the others",
        ""
    ),
];

/// Every setting, in the order of `--help` and `--print-config`.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    [FIRST, files::ROWS, server::ROWS, daemon::ROWS].into_iter().flatten()
}

/// The settings that each `[[site]]` has.
pub(crate) fn site_rows() -> impl Iterator<Item = &'static Row> + Clone {
    [SITE, files::ROWS].into_iter().flatten()
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
    fn every_setting_reads_what_it_writes() {
        for row in rows() {
            let mut settings = Settings::default();
            let values = (row.get)(&settings);
            (row.set)(&mut settings, &values).unwrap();
            assert_eq!(settings, Settings::default(), "{}", row.key);
        }
    }

    #[test]
    fn every_setting_explains_itself() {
        for row in rows() {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.key);
            assert!(row.more.is_empty() || row.more.ends_with('.'), "{}", row.key);
            // What the key means is the flag's help without these words.
            assert_eq!(row.on == Some("false"), row.help.starts_with("Do not "), "{}", row.key);
        }
    }
}
