//! [`Table`]: the paths of a router, and the targets for their methods.

use http::Method;
use matchit::InsertError;

use super::allow::Allow;
use super::literals::Literals;
use super::target::RouteTarget;

/// The name of the rest of the path behind the prefix of a nested handler.
pub(super) const NESTED_REST: &str = "-rest-";

/// The most routes with a name: metrics have a value for each.
const NAMES_MAX: usize = 64;

/// The paths of a router, and the targets for their methods.
pub(super) struct Table<S> {
    matcher: matchit::Router<PathEntry>,
    /// The paths of the matcher that have no names and that are not nested.
    literals: Literals,
    pub(super) paths: Vec<PathRoutes<S>>,
    /// The paths that the matcher has in addition: those that catch-all paths match with an empty
    /// rest. An explicit path replaces it.
    implied: Vec<String>,
    /// The methods of all paths.
    pub(super) allow: Allow,
    /// The path and the method of the route that was added last; `None` for any method.
    last: Option<(usize, Option<Method>)>,
    /// The first invalid path, and why it is invalid.
    pub(super) invalid: Option<(String, String)>,
}

/// The entry of a path in the matcher.
#[derive(Clone, Copy)]
struct PathEntry {
    path: usize,
    /// Whether the path is that of a catch-all with an empty rest.
    implied: bool,
}

/// The targets for one path.
pub(super) struct PathRoutes<S> {
    pub(super) path: String,
    pub(super) methods: Vec<(Method, NamedTarget<S>)>,
    pub(super) any: Option<NamedTarget<S>>,
    pub(super) allow: Allow,
    /// Whether its target sees only the path behind the prefix.
    pub(super) nested: bool,
}

/// A target, with the name of its route if it has one.
pub(super) struct NamedTarget<S> {
    pub(super) target: Box<dyn RouteTarget<S>>,
    pub(super) name: Option<&'static str>,
}

/// A path that was found, with the values of its names.
pub(super) struct Found<'r, 'p, S> {
    pub(super) routes: &'r PathRoutes<S>,
    params: matchit::Params<'r, 'p>,
    implied: bool,
}

impl<S> Table<S> {
    pub(super) fn new() -> Self {
        Self {
            matcher: matchit::Router::new(),
            literals: Literals::new(),
            paths: Vec::new(),
            implied: Vec::new(),
            allow: Allow::new(),
            last: None,
            invalid: None,
        }
    }

    /// Adds a target for a method.
    pub(super) fn add(&mut self, method: Method, path: &str, target: NamedTarget<S>) {
        let Some(at) = self.path(path, false) else { return };
        let routes = &mut self.paths[at];
        if routes.methods.iter().any(|(other, _)| *other == method) {
            self.reject(path, format!("{method} has two handlers"));
            return;
        }
        if method == Method::GET {
            routes.allow.add(Method::HEAD);
        }
        routes.allow.add(Method::OPTIONS);
        routes.allow.add(method.clone());
        routes.methods.push((method.clone(), target));
        for method in routes.allow.methods.clone() {
            self.allow.add(method);
        }
        self.last = Some((at, Some(method)));
    }

    /// Adds a target for the methods that have no other at this path. `nested`: it sees the path
    /// behind the prefix `path`.
    pub(super) fn add_any(&mut self, path: &str, nested: bool, target: NamedTarget<S>) {
        let Some(at) = self.path(path, nested) else { return };
        if self.paths[at].any.replace(target).is_some() {
            self.reject(path, "the path has two handlers for any method".to_owned());
        }
        self.last = Some((at, None));
    }

    /// Names the route that was added last.
    pub(super) fn name_last(&mut self, name: &'static str) {
        let count = self.names().count();
        let Some((at, method)) = &self.last else {
            self.reject(name, "a name without a route".to_owned());
            return;
        };
        let routes = &mut self.paths[*at];
        let target = match method {
            None => routes.any.as_mut(),
            Some(method) => {
                routes.methods.iter_mut().find(|(other, _)| other == method).map(|(_, it)| it)
            }
        };
        if let Some(target) = target {
            target.name = Some(name);
        }
        if count == NAMES_MAX {
            let path = routes.path.clone();
            self.reject(&path, format!("more than {NAMES_MAX} routes have a name"));
        }
    }

    /// The names of routes.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.targets().filter_map(|target| target.name)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &NamedTarget<S>> {
        self.paths.iter().flat_map(|routes| {
            routes.methods.iter().map(|(_, target)| target).chain(routes.any.as_ref())
        })
    }

    /// Records why a path is invalid, unless another one is.
    pub(super) fn reject(&mut self, path: &str, reason: String) {
        self.invalid.get_or_insert((path.to_owned(), reason));
    }

    /// The index of this path, which is added if it is new; `None` if it is invalid.
    fn path(&mut self, path: &str, nested: bool) -> Option<usize> {
        let same = |routes: &PathRoutes<S>| routes.path == path && routes.nested == nested;
        if let Some(known) = self.paths.iter().position(same) {
            return Some(known);
        }
        if let Err(error) = self.insert(path, nested) {
            self.reject(path, error);
            return None;
        }
        self.paths.push(PathRoutes {
            path: path.to_owned(),
            methods: Vec::new(),
            any: None,
            allow: Allow::new(),
            nested,
        });
        Some(self.paths.len() - 1)
    }

    /// Adds the next path to the matcher. A catch-all also matches an empty rest, which matchit
    /// does not support: the path without the rest is added as well, unless a route has it.
    fn insert(&mut self, path: &str, nested: bool) -> Result<(), String> {
        if !path.starts_with('/') {
            return Err("a path must begin with a slash".to_owned());
        }
        let prefix = path.trim_end_matches('/');
        let whole = match nested {
            true => &format!("{prefix}/{{*{NESTED_REST}}}"),
            false => path,
        };
        let index = self.paths.len();
        let mut outcome = self.matcher.insert(whole, PathEntry { path: index, implied: false });
        if let Err(InsertError::Conflict { with }) = &outcome
            && let Some(at) = self.implied.iter().position(|implied| implied == with)
        {
            self.matcher.remove(self.implied.swap_remove(at));
            outcome = self.matcher.insert(whole, PathEntry { path: index, implied: false });
        }
        outcome.map_err(|error| error.to_string())?;
        if !nested {
            self.literals.add(whole, index);
        }
        if let Some((before_rest, _)) = split_catch_all(whole) {
            self.imply(before_rest, index);
        }
        if nested && !prefix.is_empty() {
            self.imply(prefix, index);
        }
        Ok(())
    }

    /// Adds a path that a catch-all matches with an empty rest, unless a route has it.
    fn imply(&mut self, path: &str, index: usize) {
        if self.matcher.insert(path, PathEntry { path: index, implied: true }).is_ok() {
            self.implied.push(path.to_owned());
        }
    }

    /// The path that this one equals, if it has no names: what [`find`](Self::find) finds, too.
    #[inline]
    pub(super) fn find_literal(&self, path: &str) -> Option<&PathRoutes<S>> {
        self.literals.find(path).map(|index| &self.paths[index])
    }

    pub(super) fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Found<'r, 'p, S>> {
        let matched = self.matcher.at(path).ok()?;
        let PathEntry { path, implied } = *matched.value;
        Some(Found { routes: &self.paths[path], params: matched.params, implied })
    }
}

impl<S> Found<'_, '_, S> {
    /// Whether the path has no names.
    pub(super) fn is_literal(&self) -> bool {
        self.params.is_empty() && !self.implied
    }

    /// The names and the values of the path.
    pub(super) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let empty = self.implied && !self.routes.nested;
        let rest = split_catch_all(&self.routes.path).filter(|_| empty);
        let params = self.params.iter().filter(|(name, _)| *name != NESTED_REST);
        params.chain(rest.map(|(_, name)| (name, "")))
    }

    /// The length of the part of `path` that a nested target does not see.
    pub(super) fn prefix_len(&self, path: &str) -> usize {
        match self.params.get(NESTED_REST) {
            // The slash before the rest is part of what it sees.
            Some(rest) => path.len() - rest.len() - 1,
            None if path.ends_with('/') => path.len() - 1,
            None => path.len(),
        }
    }
}

impl<S> PathRoutes<S> {
    pub(super) fn target(&self, method: &Method) -> Option<&NamedTarget<S>> {
        let for_method = |method: &Method| {
            self.methods.iter().find(|(other, _)| other == method).map(|(_, target)| target)
        };
        let head = || if *method == Method::HEAD { for_method(&Method::GET) } else { None };
        for_method(method).or_else(head).or(self.any.as_ref())
    }
}

/// The path before a catch-all, with its trailing slash, and the name of the rest; `None` for a
/// path without a catch-all.
fn split_catch_all(path: &str) -> Option<(&str, &str)> {
    let (prefix, name) = path.strip_suffix('}')?.rsplit_once("{*")?;
    prefix.ends_with('/').then_some((prefix, name))
}
