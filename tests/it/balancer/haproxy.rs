//! [`Haproxy`]: a real one, with the configuration of the page.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::daemon::{Daemon, bare};
use crate::support::{PATIENCE, until};

use super::cluster::Addresses;
use super::{block, replaced};

/// A running HAProxy, whose servers have the names `a`, `b`, `c` and so on.
pub(super) struct Haproxy {
    pub(super) front: SocketAddr,
    socket: PathBuf,
    _daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl Haproxy {
    /// Starts it in front of these instances. `None`, with a message, where it is not installed.
    pub(super) fn start(
        instances: &[Addresses],
        change: impl Fn(String) -> String,
    ) -> Option<Self> {
        if Command::new("haproxy").arg("-v").output().is_err() {
            println!("skipped: haproxy is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("stats.sock");
        let config =
            replaced(block("haproxy"), "/run/haproxy/admin.sock", socket.to_str().unwrap());
        let config = replaced(&config, "bind :80", "bind fd@3");
        let (config, _) = config.split_once("    server a ").unwrap();
        let mut config = change(config.to_owned());
        for (name, Addresses { main, admin, agent }) in ('a'..).zip(instances) {
            let (admin, agent) = (admin.port(), agent.port());
            writeln!(config, "    server {name} {main} port {admin} agent-port {agent}").unwrap();
        }
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = listener.local_addr().unwrap();
        let daemon = Daemon::start(with_descriptor_3(
            listener.into(),
            &["haproxy", "-db", "-f", path.to_str().unwrap()],
        ));
        let haproxy = Self { front, socket, _daemon: daemon, _dir: dir };
        until("HAProxy is there", || UnixStream::connect(&haproxy.socket).is_ok());
        for (name, _) in ('a'..).zip(instances) {
            haproxy.wait_for(name, "agent_status", "L7OK");
            haproxy.wait_for(name, "check_status", "L7OK");
        }
        Some(haproxy)
    }

    /// What its statistics have of a server, by the name of the column.
    pub(super) fn server(&self, name: char) -> HashMap<String, String> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"show stat\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let names: Vec<&str> = text.lines().next().unwrap()[2..].split(',').collect();
        let line = text.lines().find(|line| line.starts_with(&format!("millpond,{name},")));
        let values = line.unwrap_or_else(|| panic!("no server {name} in {text}")).split(',');
        names
            .iter()
            .zip(values)
            .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
            .collect()
    }

    /// Waits until a column of a server begins with this text.
    #[track_caller]
    pub(super) fn wait_for(&self, name: char, column: &str, text: &str) {
        until(&format!("{column} of {name} is {text}"), || {
            self.server(name)[column].starts_with(text)
        });
    }
}

/// A program with this socket as descriptor 3.
fn with_descriptor_3(socket: OwnedFd, args: &[&str]) -> Command {
    let script = "exec 3<&0 0</dev/null; exec \"$@\"";
    let all: Vec<&str> = ["-c", script, "sh"].into_iter().chain(args.iter().copied()).collect();
    let mut command = bare("sh", &all);
    command.stdin(Stdio::from(socket));
    command
}
