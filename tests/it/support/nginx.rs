//! [`Nginx`]: a real one, in front of servers.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::program::Program;
use super::until;

/// Where Debian installs it, which is not in the search path of every user.
const PROGRAM: &str = "/usr/sbin/nginx";

/// A running nginx.
pub(crate) struct Nginx {
    dir: TempDir,
    _program: Program,
}

impl Nginx {
    /// Starts it with the rest of its `http` block, which has it listen at `front`. `None`, with a
    /// message, where it is not installed.
    pub(crate) fn start(front: SocketAddr, http: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            println!("skipped: {PROGRAM} is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary =
            temporary.map(|name| format!("{name}_temp_path {place}/{name};\n")).concat();
        // One process, so that none is left when it is killed.
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log warn;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\n{temporary}{http}\n}}\n"
        );
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(&path).arg("-e").arg(dir.path().join("error.log"));
        let nginx = Self { _program: Program::start(command), dir };
        until("nginx listens", || TcpStream::connect(front).is_ok());
        Some(nginx)
    }

    /// The lines of its log of errors.
    pub(crate) fn errors(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("error.log")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
