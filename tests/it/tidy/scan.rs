//! Reads Rust source as far as the checks need it: code without comments, text and tests, the paths
//! that it names, the types that it declares.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Where the sources of the binary are, below `src`.
const BINARY: &str = "bin/millpond/";

/// A source file of the crate, below `src`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path below `src`, with slashes.
    pub(crate) name: String,
    pub(crate) text: String,
    /// The text without comments, tests, and what is in quotes. It has as many lines as the text.
    pub(crate) code: String,
}

/// A path that a file names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    /// From the crate's root on.
    pub(crate) path: Vec<String>,
    /// The name by which the file knows it.
    pub(crate) alias: String,
    /// Whether it is in a `pub use`, which names the item for others and uses nothing of it.
    pub(crate) is_reexport: bool,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self { name, code: without_tests(&blank(&text, true)), text }
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.name.starts_with(BINARY)
    }

    /// The module's path in its crate: `["pool", "overload"]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.name.trim_start_matches(BINARY).trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
    }

    /// Every path that the code names, from the crate's root on: those that begin with `crate`,
    /// `super`, `self` or a module of this file.
    pub(crate) fn named(&self) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let children = children(&tokens);
        let mut modules = self.module();
        // The depths of braces at which inline modules end.
        let (mut inline, mut depth) = (Vec::new(), 0);
        let mut found = Vec::new();
        let (mut at, mut in_use, mut is_reexport) = (0, false, false);
        while at < tokens.len() {
            let starts_path = tokens.get(at + 1) == Some(&"::")
                && !(at > 0 && ["::", "."].contains(&tokens[at - 1]));
            match tokens[at] {
                "mod" if tokens.get(at + 2) == Some(&"{") => {
                    modules.push(tokens[at + 1].to_owned());
                    inline.push(depth);
                    depth += 1;
                    at += 2;
                }
                "use" => {
                    in_use = true;
                    is_reexport = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                }
                ";" => in_use = false,
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        modules.pop();
                    }
                }
                "crate" | "super" | "self" if starts_path => {
                    let tree = Tree { tokens: &tokens, modules: &modules };
                    at = tree.read(at, Vec::new(), in_use && is_reexport, &mut found);
                    continue;
                }
                child if starts_path && inline.is_empty() && children.contains(&child) => {
                    let tree = Tree { tokens: &tokens, modules: &modules };
                    at = tree.read(at, modules.clone(), in_use && is_reexport, &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    /// Every path that the code names, as [`named`](Self::named) has it.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        self.named().into_iter().map(|named| named.path).collect()
    }

    /// The types that the code declares: not the associated ones of traits and their
    /// implementations.
    pub(crate) fn types(&self) -> Vec<String> {
        let tokens = tokens(&self.code);
        // The depths of braces at which blocks of `impl` and `trait` end.
        let (mut blocks, mut depth, mut opens) = (Vec::new(), 0, false);
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let name = || tokens.get(at + 1).map(|name| (*name).to_owned());
            let begins =
                at == 0 || [";", "}", "{", "]", ")", "pub", "unsafe"].contains(&tokens[at - 1]);
            match *token {
                "struct" | "enum" if begins => found.extend(name()),
                "trait" if begins => {
                    found.extend(name());
                    opens = true;
                }
                "impl" if begins => opens = true,
                "type" if begins && blocks.is_empty() => found.extend(name()),
                "{" => {
                    if opens {
                        blocks.push(depth);
                        opens = false;
                    }
                    depth += 1;
                }
                "}" => {
                    depth -= 1;
                    if blocks.last() == Some(&depth) {
                        blocks.pop();
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// The modules that a file declares and that are files of their own.
fn children<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let declared = tokens.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
    declared.map(|three| three[1]).collect()
}

struct Tree<'a> {
    tokens: &'a [&'a str],
    modules: &'a [String],
}

impl Tree<'_> {
    /// Reads a path, or a tree of `use`, whose beginning is `path`; returns where it ends.
    fn read(
        &self,
        mut at: usize,
        mut path: Vec<String>,
        is_reexport: bool,
        found: &mut Vec<Named>,
    ) -> usize {
        loop {
            match self.tokens.get(at) {
                Some(&"crate") => path.clear(),
                // A path relative to the module; `self` as a leaf names the path before it.
                Some(&"self") if path.is_empty() => path = self.modules.to_vec(),
                Some(&"self") => {}
                Some(&"super") => {
                    if path.is_empty() {
                        path = self.modules.to_vec();
                    }
                    path.pop();
                }
                Some(&"{") => {
                    at += 1;
                    while self.tokens.get(at).is_some_and(|token| *token != "}") {
                        at = self.read(at, path.clone(), is_reexport, found);
                        if self.tokens.get(at) == Some(&",") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                Some(name) => path.push((*name).to_owned()),
                None => return at,
            }
            at += 1;
            if self.tokens.get(at) == Some(&"::") {
                at += 1;
                continue;
            }
            let mut alias = path.last().cloned().unwrap_or_default();
            if self.tokens.get(at) == Some(&"as") {
                alias = self.tokens[at + 1].to_owned();
                at += 2;
            }
            found.push(Named { path, alias, is_reexport });
            return at;
        }
    }
}

/// Identifiers, `::`, and single characters.
pub(crate) fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The code with the insides of quotes made blank, line for line; comments too, if so asked for.
pub(crate) fn blank(text: &str, comments: bool) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let comment = match rest {
            _ if rest.starts_with("//") => rest.find('\n').or(Some(rest.len())),
            _ if rest.starts_with("/*") => rest.find("*/").map(|end| end + 2).or(Some(rest.len())),
            _ => None,
        };
        let length = if let Some(length) = comment {
            if !comments {
                code.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            length
        } else if let Some(length) = raw_string(rest).filter(|_| !word_before) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_char(rest) {
            quoted(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[length..];
    }
    code
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end)?;
    Some(rest.len() - inside.len() + length + end.len())
}

/// The length of text in quotes, with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether a quote begins a character and no lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    first == Some('\\') || second == Some('\'')
}

/// The code without the items that only tests have, line for line.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(TEST) {
        kept.push_str(&rest[..start]);
        let length = TEST.len() + item(&rest[start + TEST.len()..]);
        let blank = rest[start..start + length].chars();
        kept.extend(blank.map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[start + length..];
    }
    kept + rest
}

/// The length of the item at the start: to its semicolon, or to the end of its block.
fn item(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return at + 1;
        }
    }
    code.len()
}

/// The sources below `src`, without those that are modules of tests alone.
pub(crate) fn sources() -> Vec<Source> {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(read_sources).clone()
}

fn read_sources() -> Vec<Source> {
    let mut all: Vec<_> = files("src", &["rs"])
        .iter()
        .map(|(name, text)| Source::new(&name["src/".len()..], text))
        .collect();
    let tests: Vec<_> = all.iter().flat_map(test_modules).collect();
    all.retain(|source| {
        let module = source.module();
        !tests
            .iter()
            .any(|(binary, test)| *binary == source.is_binary() && module.starts_with(test))
    });
    all
}

/// The files below a folder of the package whose names end like this: path and text, in order.
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        if path.is_dir() && !name.ends_with("/target") {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|it| extensions.iter().any(|one| it == *one)) {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The modules of a file that only tests have and that are files of their own.
fn test_modules(source: &Source) -> Vec<(bool, Vec<String>)> {
    let code = blank(&source.text, true);
    let tokens = tokens(&code);
    let test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let after = &tokens[at..];
        if after.starts_with(&test)
            && let [.., "mod", name, ";"] = &after[..after.len().min(test.len() + 3)]
        {
            let mut module = source.module();
            module.push((*name).to_owned());
            found.push((source.is_binary(), module));
        }
    }
    found
}
