//! Words that were retired stay retired (docs/contributing.md has the vocabulary).

use super::scan::{blank, files, tokens};

/// Words that no identifier has in it, in `snake_case` or `CamelCase`.
const RETIRED: &[&str] = &[
    "answer", "answers", "brisk", "bring", "eager", "hush", "inlet", "inlets", "ledger", "loan",
    "mill", "nudge", "parcel", "parcels", "rouse", "seat", "seats", "shelf",
];

/// Identifiers that are retired as a whole.
const RETIRED_WHOLE: &[&str] =
    &["CutOff", "Doing", "Nowhere", "Unfair", "WornOut", "patience_field", "Replies"];

/// Types, as distinct from variants of the same name.
const RETIRED_TYPES: &[&str] = &["Turn", "Served", "Sharing"];

/// Phrases that neither prose nor texts for users have in them.
const PHRASES: &[&str] = &[
    "is no port",
    "is no host",
    "is no number",
    "anew",
    "all the same",
    "of late",
    "forthwith",
    "tells of",
    "is told of",
    "are told of",
];

/// Files and folders that are not yet rewritten. The list only shrinks.
const NOT_YET: &[&str] = &[];

/// The changelog quotes what things were called; the checks of words quote the words.
const EXEMPT: &[&str] = &["docs/changelog.md", "tests/it/tidy"];

/// The parts of an identifier, in small letters.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_small = false;
    for c in identifier.chars() {
        if c == '_' || c.is_uppercase() && after_small {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
    }
    parts
}

fn is_retired(identifier: &str) -> bool {
    RETIRED_WHOLE.contains(&identifier)
        || parts(identifier).iter().any(|part| RETIRED.contains(&part.as_str()))
}

/// The retired identifiers of some code.
fn retired(code: &str) -> Vec<String> {
    let code = blank(code, true);
    let tokens = tokens(&code);
    let mut found: Vec<_> =
        tokens.iter().filter(|token| is_retired(token)).map(|token| (*token).to_owned()).collect();
    for two in tokens.windows(2) {
        if ["struct", "enum", "trait", "type"].contains(&two[0]) && RETIRED_TYPES.contains(&two[1])
        {
            found.push(two.join(" "));
        }
    }
    found
}

/// The retired identifiers that some prose has in backticks.
fn retired_in_prose(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| !quoted.contains('\n'));
    quoted.flat_map(retired).collect()
}

/// The phrases that a text has in it, over the ends of lines too.
fn phrases(text: &str) -> Vec<&'static str> {
    let words = text.split_whitespace().filter(|word| !["//", "///", "//!", "\\"].contains(word));
    let text = words.collect::<Vec<_>>().join(" ").to_lowercase();
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let occurs = |phrase: &&&str| {
        text.match_indices(**phrase).any(|(at, phrase)| {
            let (before, after) = (&text[..at], &text[at + phrase.len()..]);
            !is_word(before.chars().next_back()) && !is_word(after.chars().next())
        })
    };
    PHRASES.iter().filter(occurs).copied().collect()
}

#[test]
fn retired_words_and_phrases_do_not_come_back() {
    let mut faults = Vec::new();
    let folders = ["src", "tests", "benches", "examples", "docs", "README.md"];
    let all = folders.iter().flat_map(|folder| files(folder, &["rs", "md"]));
    let mut checked = 0;
    for (name, text) in all {
        checked += 1;
        let is_within = |places: &[&str]| places.iter().any(|place| name.starts_with(place));
        if is_within(EXEMPT) || is_within(NOT_YET) {
            continue;
        }
        let words = if name.ends_with(".rs") { retired(&text) } else { retired_in_prose(&text) };
        faults.extend(words.into_iter().map(|word| format!("{name}: {word}")));
        faults.extend(phrases(&text).into_iter().map(|phrase| format!("{name}: \"{phrase}\"")));
    }
    assert!(checked >= 250, "{checked} files");
    faults.dedup();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn retired_words_are_found_in_identifiers_alone_and_phrases_everywhere() {
    let code = "struct Turn; enum E { Turn } fn is_eager(x: &ParcelOf) { shelf.bring(WornOut) }";
    let expected = ["is_eager", "ParcelOf", "shelf", "bring", "WornOut", "struct Turn"];
    assert_eq!(retired(code), expected);
    assert!(retired("fn seating() { \"hush\" } // a ledger\n use millpond::http;").is_empty());
    assert_eq!(retired_in_prose("an inlet, `an inlet`, `Mill`"), ["inlet", "Mill"]);
    assert_eq!(
        phrases("It is made\n    /// Anew, all\n    //! the same."),
        ["anew", "all the same"]
    );
    assert!(phrases("manewis, canew, small the same, tells often").is_empty());
    assert_eq!(phrases("\"80x\" is no \\\n port"), ["is no port"]);
}
