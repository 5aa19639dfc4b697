//! Fields that are added by path.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::options::{FieldRule, FilesOptions};
use crate::error::{Error, ErrorKind};

/// The compiled rules.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    name: HeaderName,
    value: HeaderValue,
}

impl Rules {
    pub(super) fn new(options: &FilesOptions) -> Result<Self, Error> {
        options.headers.iter().map(Rule::new).collect::<Result<_, _>>().map(Self)
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

impl Rule {
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
        Ok(Self { pattern: Pattern::new(&rule.pattern), name, value })
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

/// A pattern for paths.
#[derive(Debug)]
struct Pattern {
    whole: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: one byte, no slash.
    One,
    /// `*`: any bytes, no slash.
    Name,
    /// `**`: any bytes.
    Path,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let whole = text.starts_with('/');
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            rest = after;
            tokens.push(match byte {
                b'*' if rest.starts_with(b"*") => {
                    rest = &rest[1..];
                    Token::Path
                }
                b'*' => Token::Name,
                b'?' => Token::One,
                byte => Token::Byte(*byte),
            });
        }
        Self { whole, tokens }
    }

    /// Whether it matches a path below the root. It takes the product of both lengths, no more,
    /// whatever the path.
    fn matches(&self, path: &[u8]) -> bool {
        let name = path.iter().rposition(|&byte| byte == b'/').map_or(path, |at| &path[at + 1..]);
        let slash: &[u8] = if self.whole { b"/" } else { b"" };
        let text = [slash, if self.whole { path } else { name }].concat();
        // Which lengths of the text the tokens so far match.
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for token in &self.tokens {
            let mut next = vec![false; text.len() + 1];
            for at in 0..=text.len() {
                let after = at.checked_sub(1).is_some_and(|before| match token {
                    Token::Byte(byte) => reached[before] && text[before] == *byte,
                    Token::One => reached[before] && text[before] != b'/',
                    Token::Name => next[before] && text[before] != b'/',
                    Token::Path => next[before],
                });
                next[at] = after || (matches!(token, Token::Name | Token::Path) && reached[at]);
            }
            reached = next;
        }
        reached[text.len()]
    }
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
        ] {
            let compiled = Pattern::new(pattern);
            for path in matching.split_whitespace() {
                assert!(compiled.matches(path.as_bytes()), "{pattern} {path}");
            }
            for path in others.split_whitespace() {
                assert!(!compiled.matches(path.as_bytes()), "{pattern} {path}");
            }
        }
        assert!(Pattern::new("/").matches(b""));
        assert!(Pattern::new("/**").matches(b""));
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
            let error = Rules::new(&options).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
