//! Documents that the program prints: the man page, the reference, a sample file, completions.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use crate::cli::{self, Document};
use crate::failure::{Failure, code};
use crate::os::stdout;
use crate::settings::table::{Row, rows};
use crate::settings::{self, Settings};

/// Writes a document to standard output.
pub(crate) fn print(document: Document) -> Result<ExitCode, Failure> {
    let mut out = Vec::new();
    match document {
        Document::ManPage => {
            let failed = |error| Failure::io(code::RUNTIME, "cannot make the man page", error);
            page(&mut out).map_err(failed)?;
        }
        Document::Reference => out = reference().into_bytes(),
        Document::Sample => out = sample().into_bytes(),
        Document::Completions(shell) => {
            clap_complete::generate(shell, &mut cli::command(), "millpond", &mut out);
        }
    }
    stdout::print(&out).map(|_| ExitCode::SUCCESS)
}

/// The man page, for the program and its subcommands.
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

/// The sections after those of the commands.
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
    ("MILLPOND_CONFIG", "The settings file, unless --config names one."),
    ("MILLPOND_*", "One variable a setting: the key in capitals, with _ for each dot."),
    ("LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID", "The sockets that the service manager passes."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "The socket for notifications to the service manager, and the time of its watchdog.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "The authorities that `connect tls://` trusts, in place of those of the system.",
    ),
    ("NO_COLOR", "If it is set, the log has no colours, unless --color is always."),
];

const FILES: &[(&str, &str)] = &[
    (
        "/etc/millpond/millpond.toml",
        "The settings file of the service. `millpond serve` reads no file unless one is named.",
    ),
    ("/var/log/millpond/", "The directory in which the service can write an access log."),
    ("/usr/share/doc/millpond/", "The documentation."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("millpond serve /srv/www --listing -p 8080", "Serve a directory on port 8080, with listings:"),
    ("millpond check -c /etc/millpond/millpond.toml", "Check a settings file:"),
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

/// A text in which roff finds no request and no escape.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

/// The settings as Markdown, one table for each table of the file.
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
        let flag = match (row.short, row.flag, row.flag_sets) {
            (_, "", _) => "ROOT".to_owned(),
            (Some(letter), flag, _) => format!("`-{letter}`, `--{flag} {}`", row.value_name),
            (None, flag, Some(_)) => format!("`--{flag}`"),
            (None, flag, None) => format!("`--{flag} {}`", row.value_name),
        };
        let default = match row.key {
            // The default depends on the machine.
            "pool.workers" => "8 per core".to_owned(),
            _ => format!("`{}`", settings::print::value(row, &defaults)),
        };
        let meaning = meaning(row).replace('|', "\\|");
        let _ = writeln!(out, "| `{key}` | {flag} | {default} | {meaning} |");
    }
    out
}

/// A settings file in which every setting has its default, is explained and commented out.
fn sample() -> String {
    let defaults = Settings::default();
    let mut out = "\
# Settings of millpond(1). `millpond check -c FILE` checks them, and `systemctl reload millpond`
# reloads them. The lines that are commented out have the defaults. Times are 10s, 250ms or 1m30s;
# sizes are 64KiB or 1GiB.
"
    .to_owned();
    let mut part = "";
    for row in ordered() {
        let (of, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        if of != part {
            part = of;
            let _ = write!(out, "\n[{of}]\n");
        }
        let (comment, value) = (comment(&meaning(row)), settings::print::value(row, &defaults));
        let _ = write!(out, "\n{comment}#{key} = {value}\n");
    }
    out.push_str(SITES);
    out
}

const SITES: &str = "
# Several sites. Each inherits the settings of [files] above that it does not set itself.
#
# [[site]]
# hosts = [\"example.org\", \"*.example.org\"]
# root = \"/srv/www/example.org\"
# files.listing = true
#
# [[site]]                                # without hosts: for all other names
# root = \"/srv/www/default\"
";

/// The meaning of a key. The help text is about the flag, which may turn the setting off.
fn meaning(row: &Row) -> String {
    let help = row.help.strip_suffix("; repeatable").unwrap_or(row.help);
    let help = match help.strip_prefix("Do not ") {
        Some(rest) => {
            let (first, rest) = rest.split_at(1);
            first.to_uppercase() + rest
        }
        None => help.to_owned(),
    };
    format!("{help}. {}", row.details).trim_end().to_owned()
}

/// A comment in lines of at most 90 columns.
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

/// The settings, keys at the top before keys in tables.
fn ordered() -> impl Iterator<Item = &'static Row> {
    let (top, inner): (Vec<_>, Vec<_>) = rows().partition(|row| !row.key.contains('.'));
    top.into_iter().chain(inner)
}

#[cfg(test)]
mod tests {
    use crate::settings::{Flags, Loaded, Settings};

    /// `UPDATE_DOCS=1 cargo test documented_settings` writes the table.
    #[test]
    fn the_documented_settings_are_the_settings_of_the_table() {
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
            assert!(fresh, "outdated: UPDATE_DOCS=1 cargo test documented_settings writes it");
        }
    }

    #[test]
    fn the_documented_exit_codes_are_the_exit_codes_of_the_program() {
        for docs in [
            include_str!("../../../docs/configuration.md"),
            include_str!("../../../docs/signals.md"),
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
    fn the_sample_has_the_defaults_with_and_without_its_comments() {
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
