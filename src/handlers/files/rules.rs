//! Header fields that are added by path.

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

    /// Sets the fields for a path below the root. If several rules set one field, the last wins.
    pub(super) fn apply(&self, path: &[u8], headers: &mut HeaderMap) {
        for rule in self.0.iter().filter(|rule| rule.pattern.matches(path)) {
            headers.insert(rule.name.clone(), rule.value.clone());
        }
    }
}

impl CompiledRule {
    fn new(rule: &FieldRule) -> Result<Self, Error> {
        let wrong = |what: &str, hint: &str| {
            let message = format!("rule {:?} for {:?}: {what}", rule.name, rule.pattern);
            Error::new(ErrorKind::Config, message).with_hint(hint)
        };
        let name: HeaderName = rule
            .name
            .parse()
            .map_err(|_| wrong("invalid field name", "expected letters, digits and hyphens"))?;
        if is_taken(&name) {
            let hint =
                "the server derives it from the file or connection; `types` sets content types";
            return Err(wrong("only the server sets this field", hint));
        }
        let value = HeaderValue::from_str(&rule.value)
            .map_err(|_| wrong("invalid field value", "expected no control characters"))?;
        if rule.pattern.is_empty() {
            return Err(wrong("empty pattern", "`**` matches every path"));
        }
        let pattern = Pattern::new(&rule.pattern).ok_or_else(|| {
            wrong(
                "the pattern is too long",
                "expected at most 127 characters after its first `*` or `?`",
            )
        })?;
        Ok(Self { pattern, name, value })
    }
}

/// Fields that the server sets itself: a rule could only make them wrong.
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

/// The maximum number of tokens of a pattern, from its first special character on.
const TOKENS_MAX: usize = 127;

/// A pattern for paths, as an automaton whose states are the bits of a number: bit `n` is set if
/// the first `n` tokens match the bytes so far. Each byte of a path costs a few instructions,
/// whatever the pattern and the path, and no allocation.
#[derive(Debug)]
struct Pattern {
    /// Whether the pattern applies to the whole path, and not to its last name.
    whole: bool,
    /// The text before the first special character.
    prefix: Box<[u8]>,
    /// The state in which the whole pattern matches.
    last: u128,
    /// `None` if there is no special character.
    steps: Option<Steps>,
}

#[derive(Debug)]
struct Steps {
    /// For each byte, the states whose next token it matches.
    advance: Box<[u128; 256]>,
    /// The states before a `*` or `**`, which may also match no bytes.
    stars: u128,
    /// The states before a `**`, which matches slashes, too.
    deep: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternToken {
    Byte(u8),
    /// `?`: one byte except a slash.
    One,
    /// `*`: any bytes except slashes.
    Name,
    /// `**`: any bytes.
    Path,
}

impl Pattern {
    /// `None` if the pattern is too long.
    fn new(text: &str) -> Option<Self> {
        let whole = text.starts_with('/');
        let special = text.find(['*', '?']).unwrap_or(text.len());
        let (prefix, rest) = text.as_bytes().split_at(special);
        // A path below the root has no leading slash.
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
        // There are never two stars in a row, so one step past them is enough.
        let skip = |states: u128| states | (states & self.stars) << 1;
        let mut states = skip(1);
        for &byte in text {
            // A `**` at the end matches all remaining bytes.
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

/// The tokens of a pattern. Several stars in a row equal the most general of them.
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
    fn a_pattern_is_bounded_after_its_first_special_character() {
        let literal = format!("/{}", "a".repeat(1000));
        assert!(Pattern::new(&literal).unwrap().matches(&literal.as_bytes()[1..]));
        let text = format!("**{}", "a".repeat(TOKENS_MAX - 1));
        let pattern = Pattern::new(&text).unwrap();
        assert!(pattern.matches(&[b'a'; 200]) && !pattern.matches(&[b'a'; 100]));
        assert!(Pattern::new(&format!("{text}a")).is_none());
    }

    proptest::proptest! {
        #[test]
        fn patterns_match_according_to_their_definition(
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
    fn a_rule_cannot_set_the_servers_own_fields() {
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
