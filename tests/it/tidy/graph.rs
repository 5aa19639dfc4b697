//! Which file imports from which, within the library and within the binary.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Source;

/// The arrows between the files of one crate.
#[derive(Debug)]
pub(crate) struct Graph {
    /// From each file to the files whose items it names.
    arrows: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let files: BTreeMap<_, _> =
            sources.iter().map(|source| (source.module(), source.name.as_str())).collect();
        // What a file names again with `pub use`: the file and the name, and where that leads.
        let mut reexports = BTreeMap::new();
        let mut imports = Vec::new();
        for source in sources {
            for named in source.named() {
                let Some((file, rest)) = split(&files, &named.path) else { continue };
                if named.is_reexport {
                    if let Some(item) = rest.first() {
                        reexports.insert((source.name.as_str(), named.alias), (file, item.clone()));
                    }
                } else {
                    imports.push((source.name.as_str(), file, rest.first().cloned()));
                }
            }
        }
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, mut to, mut item) in imports {
            while let Some((file, name)) =
                item.clone().and_then(|name| reexports.get(&(to, name))).filter(|it| it.0 != to)
            {
                (to, item) = (file, Some(name.clone()));
            }
            if to != from {
                arrows.entry(from.to_owned()).or_default().insert(to.to_owned());
            }
        }
        Self { arrows }
    }

    /// Every arrow, as file and file.
    pub(crate) fn arrows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arrows.iter().flat_map(|(from, to)| to.iter().map(|to| (from.as_str(), to.as_str())))
    }

    /// The largest groups of files in which each leads to each.
    pub(crate) fn rings(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> =
            self.arrows.keys().map(|from| (from.as_str(), self.reached(from))).collect();
        let mut rings = BTreeSet::new();
        for (from, to) in &reached {
            let back = |to: &&&str| reached.get(*to).is_some_and(|back| back.contains(from));
            let ring: Vec<_> = to.iter().filter(back).map(|file| (*file).to_owned()).collect();
            if !ring.is_empty() {
                rings.insert(ring);
            }
        }
        rings.into_iter().collect()
    }

    /// The files to which the arrows lead from this one: itself too, if it is in a ring.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in self.arrows.get(file).into_iter().flatten() {
                if reached.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        reached
    }
}

/// The file in which a path ends, and what of the path is behind it.
fn split<'a, 'p>(
    files: &BTreeMap<Vec<String>, &'a str>,
    path: &'p [String],
) -> Option<(&'a str, &'p [String])> {
    (0..=path.len()).rev().find_map(|length| {
        let file = files.get(&path[..length])?;
        Some((*file, &path[length..]))
    })
}
