//! Reads Rust source as far as `tidy.rs` needs it: code without comments, text and tests, and the
//! paths that it names.

use std::fs;
use std::path::Path;

/// A source file of the crate, below `src`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path below `src`, with slashes.
    pub(crate) name: String,
    pub(crate) text: String,
    /// The text without comments, tests, and what is in quotes. It has as many lines as the text.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self { name, code: without_tests(&blank(&text)), text }
    }

    /// The module's path in the crate: `["pool", "overload"]`.
    fn module(&self) -> Vec<String> {
        let path = self.name.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
    }

    /// Every path that the code names from `crate`, `super` or `self` on, from the crate's root on.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        let tokens = tokens(&self.code);
        let mut modules = self.module();
        // The depths of braces at which inline modules end.
        let (mut inline, mut depth) = (Vec::new(), 0);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at] {
                "mod" if tokens.get(at + 2) == Some(&"{") => {
                    modules.push(tokens[at + 1].to_owned());
                    inline.push(depth);
                    depth += 1;
                    at += 2;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        modules.pop();
                    }
                }
                "crate" | "super" | "self" if tokens.get(at + 1) == Some(&"::") => {
                    at = tree(&tokens, at, &modules, Vec::new(), &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// Reads a path, or a tree of `use`, whose beginning is `path`; returns where it ends.
fn tree(
    tokens: &[&str],
    mut at: usize,
    module: &[String],
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at) {
            Some(&"crate") => path.clear(),
            // A path relative to the module; `self` as a leaf names the path before it.
            Some(&"self") if path.is_empty() => path = module.to_vec(),
            Some(&"self") => {}
            Some(&"super") => {
                if path.is_empty() {
                    path = module.to_vec();
                }
                path.pop();
            }
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = tree(tokens, at, module, path.clone(), found);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(name) => path.push((*name).to_owned()),
            None => return at,
        }
        at += 1;
        if tokens.get(at) == Some(&"::") {
            at += 1;
            continue;
        }
        if tokens.get(at) == Some(&"as") {
            at += 2;
        }
        found.push(path);
        return at;
    }
}

/// Identifiers, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
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

/// The code with comments and the insides of quotes made blank, line for line.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            all.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
    let tests: Vec<_> = all.iter().flat_map(test_modules).collect();
    all.retain(|source| {
        let module = source.module();
        !tests.iter().any(|test| module.starts_with(test))
    });
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The modules of a file that only tests have and that are files of their own.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let code = blank(&source.text);
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
            found.push(module);
        }
    }
    found
}
