//! The `millpond` daemon: a command line, settings, signals and logs around the library's server.

mod access_log;
mod cli;
mod connect;
mod failure;
mod manual;
mod os;
mod serve;
mod settings;
mod sites;

use std::process::ExitCode;

use cli::Invocation;
use failure::Failure;

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|failure| failure.report());
    os::logging::finish();
    code
}

fn run() -> Result<ExitCode, Failure> {
    match cli::parse(std::env::args_os())? {
        Invocation::Serve { flags, print } => serve::run(&flags, print),
        Invocation::Check { flags, print } => serve::check(&flags, print),
        Invocation::Connect(args) => Ok(connect::run(&args)),
        Invocation::Manual(what) => manual::write(what),
        Invocation::Text(text) => manual::say(&text),
    }
}
