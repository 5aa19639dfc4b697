//! The servers that take part, how they are built and how each is started.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cores;
use crate::process::{Process, free_port};

/// Who takes part, in the order of the table.
pub(crate) const NAMES: [&str; 4] = ["millpond", "tiny_http", "rouille", "hyper-blocking"];

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The example program `handler`.
    pub(crate) handler: PathBuf,
    /// More arguments for it.
    pub(crate) handler_args: Vec<String>,
    /// The peers' program.
    pub(crate) peers: PathBuf,
}

/// What a server is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Handler threads; `None`: the server's default.
    pub(crate) workers: Option<usize>,
    /// Each handler sleeps this long, in milliseconds.
    pub(crate) sleep_ms: f64,
    /// Each handler uses this much CPU time, in milliseconds.
    pub(crate) burn_ms: f64,
    /// The only core that the server may use; `None`: any.
    pub(crate) core: Option<usize>,
    /// Where millpond has an urgent listener too.
    pub(crate) urgent: Option<SocketAddr>,
}

impl Programs {
    /// Where cargo puts them, next to this benchmark's own program.
    pub(crate) fn new(
        handler: Option<PathBuf>,
        handler_args: &str,
        peers: Option<PathBuf>,
    ) -> Result<Self, String> {
        let own = env::current_exe().map_err(|error| format!("cannot find itself: {error}"))?;
        let profile = own.ancestors().nth(2).unwrap_or(Path::new("."));
        // A target directory that is relative is so to the package that is built.
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let peers_default = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches/peers")
            .join(target)
            .join("release/peers");
        Ok(Self {
            handler: handler.unwrap_or_else(|| profile.join("examples/handler")),
            handler_args: handler_args.split_whitespace().map(String::from).collect(),
            peers: peers.unwrap_or(peers_default),
        })
    }

    /// Builds what `names` need, so that the benchmark never measures yesterday's program.
    pub(crate) fn build(&self, names: &[&str]) -> Result<(), String> {
        if names.contains(&"millpond") {
            cargo(&["build", "--release", "--example", "handler"], ".")?;
        }
        if names.iter().any(|name| *name != "millpond") {
            cargo(&["build", "--release"], "benches/peers")?;
        }
        Ok(())
    }

    /// Starts a server on a free port of 127.0.0.1 and waits until it listens.
    pub(crate) fn start(&self, name: &str, job: Job) -> Result<(Process, SocketAddr), String> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = if name == "millpond" {
            let mut command = Command::new(&self.handler);
            command.arg("--bind").arg(address.to_string()).args(&self.handler_args);
            command
        } else {
            let mut command = Command::new(&self.peers);
            command.arg(name).arg("--port").arg(address.port().to_string());
            command
        };
        if let Some(workers) = job.workers {
            let flag = if name == "millpond" { "--workers" } else { "--threads" };
            command.arg(flag).arg(workers.to_string());
        }
        for (flag, value) in [("--sleep-ms", job.sleep_ms), ("--burn-ms", job.burn_ms)] {
            if value > 0.0 {
                command.arg(flag).arg(value.to_string());
            }
        }
        if let Some(urgent) = job.urgent {
            command.arg("--urgent").arg(urgent.to_string());
        }
        if let Some(core) = job.core {
            cores::pin(&mut command, core);
        }
        Ok((Process::start(command, address)?, address))
    }
}

fn cargo(args: &[&str], package: &str) -> Result<(), String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(args).current_dir(&directory).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("cargo {} failed in {}", args.join(" "), directory.display())),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}
