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
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use millpond::handlers::{Files, FilesOptions};
use millpond::{Config, Server};

use crate::support::{Start, TestServer, addr, connect};

/// A directory to serve, next to one that must not be reached, and its server.
struct Site {
    dir: tempfile::TempDir,
    server: OnceLock<TestServer>,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// The value of a field; the values, if there are several.
    fn field(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let values: Vec<_> =
            lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
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
        // On a busy machine a hundred clients at once are an overload, which is not the matter
        // here.
        config.overload.shed = false;
        let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
        let server = builder.http(files).unwrap();
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
    fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Answer {
        let mut stream = self.connect();
        send(&mut stream, method, target, fields);
        let answer = receive(&mut stream, method == "HEAD");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{method} {target}: more than was announced: {rest:?}");
        answer
    }

    fn get(&self, target: &str, fields: &[&str]) -> Answer {
        self.ask("GET", target, fields)
    }
}

fn send(stream: &mut TcpStream, method: &str, target: &str, fields: &[&str]) {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
    for field in fields {
        request += &format!("{field}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads one answer whose length is announced.
fn receive(stream: &mut TcpStream, is_head: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: Vec::new() };
    let length = answer.field("content-length").map_or(0, |length| length.parse().unwrap());
    if !is_head && ![204, 304].contains(&status) {
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body).unwrap();
    }
    answer
}
