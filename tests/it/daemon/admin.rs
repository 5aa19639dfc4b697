//! The admin endpoint of the daemon.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::daemon::{Daemon, command, get_from, run, text};
use crate::support::response::Response;
use crate::support::{PATIENCE, exchange, read_last_response};

const TOKEN: &str = "a-token-of-some-length";

fn ask_unix(path: &Path, request: &str) -> Response {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    read_last_response(&mut stream)
}

/// The address at which it logs its admin endpoint.
fn admin_addr(daemon: &mut Daemon) -> SocketAddr {
    let line = daemon.wait_for("admin endpoint at http://");
    line.rsplit("http://").next().unwrap().trim_end_matches('/').parse().unwrap()
}

#[test]
fn there_is_none_by_default() {
    let mut daemon = Daemon::serve(&[]);
    daemon.wait_for("URL: ");
    assert!(!daemon.has_logged("admin"), "{:#?}", daemon.log);
}

#[test]
fn without_a_value_it_is_a_socket_in_the_runtime_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut serve = command(&["serve", "--bind", "tcp://127.0.0.1:0", "--admin"]);
    serve.env("RUNTIME_DIRECTORY", dir.path());
    let mut daemon = Daemon::start(serve);
    daemon.addr();
    let line = daemon.wait_for("admin endpoint at ");
    let path = dir.path().join("admin.sock");
    assert!(line.ends_with(&format!("unix:{}", path.display())), "{line}");
    assert_eq!(ask_unix(&path, "GET /ready").text(), "ready\n");
    assert_eq!(ask_unix(&path, "GET /status.json").status, 200);
    assert_eq!(ask_unix(&path, "POST /log-level?level=debug").status, 202);
    assert_eq!(ask_unix(&path, "POST /reload").status, 202);
    daemon.wait_for("settings reloaded");
    assert_eq!(ask_unix(&path, "POST /drain").status, 202);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(daemon.has_logged("stopped: served 0 "), "{:#?}", daemon.log);
    assert!(!path.exists(), "a confined daemon removes its socket, too");
}

#[test]
fn over_tcp_it_has_its_own_hosts_and_takes_commands_with_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let mut daemon =
        Daemon::serve(&["--admin", "tcp://127.0.0.1:0", "--admin-token-file", text(&token)]);
    daemon.addr();
    let at = admin_addr(&mut daemon);
    assert_eq!(get_from(at, "localhost", "/live").status, 200);
    assert_eq!(get_from(at, "example.org", "/live").status, 421);
    let post = |field: &str| {
        let request = format!("POST /drain HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
        exchange(at, request.as_bytes()).status
    };
    assert_eq!(post(""), 401);
    assert_eq!(post(&format!("Authorization: Bearer {TOKEN}\r\n")), 202);
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn a_wrong_admin_setting_has_its_exit_code_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    std::fs::write(&short, "secret\n").unwrap();
    let missing = dir.path().join("missing");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    let file = dir.path().join("millpond.toml");
    std::fs::write(&file, "admin.endpoint = \"tcp://localhost:http\"\n").unwrap();
    let loopback = "tcp://127.0.0.1:0";
    let table: [(&[&str], i32, &str); 7] = [
        (&["--admin=tcp://0.0.0.0:0"], 78, "is not a loopback address"),
        (&["--admin=udp://127.0.0.1:0"], 78, "invalid admin endpoint"),
        (&["--admin=tcp://127.0.0.1:x"], 2, "invalid port"),
        (&["--config", text(&file)], 78, "invalid port"),
        (&["--admin", &taken], 69, "address already in use"),
        (&["--admin", loopback, "--admin-token-file", text(&short)], 78, "invalid admin token"),
        (&["--admin", loopback, "--admin-token-file", text(&missing)], 78, "cannot read the token"),
    ];
    for (args, code, message) in table {
        for mode in ["serve", "check"] {
            let mut all = vec![mode, "--bind", "tcp://127.0.0.1:0"];
            all.extend(args);
            if mode == "check" && code == 69 {
                continue;
            }
            let ran = run(&all);
            assert_eq!(ran.code, Some(code), "{all:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(message), "{all:?}: {}", ran.stderr);
            assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
        }
    }
    let ran = run(&["check", "--admin=tcp://0.0.0.0:0"]);
    assert!(ran.stderr.contains("hint: ") && ran.stderr.contains("--admin-public"));
    assert_eq!(run(&["check", "--admin=tcp://0.0.0.0:0", "--admin-public"]).code, Some(0));
}
