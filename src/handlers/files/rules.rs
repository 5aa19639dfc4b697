//! Fields that are added by path.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::options::{FieldRule, FilesOptions};
use crate::error::{Error, ErrorKind};

/// The compiled rules.
#[derive(Debug)]
pub(super) struct FieldRules(Vec<CompiledRule>);

#[derive(Debug)]
struct CompiledRule {
    pattern: Pattern,
    name: HeaderName,
    value: HeaderValue,
}

impl FieldRules {
    pub(super) fn new(options: &FilesOptions) -> Result<Self, Error> {
        options.headers.iter().map(CompiledRule::new).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the fields for a path below the root; the last of several for one field stays.
    pub(super) fn apply(&self, path: &[u8], headers: &mut HeaderMap) {
        for rule in self.0.iter().filter(|rule| rule.pattern.matches(path)) {
            headers.insert(rule.name.clone(), rule.value.clone());
        }
    }
}

impl CompiledRule {
    fn new(rule: &FieldRule) -> Result<Self, Error> {
        let wrong = |what: &str, hint: &str| {
            let message = format!("the rule {:?} for {:?}: {what}", rule.name, rule.pattern);
            Error::new(ErrorKind::Config, message).with_hint(hint)
        };
        let name: HeaderName = rule
            .name
            .parse()
            .map_err(|_| wrong("no name of a field", "a name has letters, digits and hyphens"))?;
        if is_taken(&name) {
            let hint = "it follows from the file and the connection; types are set by `types`";
            return Err(wrong("this field is the server's to set", hint));
        }
        let value = HeaderValue::from_str(&rule.value)
            .map_err(|_| wrong("no value of a field", "a value has no control characters"))?;
        if rule.pattern.is_empty() {
            return Err(wrong("no pattern", "`**` matches every path"));
        }
        let pattern = Pattern::new(&rule.pattern).ok_or_else(|| {
            wrong(
                "the pattern is too long",
                "after its first `*` or `?` it has at most 127 characters",
            )
        })?;
        Ok(Self { pattern, name, value })
    }
}

/// Fields by which the answer itself is understood: a rule could only make them lie.
fn is_taken(name: &HeaderName) -> bool {
    const TAKEN: [HeaderName; 14] = [
        header::ACCEPT_RANGES,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::DATE,
        header::ETAG,
        header::LAST_MODIFIED,
        header::LOCATION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VARY,
        header::WWW_AUTHENTICATE,
    ];
    TAKEN.contains(name)
}

/// Tokens of a pattern between its first special character and its end.
const TOKENS_MAX: usize = 127;

/// A pattern for paths, as an automaton whose states are the bits of a number: bit `n` says that
/// the first `n` tokens match what was read so far. A byte of a path costs a few instructions,
/// whatever the pattern and the path are, and nothing is allocated.
#[derive(Debug)]
struct Pattern {
    /// Whether it is matched against the whole path, not against the last name.
    whole: bool,
    /// What is before the first special character.
    prefix: Box<[u8]>,
    /// Where the automaton ends.
    last: u128,
    /// `None`: there is no special character.
    steps: Option<Steps>,
}

#[derive(Debug)]
struct Steps {
    /// By byte, the states in which it is the next token's, or `?`'s.
    advance: Box<[u128; 256]>,
    /// The states before a `*` or `**`, which may also stand for nothing.
    stars: u128,
    /// Those before a `**`, which takes slashes too.
    deep: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternToken {
    Byte(u8),
    /// `?`: one byte, no slash.
    One,
    /// `*`: any bytes, no slash.
    Name,
    /// `**`: any bytes.
    Path,
}

impl Pattern {
    /// `None` if it is too long.
    fn new(text: &str) -> Option<Self> {
        let whole = text.starts_with('/');
        let special = text.find(['*', '?']).unwrap_or(text.len());
        let (prefix, rest) = text.as_bytes().split_at(special);
        // The slash at its start is no part of a path below the root.
        let prefix = if whole { &prefix[1..] } else { prefix };
        let tokens = tokens(rest);
        if tokens.len() > TOKENS_MAX {
            return None;
        }
        Some(Self {
            whole,
            prefix: prefix.into(),
            last: 1 << tokens.len(),
            steps: (!tokens.is_empty()).then(|| Steps::new(&tokens)),
        })
    }

    /// Whether it matches a path below the root.
    fn matches(&self, path: &[u8]) -> bool {
        let name = || memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..]);
        let text = if self.whole { path } else { name() };
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        match &self.steps {
            None => rest.is_empty(),
            Some(steps) => steps.run(rest, self.last),
        }
    }
}

impl Steps {
    fn new(tokens: &[PatternToken]) -> Self {
        let mut steps = Self { advance: Box::new([0; 256]), stars: 0, deep: 0 };
        for (place, token) in tokens.iter().enumerate() {
            let state = 1 << place;
            match token {
                PatternToken::Byte(byte) => steps.advance[usize::from(*byte)] |= state,
                PatternToken::One => {
                    for (byte, states) in steps.advance.iter_mut().enumerate() {
                        *states |= if byte == usize::from(b'/') { 0 } else { state };
                    }
                }
                PatternToken::Name => steps.stars |= state,
                PatternToken::Path => {
                    steps.stars |= state;
                    steps.deep |= state;
                }
            }
        }
        steps
    }

    fn run(&self, text: &[u8], last: u128) -> bool {
        // No two stars are neighbours, so that one step over them is enough.
        let skip = |states: u128| states | (states & self.stars) << 1;
        let mut states = skip(1);
        for &byte in text {
            // Nothing can follow a `**` at the end that it does not match.
            if states & self.deep & last >> 1 != 0 {
                return true;
            }
            let stay = if byte == b'/' { self.deep } else { self.stars };
            states = skip((states & self.advance[usize::from(byte)]) << 1 | (states & stay));
            if states == 0 {
                return false;
            }
        }
        states & last != 0
    }
}

/// The tokens of a pattern. Several stars in a row are as good as the strongest of them.
fn tokens(text: &[u8]) -> Vec<PatternToken> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let [byte, ..] = rest {
        let stars = rest.iter().take_while(|&&byte| byte == b'*').count();
        rest = &rest[stars.max(1)..];
        tokens.push(match (stars, byte) {
            (0, b'?') => PatternToken::One,
            (0, byte) => PatternToken::Byte(*byte),
            (1, _) => PatternToken::Name,
            _ => PatternToken::Path,
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_or_last_names() {
        for (pattern, matching, others) in [
            ("/a", "a", "a/ b/a ab"),
            ("/a/*", "a/ a/b", "a a/b/c a/b/"),
            ("/a/**", "a/ a/b a/b/c a/b/", "a b/a/b"),
            ("**", "a a/b a/", ""),
            ("/**/b.*", "a/b.css x/y/b.js", "b.css a/b a/bb.css"),
            ("*.html", "a.html b/a.html .html", "a.htm a.html/b html"),
            ("/*.html", "a.html", "b/a.html"),
            ("?.js", "a.js b/a.js", "ab.js .js"),
            ("/**.js", "a.js b/a.js", "a.css"),
            ("*a*a*a*", "aaa baaab caxaxa", "aa b"),
            ("/a*/**/?", "a/bc/d ab/c/d/e a//b", "a/ a/b b/c/d a/b/ ab"),
            ("/***", "a a/b", ""),
            ("a?c", "abc x/abc", "ac abbc a/c"),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            for path in matching.split_whitespace() {
                assert!(compiled.matches(path.as_bytes()), "{pattern} {path}");
            }
            for path in others.split_whitespace() {
                assert!(!compiled.matches(path.as_bytes()), "{pattern} {path}");
            }
        }
        assert!(Pattern::new("/").unwrap().matches(b""));
        assert!(Pattern::new("/**").unwrap().matches(b""));
    }

    #[test]
    fn a_pattern_is_bounded_where_it_is_special() {
        let literal = format!("/{}", "a".repeat(1000));
        assert!(Pattern::new(&literal).unwrap().matches(&literal.as_bytes()[1..]));
        let text = format!("**{}", "a".repeat(TOKENS_MAX - 1));
        let pattern = Pattern::new(&text).unwrap();
        assert!(pattern.matches(&[b'a'; 200]) && !pattern.matches(&[b'a'; 100]));
        assert!(Pattern::new(&format!("{text}a")).is_none());
    }

    proptest::proptest! {
        #[test]
        fn patterns_match_as_their_definition_says(
            pattern in "/?[ab*?/]{1,8}",
            path in "[ab/]{0,8}",
        ) {
            /// The definition, word by word.
            fn matches(pattern: &[u8], text: &[u8]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    [b'*', b'*', rest @ ..] => (0..=text.len()).any(|n| matches(rest, &text[n..])),
                    [b'*', rest @ ..] => (0..=text.len())
                        .take_while(|n| !text[..*n].contains(&b'/'))
                        .any(|n| matches(rest, &text[n..])),
                    [b'?', rest @ ..] => {
                        text.first().is_some_and(|b| *b != b'/') && matches(rest, &text[1..])
                    }
                    [byte, rest @ ..] => text.first() == Some(byte) && matches(rest, &text[1..]),
                }
            }
            let expected = match pattern.strip_prefix('/') {
                Some(rest) => matches(rest.as_bytes(), path.as_bytes()),
                None => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    matches(pattern.as_bytes(), name.as_bytes())
                }
            };
            let compiled = Pattern::new(&pattern).unwrap();
            proptest::prop_assert_eq!(compiled.matches(path.as_bytes()), expected);
        }
    }

    #[test]
    fn a_rule_may_not_say_what_the_server_says() {
        for (pattern, name, value) in [
            ("**", "Content-Length", "3"),
            ("**", "content-type", "text/html"),
            ("**", "Bad Name", "x"),
            ("**", "X-Good", "a\r\nX-Evil: b"),
            ("", "X-Good", "x"),
        ] {
            let [pattern, name, value] = [pattern, name, value].map(str::to_owned);
            let rule = FieldRule { pattern, name, value };
            let options = FilesOptions { headers: vec![rule], ..FilesOptions::default() };
            let error = FieldRules::new(&options).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
