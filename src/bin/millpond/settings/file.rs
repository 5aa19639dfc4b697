//! The TOML file: text to rows, values and lines, without reading anything.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{Row, rows, site_rows};
use crate::failure::{Failure, code};

/// A setting that the file gives.
pub(crate) struct Entry {
    pub(crate) row: &'static Row,
    pub(crate) values: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
}

/// What the file says.
pub(crate) struct Parsed {
    /// What it sets, in the order of its lines.
    pub(crate) entries: Vec<Entry>,
    /// What each `[[site]]` sets.
    pub(crate) sites: Vec<SiteEntries>,
}

/// What a `[[site]]` sets.
pub(crate) struct SiteEntries {
    pub(crate) entries: Vec<Entry>,
    /// Where it begins, from 1.
    pub(crate) line: usize,
}

/// Which settings there are.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// At the top of the file.
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

/// Understands the file.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Parsed, Failure> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        wrong(path, line, message).with_hint("the file is TOML: tables, keys, and quoted strings")
    })?;
    let file = Source { path, text };
    let (mut entries, mut sites) = (Vec::new(), Vec::new());
    file.collect(Scope::Top, "", table.get_ref(), &mut entries)?;
    if let Some((key, value)) = table.get_ref().get_key_value("site") {
        let DeValue::Array(tables) = value.get_ref() else {
            let line = line_of(text, key.span().start);
            return Err(wrong(path, line, "site is not a list of tables").with_hint(SITE_FORM));
        };
        for table in tables {
            let line = line_of(text, table.span().start);
            let DeValue::Table(inner) = table.get_ref() else {
                return Err(wrong(path, line, "a site is not a table").with_hint(SITE_FORM));
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

/// The file, by which an error names its place.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
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
                let form = match (row.many, row.table) {
                    (true, true) => "a list of strings or a table",
                    (true, false) => "a list of strings",
                    (false, _) => "one value",
                };
                wrong(self.path, line, format!("{name} is not {form}"))
                    .with_hint(format!("{name}: {}", row.help))
            })?;
            found.push(Entry { row, values, line });
        }
        Ok(())
    }

    fn unknown(&self, scope: Scope, line: usize, name: &str) -> Failure {
        let place = if scope == Scope::Site { " of a site" } else { "" };
        if is_table(&scope.rows(), name) {
            return wrong(self.path, line, format!("{name} is a table"))
                .with_hint(format!("begin it with a line `[{name}]`"));
        }
        let failure = wrong(self.path, line, format!("unknown key {name:?}{place}"));
        let sites = (scope == Scope::Top).then_some("site");
        let near = nearest(name, names(&scope.rows()).chain(sites));
        let below = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let elsewhere = rows().any(|row| row.key == name || below(row.key));
        match near {
            Some("site") => failure.with_hint(SITE_FORM),
            Some(near) => failure.with_hint(format!("did you mean {near:?}?")),
            None if elsewhere => {
                failure.with_hint(format!("{name} is the same for all sites: put it before them"))
            }
            None => failure.with_hint("`millpond serve --print-config` prints every key"),
        }
    }
}

/// Whether some setting's key begins with this table's name.
fn is_table(rows: &[&Row], name: &str) -> bool {
    rows.iter().any(|row| row.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The text of a value, or of a list's values.
fn texts(value: &Spanned<DeValue<'_>>, row: &Row) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Array(items) if row.many => items.iter().map(scalar).collect(),
        DeValue::Table(entries) if row.table => {
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

fn wrong(path: &Path, line: usize, message: impl std::fmt::Display) -> Failure {
    Failure::new(code::CONFIG, format!("{}:{line}: {message}", path.display()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// The keys, and the tables that they are in.
fn names(rows: &[&'static Row]) -> impl Iterator<Item = &'static str> {
    let tables = |key: &'static str| key.match_indices('.').map(|(end, _)| &key[..end]);
    rows.iter().flat_map(move |row| tables(row.key).chain([row.key]))
}

/// The known name that is fewest edits away, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().map(ToOwned::to_owned);
    known
        .map(|candidate| {
            // The right key in the wrong table is near, too.
            let moved = last(name).is_some() && last(name) == last(candidate);
            let edits = strsim::osa_distance(name, candidate);
            (if moved { edits.min(2) } else { edits }, candidate)
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
    fn a_table_becomes_pairs() {
        let text = "[files.error_pages]\n404 = \"404.html\"\n";
        let expected = vec!["404=404.html".to_owned()];
        assert_eq!(read(text).unwrap(), [("files.error_pages", expected, 1)]);
    }

    #[test]
    fn sites_have_keys_of_their_own_with_their_lines() {
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
            ("[site]\nroot = \"a\"", "a.toml:1: site is not a list of tables", "[[site]]"),
            ("[[sites]]\nroot = \"a\"", "a.toml:1: unknown key \"sites\"", "[[site]]"),
            ("site = [1]", "a.toml:1: a site is not a table", "[[site]]"),
        ];
        for (text, message, hint) in table {
            let Err(failure) = parse(Path::new("a.toml"), text) else { panic!("{text}") };
            assert!(failure.message().starts_with(message), "{}", failure.message());
            assert!(failure.hint().unwrap().contains(hint), "{:?} {hint}", failure.hint());
        }
    }

    #[test]
    fn one_endpoint_needs_no_list() {
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
            ("limits = 1", "a.toml:1: limits is a table", "`[limits]`"),
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
}
