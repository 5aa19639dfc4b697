//! Files are short and lines fit.

use super::scan::{blank, files};

/// The most lines of a file: a longer one has two subjects.
const LINES: usize = 450;

/// The most columns of a line, as .rustfmt.toml has it. It does not wrap literals and comments; the
/// comments are checked here.
const COLUMNS: usize = 100;

/// Files that are still longer or wider. The list only shrinks.
const KNOWN: &[&str] = &[];

/// Whether a file is too long, and its lines that are too wide, but for literals.
fn faults(text: &str) -> (bool, Vec<&str>) {
    let without_literals = blank(text, false);
    let lines = text.lines().zip(without_literals.lines());
    let wide = lines.filter(|(line, same)| line.chars().count() > COLUMNS && line == same);
    (text.lines().count() > LINES, wide.map(|(line, _)| line).collect())
}

#[test]
fn files_are_short_and_lines_fit() {
    let (mut checked, mut found) = (0, Vec::new());
    for folder in ["src", "tests", "benches", "examples"] {
        for (name, text) in files(folder, &["rs"]) {
            checked += 1;
            let (is_long, wide) = faults(&text);
            if KNOWN.contains(&name.as_str()) {
                continue;
            }
            if is_long {
                found.push(format!("{name} has more than {LINES} lines"));
            }
            found.extend(wide.iter().map(|line| format!("{name}: {line}")));
        }
    }
    assert!(checked >= 250, "{checked} files");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_long_file_and_a_wide_line_are_found_and_a_literal_may_be_wide() {
    let wide = "x".repeat(101);
    assert_eq!(faults(&"a\n".repeat(450)), (false, vec![]));
    assert_eq!(faults(&"a\n".repeat(451)), (true, vec![]));
    for line in [format!("{wide}\n"), format!("// {wide}\n"), format!("    /// \"{wide}\"\n")] {
        assert_eq!(faults(&line), (false, vec![line.trim_end()]));
    }
    for line in [format!("let a = \"{wide}\";\n"), format!("let a = r#\"\"{wide}\"#;\n")] {
        assert_eq!(faults(&line), (false, vec![]));
    }
    assert_eq!(faults(&"é".repeat(100)), (false, vec![]));
}
