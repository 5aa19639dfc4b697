//! Standard output: help, the man page, shell completions.

use std::io::Write;
use std::process::ExitCode;

use clap_complete::Shell;

use crate::cli;
use crate::failure::{Failure, code};

/// What the hidden subcommand writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manual {
    /// millpond(1), in roff.
    Page,
    Completions(Shell),
}

/// Writes the man page or completions to standard output.
pub(crate) fn write(what: Manual) -> Result<ExitCode, Failure> {
    let mut out = Vec::new();
    match what {
        Manual::Page => page(&mut out).map_err(|error| Failure::io(code::RUNTIME, "man", error))?,
        Manual::Completions(shell) => {
            clap_complete::generate(shell, &mut cli::command(), "millpond", &mut out);
        }
    }
    print(&out)
}

/// Writes text to standard output.
pub(crate) fn say(text: &str) -> Result<ExitCode, Failure> {
    print(text.as_bytes())
}

/// A reader that has gone (`millpond --help | head -1`) is no failure.
fn print(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io(code::RUNTIME, "cannot write to standard output", error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// One page for the program and its subcommands.
fn page(out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = cli::command();
    command.build();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    for name in ["serve", "check", "connect"] {
        let Some(sub) = command.find_subcommand(name) else { continue };
        writeln!(out, ".SH \"MILLPOND {}\"", name.to_uppercase())?;
        let man = clap_mangen::Man::new(sub.clone().disable_help_flag(true));
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        // The subcommand's sections become sections of a lower level.
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        out.write_all(section.as_bytes())?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in cli::EXIT_CODES {
        writeln!(out, ".TP\n{code}\n{meaning}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_man_page_has_every_flag() {
        let mut out = Vec::new();
        super::page(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace("\\-", "-");
        for row in crate::settings::table::rows().filter(|row| !row.flag.is_empty()) {
            assert!(text.contains(&format!("--{}", row.flag)), "{}", row.flag);
        }
    }
}
