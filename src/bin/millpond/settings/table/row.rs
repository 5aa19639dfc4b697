//! [`Row`]: one setting, and the macros that make rows for each type of value.

use crate::settings::bytes;
use crate::settings::types::Settings;
use crate::settings::value::Expected;

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The key in the file: `table.key`, or `key` at the top.
    pub(crate) key: &'static str,
    /// The long flag without the dashes; empty if the setting has no flag.
    pub(crate) flag: &'static str,
    pub(crate) short: Option<char>,
    /// Another spelling of the flag.
    pub(crate) alias: Option<&'static str>,
    /// The name of the flag's value in `--help`.
    pub(crate) value_name: &'static str,
    /// The words that the value can be; empty if it is not one of several words.
    pub(crate) choices: &'static [&'static str],
    /// For a flag without a value: the value that the flag sets.
    pub(crate) flag_sets: Option<&'static str>,
    /// For a flag whose value can be left out: the value that it has then.
    pub(crate) without_value: Option<&'static str>,
    /// Whether the value is a list, so that the flag can be repeated. The variable has the items
    /// separated by spaces.
    pub(crate) is_list: bool,
    /// Whether the list can be a table in the file. Each entry becomes an item `KEY=VALUE`.
    pub(crate) is_table: bool,
    /// Whether the variable has one item a line, since items can have spaces.
    pub(crate) one_per_line: bool,
    /// Whether `-h` shows the flag.
    pub(crate) in_short_help: bool,
    /// The meaning in one line, for `-h`.
    pub(crate) help: &'static str,
    /// Further sentences for `--help`.
    pub(crate) details: &'static str,
    /// The value as text; of a list, each item.
    pub(crate) get: fn(&Settings) -> Vec<String>,
    /// Parses a value, or the items of a list, and stores it.
    pub(crate) set: fn(&mut Settings, &[String]) -> Result<(), Expected>,
}

pub(super) const ROW: Row = Row {
    key: "",
    flag: "",
    short: None,
    alias: None,
    value_name: "N",
    choices: &[],
    flag_sets: None,
    without_value: None,
    is_list: false,
    is_table: false,
    one_per_line: false,
    in_short_help: false,
    help: "",
    details: "",
    get: |_| Vec::new(),
    set: |_, _| Ok(()),
};

/// The value of a setting that is not a list.
pub(super) fn single(values: &[String]) -> Result<&str, Expected> {
    match values {
        [value] => Ok(value),
        _ => Err("a single value".to_owned()),
    }
}

/// Adds `get` and `set` to a row: the field, the parser, and the function that makes text.
macro_rules! field {
    ($row:expr, $($field:ident).+, $parse:expr, $text:expr) => {
        Row {
            get: |s| vec![$text(s.$($field).+.clone())],
            set: |s, v| {
                s.$($field).+ = $parse(single(v)?)?;
                Ok(())
            },
            ..$row
        }
    };
}

macro_rules! row {
    ($key:literal, $flag:literal, $value:literal, $help:literal, $details:literal $(,)?) => {
        Row { key: $key, flag: $flag, value_name: $value, help: $help, details: $details, ..ROW }
    };
}

macro_rules! time {
    ($($field:ident).+, $($row:tt)+) => {
        field!(row!($($row)+), $($field).+, value::time, value::time_text)
    };
}

macro_rules! number {
    ($($field:ident).+, $($row:tt)+) => {
        field!(row!($($row)+), $($field).+, value::number, |n| value::text(&n))
    };
}

/// A size whose field is a `usize` or a `u64`.
macro_rules! size {
    ($($field:ident).+, $($row:tt)+) => {
        field!(row!($($row)+), $($field).+, value::size_as, |n| value::size_text(n as u64))
    };
}

macro_rules! switch {
    ($flag_sets:literal, $($field:ident).+, $($row:tt)+) => {
        field!(
            Row { flag_sets: Some($flag_sets), ..row!($($row)+) },
            $($field).+,
            value::switch,
            |b| value::text(&b)
        )
    };
}

/// One word of a table of words and values.
macro_rules! choice {
    ($words:expr, $($field:ident).+, $($row:tt)+) => {{
        const CHOICES: &[&str] = &value::names(&$words);
        field!(
            Row { choices: CHOICES, ..row!($($row)+) },
            $($field).+,
            |text| value::choice(text, &$words),
            |word| value::choice_text(&word, &$words)
        )
    }};
}

/// A value that can be `none`.
macro_rules! optional {
    ($parse:expr, $text:expr, $($field:ident).+, $($row:tt)+) => {
        field!(
            row!($($row)+),
            $($field).+,
            |text| value::optional(text, $parse),
            |value: Option<_>| value::optional_text(value.as_ref(), $text)
        )
    };
}

/// A list of texts.
macro_rules! list {
    ($($field:ident).+, $($row:tt)+) => {
        Row {
            is_list: true,
            get: |s| s.$($field).+.clone(),
            set: |s, v| {
                s.$($field).+ = v.to_vec();
                Ok(())
            },
            ..row!($($row)+)
        }
    };
}

/// A row that `-h` shows.
pub(super) const fn in_short_help(row: Row) -> Row {
    Row { in_short_help: true, ..row }
}

/// A row whose flag has a short form. `-h` shows it.
pub(super) const fn with_short(letter: char, row: Row) -> Row {
    Row { short: Some(letter), in_short_help: true, ..row }
}

pub(super) fn path(text: &str) -> Result<std::path::PathBuf, Expected> {
    if text.is_empty() { Err("a path".to_owned()) } else { Ok(bytes::path(text)) }
}

#[expect(clippy::ptr_arg, reason = "`optional!` passes a reference to the field's type")]
pub(super) fn path_text(path: &std::path::PathBuf) -> String {
    path.display().to_string()
}
