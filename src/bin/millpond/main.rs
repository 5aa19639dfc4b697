//! The `millpond` daemon: a command line, settings, signals and logs around the library's server.

mod access_log;
mod cli;
mod connect;
mod escape;
mod failure;
mod manual;
mod os;
mod serve;
mod settings;
mod sites;
mod validity;

use std::process::ExitCode;

use cli::Invocation;
use failure::Failure;

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|failure| report(&failure));
    os::logging::flush_at_exit();
    code
}

fn run() -> Result<ExitCode, Failure> {
    match cli::parse(std::env::args_os())? {
        Invocation::Serve { flags, print } => serve::run(&flags, print),
        Invocation::Check { flags, print } => serve::check(&flags, print),
        Invocation::Connect(args) => connect::run(&args),
        Invocation::Print(document) => manual::print(document),
        Invocation::Text(text) => os::stdout::print(text.as_bytes()).map(|_| ExitCode::SUCCESS),
    }
}

/// Writes the `error:` line and the `hint:` line to standard error, after what was logged.
#[expect(clippy::print_stderr, reason = "the one place where the program reports a failure")]
fn report(failure: &Failure) -> ExitCode {
    let text = failure.report();
    if !os::logging::write_raw(&text) {
        eprint!("{text}");
    }
    failure.exit_code()
}
