//! The TOML file: from text to rows, values and lines. No file is read here.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{Row, rows, site_rows};
use crate::failure::{Failure, code};

/// A setting in the file.
pub(crate) struct Entry {
    pub(crate) row: &'static Row,
    pub(crate) values: Vec<String>,
    /// The line in the file, from 1.
    pub(crate) line: usize,
}

/// The settings in the file.
pub(crate) struct Parsed {
    /// The settings outside of the `[[site]]`s, in the order of their lines.
    pub(crate) entries: Vec<Entry>,
    /// The settings of each `[[site]]`.
    pub(crate) sites: Vec<SiteEntries>,
}

/// The settings of a `[[site]]`.
pub(crate) struct SiteEntries {
    pub(crate) entries: Vec<Entry>,
    /// The line at which it begins, from 1.
    pub(crate) line: usize,
}

/// A part of the file, which determines the settings that it may have.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// Outside of the `[[site]]`s.
    Top,
    /// In a `[[site]]`.
    Site,
}

impl Scope {
    fn rows(self) -> Vec<&'static Row> {
        match self {
            Self::Top => rows().collect(),
            Self::Site => site_rows().collect(),
        }
    }
}

/// Parses the file. `path` is for errors.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Parsed, Failure> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        error_at(path, line, message)
            .with_hint("the file is TOML: tables, keys, and quoted strings")
    })?;
    let file = SettingsFile { path, text };
    let (mut entries, mut sites) = (Vec::new(), Vec::new());
    file.collect(Scope::Top, "", table.get_ref(), &mut entries)?;
    if let Some((key, value)) = table.get_ref().get_key_value("site") {
        let DeValue::Array(tables) = value.get_ref() else {
            let line = line_of(text, key.span().start);
            return Err(error_at(path, line, "invalid site: expected a list of tables")
                .with_hint(SITE_FORM));
        };
        for table in tables {
            let line = line_of(text, table.span().start);
            let DeValue::Table(inner) = table.get_ref() else {
                return Err(
                    error_at(path, line, "invalid site: expected a table").with_hint(SITE_FORM)
                );
            };
            let mut entries = Vec::new();
            file.collect(Scope::Site, "", inner, &mut entries)?;
            entries.sort_by_key(|entry| entry.line);
            sites.push(SiteEntries { entries, line });
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(Parsed { entries, sites })
}

const SITE_FORM: &str = "begin each site with a line `[[site]]`";

/// The file, for the places that errors name.
struct SettingsFile<'a> {
    path: &'a Path,
    text: &'a str,
}

impl SettingsFile<'_> {
    fn collect(
        &self,
        scope: Scope,
        prefix: &str,
        table: &DeTable<'_>,
        found: &mut Vec<Entry>,
    ) -> Result<(), Failure> {
        let rows = scope.rows();
        for (key, value) in table {
            let line = line_of(self.text, key.span().start);
            let name = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            if scope == Scope::Top && name == "site" {
                continue;
            }
            if let DeValue::Table(inner) = value.get_ref()
                && is_table(&rows, &name)
            {
                self.collect(scope, &name, inner, found)?;
                continue;
            }
            let row = rows.iter().find(|row| row.key == name);
            let row = row.ok_or_else(|| self.unknown(scope, line, &name))?;
            let values = texts(value, row).ok_or_else(|| {
                let form = match (row.is_list, row.is_table) {
                    (true, true) => "a list of strings or a table",
                    (true, false) => "a list of strings",
                    (false, _) => "one value",
                };
                error_at(self.path, line, format!("invalid value of {name}: expected {form}"))
                    .with_hint(format!("{name}: {}", row.help))
            })?;
            found.push(Entry { row, values, line });
        }
        Ok(())
    }

    fn unknown(&self, scope: Scope, line: usize, name: &str) -> Failure {
        let of_site = if scope == Scope::Site { " of a site" } else { "" };
        if is_table(&scope.rows(), name) {
            return error_at(self.path, line, format!("invalid value of {name}: expected a table"))
                .with_hint(format!("begin the table with a line `[{name}]`"));
        }
        let failure = error_at(self.path, line, format!("unknown key {name:?}{of_site}"));
        let sites = (scope == Scope::Top).then_some("site");
        let near = nearest(name, names(&scope.rows()).chain(sites));
        let below = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let elsewhere = rows().any(|row| row.key == name || below(row.key));
        match near {
            Some("site") => failure.with_hint(SITE_FORM),
            Some(near) => failure.with_hint(format!("did you mean {near:?}?")),
            None if elsewhere => failure.with_hint(format!(
                "{name} is the same for all sites: move it above the first one"
            )),
            None => failure.with_hint("`millpond serve --print-config` prints every key"),
        }
    }
}

/// Whether a key of these rows is in the table of this name.
fn is_table(rows: &[&Row], name: &str) -> bool {
    rows.iter().any(|row| row.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The text of a value, or of each value of a list.
fn texts(value: &Spanned<DeValue<'_>>, row: &Row) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Array(items) if row.is_list => items.iter().map(scalar).collect(),
        DeValue::Table(entries) if row.is_table => {
            let pair = |(key, value): (&Spanned<_>, _)| {
                Some(format!("{}={}", key.get_ref(), scalar(value)?))
            };
            entries.iter().map(pair).collect()
        }
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

fn error_at(path: &Path, line: usize, message: impl std::fmt::Display) -> Failure {
    Failure::new(code::CONFIG, format!("{}:{line}: {message}", path.display()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// The keys of these rows, and the tables that contain them.
fn names(rows: &[&'static Row]) -> impl Iterator<Item = &'static str> {
    let tables = |key: &'static str| key.match_indices('.').map(|(end, _)| &key[..end]);
    rows.iter().flat_map(move |row| tables(row.key).chain([row.key]))
}

/// The known name with the fewest edits from `name`, if it is near enough for a suggestion.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().map(ToOwned::to_owned);
    known
        .map(|candidate| {
            // The right key in the wrong table is near, too.
            let same_key = last(name).is_some() && last(name) == last(candidate);
            let edits = strsim::osa_distance(name, candidate);
            (if same_key { edits.min(2) } else { edits }, candidate)
        })
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 5)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (&'static str, Vec<String>, usize);

    fn read(text: &str) -> Result<Vec<Read>, Failure> {
        let parsed = parse(Path::new("a.toml"), text)?;
        Ok(parsed.entries.into_iter().map(|e| (e.row.key, e.values, e.line)).collect())
    }

    #[test]
    fn values_of_any_type_become_text_with_their_line() {
        let text = "bind = [\"tcp://[::]:80\", \"unix:/a\"]\necho = true\n\n\
                    [limits]\nhead = 0x400\n[overload]\nrefuse_budget = 0.5\n";
        let expected = [
            ("bind", vec!["tcp://[::]:80".to_owned(), "unix:/a".to_owned()], 1),
            ("echo", vec!["true".to_owned()], 2),
            ("limits.head", vec!["1024".to_owned()], 5),
            ("overload.refuse_budget", vec!["0.5".to_owned()], 7),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_table_becomes_pairs() {
        let text = "[files.error_pages]\n404 = \"404.html\"\n";
        let expected = vec!["404=404.html".to_owned()];
        assert_eq!(read(text).unwrap(), [("files.error_pages", expected, 1)]);
    }

    #[test]
    fn each_site_has_its_own_keys_and_lines() {
        let text = "bind = \"[::]:1\"\n[[site]]\nhosts = [\"a.test\"]\nroot = \"/a\"\n\
                    [site.files]\nlisting = true\n\n[[site]]\nbind = \"[::]:2\"\n";
        let parsed = parse(Path::new("a.toml"), text).unwrap();
        assert_eq!(parsed.entries.len(), 1);
        let found: Vec<Vec<_>> = parsed
            .sites
            .iter()
            .map(|site| site.entries.iter().map(|e| (e.row.key, e.line)).collect())
            .collect();
        assert_eq!(found[0], [("hosts", 3), ("root", 4), ("files.listing", 6)]);
        assert_eq!(found[1], [("bind", 9)]);
        assert_eq!(parsed.sites.iter().map(|site| site.line).collect::<Vec<_>>(), [2, 8]);
    }

    #[test]
    fn an_unknown_key_of_a_site_is_refused_with_its_line_and_the_nearest() {
        let table = [
            ("[[site]]\nhost = \"a\"", "a.toml:2: unknown key \"host\" of a site", "\"hosts\""),
            ("[[site]]\n[site.files]\nlistnig = true", "a.toml:3: unknown key", "files.listing"),
            ("[[site]]\nlimits.head = 1", "a.toml:2: unknown key", "same for all sites"),
            (
                "[site]\nroot = \"a\"",
                "a.toml:1: invalid site: expected a list of tables",
                "[[site]]",
            ),
            ("[[sites]]\nroot = \"a\"", "a.toml:1: unknown key \"sites\"", "[[site]]"),
            ("site = [1]", "a.toml:1: invalid site: expected a table", "[[site]]"),
        ];
        for (text, message, hint) in table {
            let Err(failure) = parse(Path::new("a.toml"), text) else { panic!("{text}") };
            assert!(failure.message().starts_with(message), "{}", failure.message());
            assert!(failure.hint().unwrap().contains(hint), "{:?} {hint}", failure.hint());
        }
    }

    #[test]
    fn a_single_endpoint_may_be_a_string() {
        assert_eq!(read("bind = \"unix:/a\"").unwrap(), [("bind", vec!["unix:/a".to_owned()], 1)]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest() {
        let table = [
            ("\n[limits]\nhaed = 1", "a.toml:3: unknown key \"limits.haed\"", "limits.head"),
            ("[limit]\nhead = 1", "a.toml:1: unknown key \"limit\"", "\"limits\""),
            ("[pools]\nworkers = 1", "a.toml:1: unknown key \"pools\"", "\"pool\""),
            ("[time-outs]\nhead = 1", "a.toml:1: unknown key \"time-outs\"", "\"timeouts\""),
            ("[file]\nlisting = true", "a.toml:1: unknown key \"file\"", "\"files\""),
            ("[pool]\nbakclog = 1", "a.toml:2: unknown key \"pool.bakclog\"", "pool.backlog"),
            ("workers = 1", "a.toml:1: unknown key \"workers\"", "pool.workers"),
            ("limits = 1", "a.toml:1: invalid value of limits: expected a table", "`[limits]`"),
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
    fn invalid_toml_is_refused_with_its_line() {
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
}
