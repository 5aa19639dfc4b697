//! No two files of `src` import each other, directly or in a ring: each can be read after those
//! that it imports from.

use super::graph::Graph;
use super::scan::{Source, sources};

/// Rings that are still there. The list only shrinks: a ring that is not within one of these is
/// new.
const KNOWN: &[&[&str]] = &[];

#[test]
fn no_files_import_each_other_in_a_ring() {
    let mut unknown = Vec::new();
    for binary in [false, true] {
        let mut files = sources();
        files.retain(|source| source.is_binary() == binary);
        assert!(files.len() >= 30, "{} files", files.len());
        let graph = Graph::of(&files);
        assert!(graph.arrows().count() >= files.len(), "too few imports were found");
        for ring in graph.rings() {
            let is_known =
                KNOWN.iter().any(|known| ring.iter().all(|file| known.contains(&file.as_str())));
            let within = |(from, to): &(&str, &str)| {
                [from, to].iter().all(|file| ring.iter().any(|one| one == **file))
            };
            if !is_known {
                unknown.extend(
                    graph.arrows().filter(within).map(|(from, to)| format!("{from} -> {to}")),
                );
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn rings(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources: Vec<_> = files.iter().map(|(name, text)| Source::new(name, text)).collect();
    Graph::of(&sources).rings()
}

#[test]
fn a_ring_is_found_through_parents_children_and_renamed_items() {
    let ring = |files: &[(&str, &str)], expected: &[&[&str]]| {
        assert_eq!(rings(files), expected, "{files:?}");
    };
    // An item of its own in the parent, and one that the parent only names again.
    ring(
        &[("a/mod.rs", "mod b; use self::b::B; struct A;"), ("a/b.rs", "use super::A; struct B;")],
        &[&["a/b.rs", "a/mod.rs"]],
    );
    ring(
        &[
            ("a/mod.rs", "mod b; mod c; pub(crate) use b::B as R; pub use self::c::C;"),
            ("a/b.rs", "use super::C; struct B;"),
            ("a/c.rs", "struct C;"),
        ],
        &[],
    );
    ring(
        &[
            ("a/mod.rs", "mod b; mod c; pub(crate) use b::B as R; pub use self::c::C;"),
            ("a/b.rs", "use super::C; struct B;"),
            ("a/c.rs", "fn f(_: crate::a::R) {} struct C;"),
        ],
        &[&["a/b.rs", "a/c.rs"]],
    );
    // Over a third file; by the path of a child; and nothing but a test in between.
    ring(
        &[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::{c::C};"),
            ("c.rs", "use super::a;"),
        ],
        &[&["a.rs", "b.rs", "c.rs"]],
    );
    ring(
        &[("a/mod.rs", "mod b; fn f() { b::g() }"), ("a/b.rs", "use super::f;")],
        &[&["a/b.rs", "a/mod.rs"]],
    );
    ring(
        &[("a.rs", "use crate::b::B;"), ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }")],
        &[],
    );
    // The binary's root.
    ring(
        &[
            ("bin/millpond/main.rs", "mod a; const C: u8 = a::D;"),
            ("bin/millpond/a.rs", "use crate::C;"),
        ],
        &[&["bin/millpond/a.rs", "bin/millpond/main.rs"]],
    );
}
