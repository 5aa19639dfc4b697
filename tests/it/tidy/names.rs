//! No name of a type stands for two things in one crate.

use std::collections::BTreeMap;

use super::scan::{Source, sources};

/// Names that are still there twice. The list only shrinks.
const KNOWN: &[&str] = &[];

/// The names of types that several files declare, or one file twice, with those files.
fn doubles(sources: &[Source]) -> BTreeMap<String, Vec<&str>> {
    let mut declared: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        for name in source.types() {
            declared.entry(name).or_default().push(source.name.as_str());
        }
    }
    declared.retain(|_, files| files.len() > 1);
    declared
}

#[test]
fn no_type_name_occurs_twice_in_a_crate() {
    let mut found = BTreeMap::new();
    for binary in [false, true] {
        let mut files = sources();
        files.retain(|source| source.is_binary() == binary);
        assert!(files.iter().map(|source| source.types().len()).sum::<usize>() >= 50);
        let doubles = doubles(&files).into_iter().filter(|it| !KNOWN.contains(&it.0.as_str()));
        found.extend(doubles.map(|(name, files)| (name, format!("{files:?}"))));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_second_type_of_a_name_is_found_and_an_associated_type_is_not() {
    let sources = [
        Source::new(
            "a.rs",
            "pub(crate) struct A; pub enum B {} impl X for A { type Output = u8; }",
        ),
        Source::new("b.rs", "#[derive(Debug)] struct B(u8); trait T { type Output; } type C = u8;"),
        Source::new(
            "c.rs",
            "fn f() { struct C; let structure = T; } impl T for B { type A = u8; }",
        ),
        Source::new("d.rs", "// struct A;\n#[cfg(test)] mod tests { struct A; }"),
    ];
    let found = doubles(&sources);
    let expected = [("B".to_owned(), vec!["a.rs", "b.rs"]), ("C".to_owned(), vec!["b.rs", "c.rs"])];
    assert_eq!(found, expected.into());
}
