//! Files are short and lines fit.

use super::scan::{blank, files};

/// The most lines of a file: a longer one has two subjects.
const LINES: usize = 450;

/// The most columns of a line, as .rustfmt.toml has it. It does not wrap literals and comments; the
/// comments are checked here.
const COLUMNS: usize = 100;

/// Files that are still longer. The list only shrinks.
const LONG: &[&str] = &[];

/// Whether a file is too long, and its lines that are too wide, but for literals.
fn faults(text: &str) -> (bool, Vec<&str>) {
    let without_literals = blank(text, false);
    let lines = text.lines().zip(without_literals.lines());
    let wide = lines.filter(|(line, same)| line.chars().count() > COLUMNS && line == same);
    (text.lines().count() > LINES, wide.map(|(line, _)| line).collect())
}

#[test]
fn files_are_short_and_lines_fit() {
    let mut checked = 0;
    for folder in ["src", "tests", "benches", "examples"] {
        for (name, text) in files(folder, &["rs"]) {
            checked += 1;
            let (is_long, wide) = faults(&text);
            assert!(
                !is_long || LONG.contains(&name.as_str()),
                "{name} has more than {LINES} lines"
            );
            assert!(wide.is_empty(), "{name}: {wide:#?}");
        }
    }
    assert!(checked >= 250, "{checked} files");
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
