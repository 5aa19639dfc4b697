//! Who takes part, and how each is started.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, free_port};
use crate::runner::RunArgs;

/// The servers that can take part, in the order in which they run.
pub(crate) const NAMES: [&str; 7] =
    ["millpond", "hyper", "hyper-blocking", "axum", "tiny_http", "rouille", "floor"];

/// A server that was started for one measurement.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// What is asked for, without the slash before it.
    path: String,
}

impl Running {
    pub(crate) fn of(process: Process, address: SocketAddr) -> Self {
        Self { process, address, path: String::new() }
    }

    /// The same server, asked for another path.
    pub(crate) fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn start(name: &str, args: &RunArgs) -> Result<Self, String> {
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let command =
            if name == "millpond" { millpond(port, args)? } else { peer(name, port, args)? };
        Ok(Self::of(Process::start(command, address)?, address))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/{}", self.address, self.path)
    }
}

/// The names that `--only` leaves; all without it.
pub(crate) fn chosen(only: &[String]) -> Result<Vec<&'static str>, String> {
    if let Some(unknown) = only.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("no server is named {unknown}; there are {}", NAMES.join(", ")));
    }
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    Ok(NAMES.into_iter().filter(wanted).collect())
}

/// The daemon for hello; the example program where the handler works.
fn millpond(port: u16, args: &RunArgs) -> Result<Command, String> {
    let (program, build) = if args.handler_works() {
        (&args.handler, "cargo build --release --example handler")
    } else {
        (&args.millpond, "cargo build --release")
    };
    if !Path::new(program).exists() {
        let program = program.display();
        return Err(format!(
            "{program} is missing: run `{build}` first, or leave it out by --only"
        ));
    }
    let mut command = Command::new(program);
    if args.handler_works() {
        command.args(["--bind", &format!("127.0.0.1:{port}")]);
        command.args(["--workers", &args.workers.to_string()]);
        command.args(["--sleep-ms", &args.sleep_ms.to_string()]);
        command.args(["--burn-ms", &args.burn_ms.to_string()]);
    } else {
        command.args(["serve", "-b", &format!("tcp://127.0.0.1:{port}")]);
    }
    command.args(args.millpond_args.split_whitespace());
    Ok(command)
}

/// This program again, as one of the peers. The pools get as many workers as millpond's handler.
fn peer(name: &str, port: u16, args: &RunArgs) -> Result<Command, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find itself: {error}"))?;
    let mut command = Command::new(program);
    command.args([name, "--port", &port.to_string()]);
    if args.sleep_ms > 0.0 {
        command.args(["--sleep-ms", &args.sleep_ms.to_string()]);
    }
    if args.burn_ms > 0.0 {
        command.args(["--burn-ms", &args.burn_ms.to_string()]);
    }
    if args.handler_works() && matches!(name, "hyper-blocking" | "tiny_http" | "rouille") {
        command.args(["--threads", &args.workers.to_string()]);
    }
    Ok(command)
}
