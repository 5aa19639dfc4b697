//! The TOML file: text to rows, values and lines, without reading anything.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{self, ROWS, Row};
use crate::failure::{Failure, code};

/// A setting that the file gives.
pub(crate) struct Entry {
    pub(crate) row: &'static Row,
    pub(crate) values: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
}

/// What the file sets, in the order of its lines.
pub(crate) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, Failure> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        wrong(path, line, message).with_hint("the file is TOML: tables, keys, and quoted strings")
    })?;
    let mut found = Vec::new();
    collect("", table.get_ref(), path, text, &mut found)?;
    found.sort_by_key(|entry| entry.line);
    Ok(found)
}

fn collect(
    prefix: &str,
    table: &DeTable<'_>,
    path: &Path,
    text: &str,
    found: &mut Vec<Entry>,
) -> Result<(), Failure> {
    for (key, value) in table {
        let line = line_of(text, key.span().start);
        let name = match prefix {
            "" => key.get_ref().to_string(),
            prefix => format!("{prefix}.{}", key.get_ref()),
        };
        if let DeValue::Table(inner) = value.get_ref()
            && is_table(&name)
        {
            collect(&name, inner, path, text, found)?;
            continue;
        }
        let row = table::find(&name).ok_or_else(|| unknown(path, line, &name))?;
        let values = texts(value, row).ok_or_else(|| {
            let form = if row.many { "a list of strings" } else { "one value" };
            wrong(path, line, format!("{name} is not {form}"))
                .with_hint(format!("{name}: {}", row.help.to_lowercase()))
        })?;
        found.push(Entry { row, values, line });
    }
    Ok(())
}

/// Whether some setting's key begins with this table's name.
fn is_table(name: &str) -> bool {
    ROWS.iter().any(|row| row.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The text of a value, or of a list's values.
fn texts(value: &Spanned<DeValue<'_>>, row: &Row) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Array(items) if row.many => items.iter().map(scalar).collect(),
        _ => scalar(value).map(|text| vec![text]),
    }
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn unknown(path: &Path, line: usize, name: &str) -> Failure {
    let failure = wrong(path, line, format!("unknown key {name:?}"));
    match nearest(name, ROWS.iter().map(|row| row.key)) {
        Some(near) => failure.with_hint(format!("did you mean {near:?}?")),
        None => failure.with_hint("`millpond serve --print-config` prints every key"),
    }
}

fn wrong(path: &Path, line: usize, message: impl std::fmt::Display) -> Failure {
    Failure::new(code::CONFIG, format!("{}:{line}: {message}", path.display()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// The known name that is fewest edits away, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().map(ToOwned::to_owned);
    known
        .map(|candidate| {
            // The right key in the wrong table is near, too.
            let moved = last(name).is_some() && last(name) == last(candidate);
            let edits = distance(name, candidate);
            (if moved { edits.min(2) } else { edits }, candidate)
        })
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 5)
        .map(|(_, candidate)| candidate)
}

/// How many bytes must be added, removed or replaced to get from one to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (&'static str, Vec<String>, usize);

    fn read(text: &str) -> Result<Vec<Read>, Failure> {
        let entries = entries(Path::new("a.toml"), text)?;
        Ok(entries.into_iter().map(|e| (e.row.key, e.values, e.line)).collect())
    }

    #[test]
    fn values_of_any_type_become_text_with_their_line() {
        let text = "bind = [\"tcp://[::]:80\", \"unix:/a\"]\necho = true\n\n[limits]\nhead = 0x400\n\
                    [overload]\nrefuse_budget = 0.5\n";
        let expected = [
            ("bind", vec!["tcp://[::]:80".to_owned(), "unix:/a".to_owned()], 1),
            ("echo", vec!["true".to_owned()], 2),
            ("limits.head", vec!["1024".to_owned()], 5),
            ("overload.refuse_budget", vec!["0.5".to_owned()], 7),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn one_endpoint_needs_no_list() {
        assert_eq!(read("bind = \"unix:/a\"").unwrap(), [("bind", vec!["unix:/a".to_owned()], 1)]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest() {
        let table = [
            ("\n[limits]\nhaed = 1", "a.toml:3: unknown key \"limits.haed\"", "limits.head"),
            ("[limit]\nhead = 1", "a.toml:1: unknown key \"limit\"", ""),
            ("[pool]\nbakclog = 1", "a.toml:2: unknown key \"pool.bakclog\"", "pool.backlog"),
            ("workers = 1", "a.toml:1: unknown key \"workers\"", "pool.workers"),
            ("colour = 1", "a.toml:1: unknown key \"colour\"", "print-config"),
        ];
        for (text, message, near) in table {
            let failure = read(text).unwrap_err();
            assert_eq!(failure.message(), message);
            assert_eq!(failure.code(), code::CONFIG);
            assert!(failure.hint().unwrap().contains(near), "{:?} {near}", failure.hint());
        }
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_line() {
        let failure = read("\n\nbind = \n").unwrap_err();
        assert!(failure.message().starts_with("a.toml:3: "), "{}", failure.message());
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_refused() {
        for text in
            ["echo = [true]", "[limits]\nhead = { a = 1 }", "bind = [[1]]", "root = 1979-05-27"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn distances_count_edits() {
        for (a, b, edits) in [("", "", 0), ("head", "head", 0), ("haed", "head", 2), ("", "ab", 2)]
        {
            assert_eq!(distance(a, b), edits);
        }
    }
}
