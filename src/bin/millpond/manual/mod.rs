//! Standard output: help, the man page, shell completions.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use clap_complete::Shell;

use crate::cli;
use crate::failure::{Failure, code};
use crate::settings::table::{Row, rows};
use crate::settings::{Settings, print};

/// What a subcommand prints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manual {
    /// millpond(1), in roff.
    Page,
    /// The table of settings in docs/configuration.md.
    Reference,
    /// A file of settings in which everything is commented out.
    Sample,
    Completions(Shell),
}

/// Writes the man page or completions to standard output.
pub(crate) fn write(what: Manual) -> Result<ExitCode, Failure> {
    let mut out = Vec::new();
    match what {
        Manual::Page => page(&mut out).map_err(|error| Failure::io(code::RUNTIME, "man", error))?,
        Manual::Reference => out = reference().into_bytes(),
        Manual::Sample => out = sample().into_bytes(),
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
    out.write_all(appendix(&command).as_bytes())
}

/// The sections behind the commands.
fn appendix(command: &clap::Command) -> String {
    let mut out = String::new();
    let mut list = |title: &str, entries: &mut dyn Iterator<Item = (String, String)>| {
        let _ = writeln!(out, ".SH \"{title}\"");
        for (term, text) in entries {
            let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", roff(&term), roff(&text));
        }
    };
    let pair = |(term, text): &(&str, &str)| ((*term).to_owned(), (*text).to_owned());
    let subs = command.get_subcommands();
    let about = |sub: &clap::Command| sub.get_about().map(ToString::to_string).unwrap_or_default();
    list("COMMANDS", &mut subs.map(|sub| (sub.get_name().to_owned(), about(sub) + ".")));
    let codes = cli::EXIT_CODES.iter();
    list("EXIT STATUS", &mut codes.map(|(code, text)| (code.to_string(), (*text).to_owned())));
    list("SIGNALS", &mut cli::SIGNALS.iter().map(pair));
    list("ENVIRONMENT", &mut ENVIRONMENT.iter().map(pair));
    list("FILES", &mut FILES.iter().map(pair));
    let _ = writeln!(out, ".SH EXAMPLES");
    for (command, text) in EXAMPLES {
        let _ = writeln!(out, ".PP\n{}\n.PP\n.EX\n{}\n.EE", roff(text), roff(command));
    }
    let _ = writeln!(out, ".SH \"SEE ALSO\"\n{}", SEE_ALSO.join(",\n"));
    out
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("MILLPOND_CONFIG", "The file of settings, where --config names none."),
    ("MILLPOND_*", "A setting each: the key in capitals, with _ for each dot."),
    ("LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID", "Sockets from the service manager."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Where the service manager is notified, and how often."),
    ("NO_COLOR", "If it is set, the log has no colours unless --color asks for them."),
];

const FILES: &[(&str, &str)] = &[
    (
        "/etc/millpond/millpond.toml",
        "The settings of the service. No file is read unless it is named.",
    ),
    ("/var/log/millpond/", "Where the service may write an access log."),
    ("/usr/share/doc/millpond/", "The documentation."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("millpond serve /srv/www --listing -p 8080", "Serve a directory on port 8080, with listings:"),
    ("millpond check -c /etc/millpond/millpond.toml", "Check a file of settings:"),
    (
        "printf 'GET / HTTP/1.0\\n\\n' | millpond connect --crlf tcp://localhost:8080",
        "Send a request and print the response:",
    ),
    (
        "millpond connect --probe --wait-for 30 unix:/run/millpond.sock",
        "Wait until a server listens, for 30 seconds at most:",
    ),
];

const SEE_ALSO: &[&str] = &[
    ".BR systemd.socket (5)",
    ".BR sd_listen_fds (3)",
    ".BR listen (2)",
    ".BR landlock (7)",
    ".BR htpasswd (1)",
];

/// A text in which roff finds nothing to obey.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

/// The settings as rows of a Markdown table, a table for each part of the file.
fn reference() -> String {
    let defaults = Settings::default();
    let mut out = String::new();
    let mut part = None;
    for row in ordered() {
        let of = row.key.rsplit_once('.').map_or("", |(of, _)| of);
        if part != Some(of) {
            part = Some(of);
            let title = if of.is_empty() { "At the top".to_owned() } else { format!("`[{of}]`") };
            let _ = write!(
                out,
                "\n### {title}\n\n| Key | Flag | Default | Meaning |\n|---|---|---|---|\n"
            );
        }
        let key = row.key.rsplit('.').next().unwrap_or(row.key);
        let flag = match (row.short, row.flag, row.on) {
            (_, "", _) => "ROOT".to_owned(),
            (Some(letter), flag, _) => format!("`-{letter}`, `--{flag} {}`", row.value),
            (None, flag, Some(_)) => format!("`--{flag}`"),
            (None, flag, None) => format!("`--{flag} {}`", row.value),
        };
        let default = match row.key {
            // It depends on the machine.
            "pool.workers" => "8 per core".to_owned(),
            _ => format!("`{}`", print::value(row, &defaults)),
        };
        let meaning = meaning(row).replace('|', "\\|");
        let _ = writeln!(out, "| `{key}` | {flag} | {default} | {meaning} |");
    }
    out
}

/// Every setting at its default, commented out, with what it means.
fn sample() -> String {
    let defaults = Settings::default();
    let mut out = "\
# Settings of millpond(1). `millpond check -c FILE` checks them, and `systemctl reload millpond` has
# them read again. What is commented out is the default. Times are 10s, 250ms, 1m30s; sizes 64KiB.
"
    .to_owned();
    let mut part = "";
    for row in ordered() {
        let (of, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        if of != part {
            part = of;
            let _ = write!(out, "\n[{of}]\n");
        }
        let (comment, value) = (comment(&meaning(row)), print::value(row, &defaults));
        let _ = write!(out, "\n{comment}#{key} = {value}\n");
    }
    out.push_str(SITES);
    out
}

const SITES: &str = "
# Several sites: each takes the settings of [files] above where it has none of its own.
#
# [[site]]
# hosts = [\"example.org\", \"*.example.org\"]
# root = \"/srv/www/example.org\"
# files.listing = true
#
# [[site]]                                # without hosts: for all other names
# root = \"/srv/www/default\"
";

/// What a key means; the help is said of its flag, which may turn it off.
fn meaning(row: &Row) -> String {
    let help = row.help.strip_suffix("; repeatable").unwrap_or(row.help);
    let help = match help.strip_prefix("Do not ") {
        Some(rest) => {
            let (first, rest) = rest.split_at(1);
            first.to_uppercase() + rest
        }
        None => help.to_owned(),
    };
    format!("{help}. {}", row.more).trim_end().to_owned()
}

/// Lines of at most 90 columns, each begun with `# `.
fn comment(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + word.len() >= 90 {
            out.push('\n');
            column = 0;
        }
        let before = if column == 0 { "# " } else { " " };
        let _ = write!(out, "{before}{word}");
        column += before.len() + word.len();
    }
    out + "\n"
}

/// The settings, those at the top before those in tables.
fn ordered() -> impl Iterator<Item = &'static Row> {
    let (top, inner): (Vec<_>, Vec<_>) = rows().partition(|row| !row.key.contains('.'));
    top.into_iter().chain(inner)
}

#[cfg(test)]
mod tests {
    use crate::settings::{Flags, Loaded, Settings};

    /// `UPDATE_DOCS=1 cargo test documented_settings` writes the table anew.
    #[test]
    fn the_documented_settings_are_those_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let docs = std::fs::read_to_string(path).unwrap();
        let (before, rest) = docs.split_once("<!-- settings -->\n").unwrap();
        let (documented, after) = rest.split_once("<!-- end of settings -->").unwrap();
        let table = super::reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let all =
                format!("{before}<!-- settings -->\n{table}\n<!-- end of settings -->{after}");
            std::fs::write(path, all).unwrap();
        } else {
            let fresh = documented.trim() == table.trim();
            assert!(fresh, "UPDATE_DOCS=1 cargo test documented_settings writes it anew");
        }
    }

    #[test]
    fn the_documented_exit_codes_are_those_there_are() {
        for docs in [
            include_str!("../../../../docs/configuration.md"),
            include_str!("../../../../docs/signals.md"),
        ] {
            let found: Vec<_> = docs
                .lines()
                .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
                .flat_map(|codes| codes.split(", "))
                .filter_map(|code| code.parse::<u8>().ok())
                .collect();
            let codes: Vec<_> = crate::cli::EXIT_CODES.iter().map(|(code, _)| *code).collect();
            assert_eq!(found, codes);
        }
    }

    #[test]
    fn the_sample_changes_nothing_and_neither_does_what_is_commented_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("millpond.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let flags = Flags { file: Some(path.clone()), ..Flags::default() };
            Loaded::new(&flags, &[]).unwrap().settings
        };
        let sample = super::sample();
        assert_eq!(read(&sample), Settings::default());
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) => rest.to_owned(),
            _ => line.to_owned(),
        };
        let all: Vec<_> = sample.lines().map(uncommented).collect();
        assert_eq!(read(&all.join("\n")), Settings::default());
        let sites = sample[sample.find("# [[site]]").unwrap()..].replace("\n# ", "\n");
        assert_eq!(read(&sites[2..].replace("\n#", "\n")).sites.len(), 2);
        assert!(sample.lines().all(|line| line.chars().count() <= 100), "{sample}");
    }

    #[test]
    fn the_man_page_has_every_flag() {
        let mut out = Vec::new();
        super::page(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace("\\-", "-");
        for row in crate::settings::table::rows().filter(|row| !row.flag.is_empty()) {
            assert!(text.contains(&format!("--{}", row.flag)), "{}", row.flag);
        }
    }

    #[test]
    fn the_man_page_has_the_usual_sections() {
        let mut out = Vec::new();
        super::page(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let sections = ["COMMANDS", "EXIT STATUS", "SIGNALS", "ENVIRONMENT", "FILES", "EXAMPLES"];
        for section in sections.into_iter().chain(["SEE ALSO"]) {
            let found = text
                .lines()
                .filter_map(|line| line.strip_prefix(".SH "))
                .any(|title| title.trim_matches('"') == section);
            assert!(found, "{section}");
        }
    }
}
