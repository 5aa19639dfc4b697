//! The command line: from arguments to an [`Invocation`], or to a [`Failure`] with a hint.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint, value_parser};
use clap_complete::Shell;

use crate::connect::ConnectArgs;
use crate::failure::{Failure, code};
use crate::settings::table::{self, Row, rows};
use crate::settings::{DEFAULT_BIND, Flags, Settings, bytes};

/// What the command line asks the program to do.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Serve; or, with `print`, only print the effective settings.
    Serve {
        flags: Flags,
        print: bool,
    },
    /// Check the settings without binding an endpoint.
    Check {
        flags: Flags,
        print: bool,
    },
    Connect(ConnectArgs),
    Print(Document),
    /// Print the help or the version.
    Text(String),
}

/// A document that a subcommand prints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Document {
    /// millpond(1), in roff.
    ManPage,
    /// The table of settings in docs/configuration.md.
    Reference,
    /// A file of settings in which every setting is commented out.
    Sample,
    Completions(Shell),
}

/// The exit codes and what they mean, for `--help` and the man page.
pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "The server stopped, and cut off no request."),
    (1, "Something failed at run time."),
    (2, "The command line is invalid."),
    (69, "An endpoint could not be bound, or its host is unknown."),
    (75, "The drain timeout passed; open connections were closed."),
    (77, "A permission is missing."),
    (78, "The configuration is invalid."),
    (130, "A second SIGINT ended the server at once."),
    (143, "A second SIGTERM ended the server at once."),
];

/// The signals that a server handles, for `--help` and the man page.
pub(crate) const SIGNALS: &[(&str, &str)] = &[
    ("TERM, INT", "Stops gracefully. A second one of either ends the server at once."),
    ("HUP", "Reloads the file and the variables. Invalid settings change nothing."),
    ("USR1", "Reopens the access log, for a tool that has moved the file away."),
    ("QUIT", "Writes the state of the server to the log."),
];

/// Parses the arguments, the name of the program first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // Values of settings are text until they are parsed, even paths that are not UTF-8.
    if args.get(1).is_some_and(|name| name == "serve" || name == "check") {
        args.iter_mut().for_each(|arg| *arg = bytes::text(arg).into());
    }
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    Ok(match matches.subcommand() {
        Some(("serve", sub)) if sub.get_flag("check") => {
            Invocation::Check { flags: flags(sub), print: sub.get_flag("print") }
        }
        Some(("serve", sub)) => {
            Invocation::Serve { flags: flags(sub), print: sub.get_flag("print") }
        }
        Some(("check", sub)) => {
            Invocation::Check { flags: flags(sub), print: sub.get_flag("print") }
        }
        Some(("connect", sub)) => Invocation::Connect(connect_args(sub)?),
        Some(("reference", _)) => Invocation::Print(Document::Reference),
        Some(("sample", _)) => Invocation::Print(Document::Sample),
        Some(("man", _)) => Invocation::Print(Document::ManPage),
        Some(("completions", sub)) => match sub.get_one::<Shell>("shell") {
            Some(shell) => Invocation::Print(Document::Completions(*shell)),
            None => unreachable!("clap requires the shell"),
        },
        _ => unreachable!("clap requires one of the subcommands"),
    })
}

fn connect_args(matches: &ArgMatches) -> Result<ConnectArgs, Failure> {
    ConnectArgs::from_arg_matches(matches).map_err(|error| usage(error.to_string()))
}

/// The whole command line. Its flags are made from the table of settings.
pub(crate) fn command() -> Command {
    let serve = Command::new("serve")
        .about("Serve a directory, a greeting, or an echo")
        .long_about(
            "Serve the files in the directory ROOT over HTTP. Without ROOT, every response is a \
             greeting; with --echo, the server returns the bytes that it receives.\n\nThe value of \
             a setting comes from its flag, else from its environment variable, else from the \
             settings file (--config), else from its default. TIME is 10s, 250ms or 1m30s; SIZE is \
             64KiB or 1GiB.",
        )
        .after_long_help(after_help());
    let check = Command::new("check").about("Check the settings without binding an endpoint");
    let checks = Arg::new("check")
        .long("check-config")
        .action(ArgAction::SetTrue)
        .hide_short_help(true)
        .help("Only check the settings, as `millpond check` does");
    let connect = ConnectArgs::augment_args(
        Command::new("connect")
            .about("Connect to a server, send, print what it sends back")
            .after_help("TIME is a number of seconds, or has units: 2.5, 250ms, 1m30s."),
    );
    // None of its values is the name of a file.
    let connect = connect.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.value_hint(ValueHint::Other),
        false => arg,
    });
    let shell = Arg::new("shell").required(true).value_parser(value_parser!(Shell));
    Command::new("millpond")
        .about("A thread-pool server for blocking handlers that responds in time under overload")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .after_help(
            "`millpond serve /srv/www` serves a directory at port 8888.\n`millpond COMMAND --help` \
             explains the flags of a command.",
        )
        .subcommand(with_settings(serve).arg(checks))
        .subcommand(with_settings(check))
        .subcommand(connect)
        .subcommand(
            Command::new("sample")
                .about("Print a settings file in which every setting is commented out"),
        )
        .subcommand(Command::new("reference").about("Print the table of settings, in Markdown"))
        .subcommand(Command::new("man").about("Print the man page"))
        .subcommand(
            Command::new("completions").about("Print the completions for a shell").arg(shell),
        )
}

fn with_settings(command: Command) -> Command {
    let root = Arg::new("root")
        .value_name("ROOT")
        .value_hint(ValueHint::DirPath)
        .help("The directory to serve; without it, every response is a greeting")
        .long_help(
            "The directory to serve. Without it, the response to GET is a greeting, and the \
             response to POST is the body of the request.",
        )
        .conflicts_with("echo");
    let port = Arg::new("port")
        .short('p')
        .long("port")
        .value_name("PORT")
        .value_parser(port)
        .value_hint(ValueHint::Other)
        .conflicts_with("bind")
        .help(format!("Short for --bind {}PORT", DEFAULT_BIND.trim_end_matches("8888")));
    let file = Arg::new("config")
        .short('c')
        .long("config")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("Read settings from a TOML file")
        .long_help("Read settings from a TOML file.\n\nVariable: MILLPOND_CONFIG.");
    let print = Arg::new("print")
        .long("print-config")
        .action(ArgAction::SetTrue)
        .help("Print every setting and where its value comes from");
    let more = Arg::new("verbose")
        .short('v')
        .long("verbose")
        .action(ArgAction::Count)
        .help("Log more; -vv logs everything");
    let less = Arg::new("quiet")
        .short('q')
        .long("quiet")
        .action(ArgAction::Count)
        .conflicts_with("verbose")
        .help("Log less; -qqq logs nothing");
    let defaults = Settings::default();
    command
        .arg(root)
        .args(rows().filter(|row| !row.flag.is_empty()).map(|row| arg(row, &defaults)))
        .args([port, file, print, more, less])
}

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "expected 0 to 65535")
}

/// The flag of a setting.
fn arg(row: &'static Row, defaults: &Settings) -> Arg {
    let default = (row.get)(defaults).join(" ");
    let mut long = format!("{}.", row.help);
    if !row.details.is_empty() {
        let _ = write!(long, " {}", row.details);
    }
    let _ = write!(long, "\n\nFile: {}. Variable: {}.", row.key, table::variable(row));
    if !default.is_empty() {
        let _ = write!(long, " Default: {default}.");
    }
    let short = match row.flag_sets {
        None if !default.is_empty() => format!("{} [{default}]", row.help),
        _ => row.help.to_owned(),
    };
    let mut arg = Arg::new(row.key)
        .long(row.flag)
        .short(row.short)
        .visible_aliases(row.alias)
        .help(short)
        .long_help(long)
        .hide_short_help(!row.in_short_help)
        .allow_hyphen_values(false);
    if !row.choices.is_empty() {
        let words = PossibleValuesParser::new(row.choices);
        arg = arg.value_parser(words).ignore_case(true).hide_possible_values(true);
    }
    let action = match (row.flag_sets, row.is_list) {
        (Some(_), _) => return arg.action(ArgAction::SetTrue),
        (None, true) => ArgAction::Append,
        (None, false) => ArgAction::Set,
    };
    if let Some(value) = row.without_value {
        arg = arg.num_args(0..=1).default_missing_value(value);
    }
    arg.action(action).value_name(row.value_name).value_hint(match row.value_name {
        "PATH" | "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    })
}

fn after_help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(text, "  {code:>3}  {meaning}");
    }
    text.push_str("\nSignals:\n");
    for (signal, effect) in SIGNALS {
        let _ = writeln!(text, "  {signal:<10} {effect}");
    }
    text
}

fn flags(matches: &ArgMatches) -> Flags {
    let mut values = Vec::new();
    for row in rows() {
        // `root` has no flag: it is an argument.
        let flag = if row.flag.is_empty() { "ROOT".to_owned() } else { format!("--{}", row.flag) };
        let given = match row.flag_sets {
            Some(on) => matches.get_flag(row.key).then(|| vec![on.to_owned()]),
            None => matches.get_many::<String>(row.key).map(|given| given.cloned().collect()),
        };
        values.extend(given.map(|given| (row.key, flag, given)));
    }
    if let Some(port) = matches.get_one::<u16>("port") {
        let endpoint = format!("{}{port}", DEFAULT_BIND.trim_end_matches("8888"));
        values.push(("bind", "--port".to_owned(), vec![endpoint]));
    }
    Flags {
        file: matches.get_one::<String>("config").map(|file| bytes::path(file)),
        values,
        verbosity: i32::from(matches.get_count("verbose")) - i32::from(matches.get_count("quiet")),
    }
}

/// The help that clap made, or its error as a [`Failure`].
fn explain(error: &clap::Error) -> Result<Invocation, Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Ok(Invocation::Text(error.to_string()));
    }
    if error.kind() == ErrorKind::MissingSubcommand {
        return Err(Failure::new(code::USAGE, "no command given")
            .with_hint("`millpond serve` serves, and `millpond --help` lists the commands"));
    }
    let message = invalid_value(error).unwrap_or_else(|| {
        let text = error.to_string();
        let first = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        first.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
    });
    let suggested = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        // The message has every valid value already.
        ContextKind::SuggestedValue,
    ];
    let hint = suggested.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(near) => Some(format!("did you mean {near}?")),
        ContextValue::Strings(near) if !near.is_empty() => {
            Some(format!("did you mean {}?", near.join(" or ")))
        }
        _ => None,
    });
    let failure = usage(message);
    Err(match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    })
}

/// The message for an invalid value, in the form of errors of settings.
fn invalid_value(error: &clap::Error) -> Option<String> {
    let expected = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => std::error::Error::source(error)?.to_string(),
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(words))) => {
            format!("expected one of {}", words.join(", "))
        }
        _ => return None,
    };
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?.split(' ').next()?;
    let value = text(ContextKind::InvalidValue)?;
    Some(format!("invalid value {value:?} for {flag}: {expected}"))
}

fn usage(message: String) -> Failure {
    Failure::new(code::USAGE, message).with_hint(
        "`millpond --help` lists the commands, and `millpond COMMAND --help` lists the flags",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Invocation, Failure> {
        parse(std::iter::once("millpond").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_value_has_a_completion_hint() {
        let command = command();
        for sub in command.get_subcommands() {
            for arg in sub.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let hinted = arg.get_value_hint() != ValueHint::Unknown;
                let chosen = !arg.get_possible_values().is_empty();
                assert!(hinted || chosen, "{} {}", sub.get_name(), arg.get_id());
            }
        }
    }

    #[test]
    fn every_command_is_listed() {
        let Ok(Invocation::Text(text)) = parsed(&["--help"]) else { panic!() };
        for name in ["serve", "check", "connect", "sample", "reference", "man", "completions"] {
            assert!(text.contains(&format!("\n  {name} ")), "{name} is not in {text}");
        }
    }

    #[test]
    fn flags_stay_text_until_they_are_parsed() {
        let args = ["serve", "-b", "unix:/a", "--bind", "[::]:1", "-t", "3", "--no-shed", "-vv"];
        let Ok(Invocation::Serve { flags, print }) = parsed(&args) else { panic!() };
        assert!(!print);
        assert_eq!(flags.verbosity, 2);
        let values: Vec<_> = flags.values.iter().map(|(k, _, v)| (*k, v.join(","))).collect();
        assert_eq!(
            values,
            [
                ("bind", "unix:/a,[::]:1".to_owned()),
                ("pool.workers", "3".to_owned()),
                ("overload.shed", "false".to_owned())
            ]
        );
    }

    #[test]
    fn a_port_alone_binds_every_address_at_that_port() {
        let Ok(Invocation::Serve { flags, .. }) = parsed(&["serve", "-p", "0"]) else { panic!() };
        assert_eq!(flags.values, [("bind", "--port".into(), vec!["tcp://[::]:0".to_owned()])]);
    }

    #[test]
    fn an_invalid_command_line_is_one_line_and_a_hint() {
        let table: [(&[&str], &str, &str); 9] = [
            (&[], "no command given", "millpond serve"),
            (&["sevre"], "unrecognized subcommand 'sevre'", "did you mean serve?"),
            (&["serve", "--thread", "1"], "unexpected argument '--thread' found", "--threads"),
            (
                &["serve", "-p", "80x"],
                "invalid value \"80x\" for --port: expected 0 to 65535",
                "help",
            ),
            (
                &["serve", "--color", "alway"],
                "invalid value \"alway\" for --color: expected one of auto, always, never",
                "did you mean always?",
            ),
            (
                &["connect", "-w", "soon", "x:1"],
                "invalid value \"soon\" for --timeout: expected a time up to a year",
                "help",
            ),
            (&["serve", "-p", "1", "-b", "[::]:1"], "cannot be used with", "help"),
            (&["serve", "/srv", "--echo"], "cannot be used with", "help"),
            (&["connect"], "required arguments were not provided: <ENDPOINT>", "help"),
        ];
        for (args, message, hint) in table {
            let failure = parsed(args).unwrap_err();
            assert_eq!(failure.code(), code::USAGE);
            assert!(failure.message().contains(message), "{} lacks {message}", failure.message());
            assert!(failure.hint().unwrap().contains(hint), "{:?} lacks {hint}", failure.hint());
        }
    }

    #[test]
    fn short_help_fits_on_one_screen() {
        let Ok(Invocation::Text(text)) = parsed(&["serve", "-h"]) else { panic!() };
        assert!(text.lines().count() <= 30, "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{text}");
    }

    #[test]
    fn long_help_names_every_setting_with_file_key_and_variable() {
        let Ok(Invocation::Text(text)) = parsed(&["serve", "--help"]) else { panic!() };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for row in rows().filter(|row| !row.flag.is_empty()) {
            assert!(text.contains(&format!("File: {}.", row.key)), "{}", row.key);
            assert!(text.contains(&table::variable(row)), "{}", row.key);
        }
    }
}
