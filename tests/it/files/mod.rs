//! The handler for files: rule by rule, against a server.

mod conditions;
mod directories;
mod faults;
mod options;
mod paths;
mod ranges;
mod slow;
mod whole;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use millpond::handlers::{Files, FilesOptions};
use millpond::{Config, Server};

use crate::support::response::Response;
use crate::support::{Start, TestServer, addr, connect, read_last_head, read_last_response};

/// A directory to serve, next to one that must not be reached, and its server.
struct Site {
    dir: tempfile::TempDir,
    server: OnceLock<TestServer>,
}

impl Site {
    /// An empty directory, not yet served.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        Self { dir, server: OnceLock::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    /// Writes a file that has not been touched for an hour, as most files have not.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.age(name, Duration::from_secs(3600))
    }

    /// Sets how long ago a file was modified.
    fn age(&self, name: &str, age: Duration) -> &Self {
        let file = fs::File::open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        self
    }

    fn serve(&self, options: FilesOptions) -> &Self {
        let files = Files::open(self.path(""), options).unwrap();
        let mut config = Config::default();
        config.pool.workers = 2;
        // On a busy machine a hundred clients at once are an overload, which is not tested here.
        config.overload.shed = false;
        let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
        let server = builder.http(files).build().unwrap();
        self.server.set(server.start().unwrap()).unwrap();
        self
    }

    fn server(&self) -> &TestServer {
        self.server.get().unwrap()
    }

    fn connect(&self) -> TcpStream {
        connect(addr(self.server()))
    }

    /// One request with these field lines, on a connection of its own.
    #[track_caller]
    fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Response {
        let mut stream = self.connect();
        send(&mut stream, method, target, fields);
        match method {
            "HEAD" => read_last_head(&mut stream),
            _ => read_last_response(&mut stream),
        }
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[&str]) -> Response {
        self.ask("GET", target, fields)
    }
}

/// The default options with a change.
fn with(change: impl FnOnce(&mut FilesOptions)) -> FilesOptions {
    let mut options = FilesOptions::default();
    change(&mut options);
    options
}

fn send(stream: &mut TcpStream, method: &str, target: &str, fields: &[&str]) {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
    for field in fields {
        request += &format!("{field}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
}
