//! The command line, the settings, and what a start says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::daemon::{Daemon, Ran, command, get, ran, run};
use crate::support::{PATIENCE, connect};

#[test]
fn a_start_prints_the_real_port_and_greets() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    assert_ne!(addr.port(), 0);
    let answer = get(addr, "/");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Hello, world!"), "{answer}");
}

#[test]
fn log_lines_carry_the_time_in_utc_with_milliseconds_and_no_colour() {
    let mut daemon = Daemon::serve(&[]);
    let line = daemon.wait_for("listening on");
    let (time, rest) = line.split_once(' ').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    assert!(rest.starts_with("[INFO] listening on tcp://127.0.0.1:"), "{rest:?}");
}

#[test]
fn colours_come_when_asked_for() {
    let mut daemon = Daemon::serve(&["--color", "always"]);
    let line = daemon.wait_for("listening on");
    assert!(line.contains("\x1b["), "{line:?}");
}

#[test]
fn echo_sends_back_what_comes_over_tcp_and_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let endpoint = format!("unix:{}", path.display());
    let mut daemon = Daemon::serve(&["--bind", &endpoint, "--echo"]);
    let addr = daemon.addr();
    daemon.wait_for(&endpoint);
    let mut unix = UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tcp = connect(addr);
    let mut back = [0; 5];
    unix.write_all(b"quern").unwrap();
    unix.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"quern");
    tcp.write_all(b"chaff").unwrap();
    tcp.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"chaff");
}

/// Exactly an `error:` line that contains this and a `hint:` line.
fn refused(ran: &Ran, code: i32, message: &str) {
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0].starts_with("error: ") && lines[0].contains(message), "{ran:?}");
    assert!(lines[1].starts_with("hint: "), "{ran:?}");
}

#[test]
fn each_mistake_is_one_error_and_one_hint_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    let table: [(&[&str], i32, &str); 14] = [
        (&[], 2, "no command"),
        (&["serve", "--no-such"], 2, "--no-such"),
        (&["serve", "-t", "many"], 2, "invalid value \"many\": expected a number"),
        (&["serve", "-b", "gopher://x"], 2, "gopher"),
        (&["serve", "-b", "tcp://127.0.0.1:99999"], 2, "99999"),
        (&["serve", "-b", "fd:web"], 69, "no socket fd:web was passed"),
        (&["serve", "-t", "0"], 78, "workers is 0"),
        (&["serve", "--max-target", "1MiB"], 78, "limits.target"),
        (&["serve", "-c", missing], 78, "missing"),
        (&["serve", missing], 78, "missing"),
        (&["check", "--queue", "0"], 78, "queue is 0"),
        (&["serve", "--check-config", "--queue", "0"], 78, "queue is 0"),
        (&["serve", "--user", "no-such-user"], 78, "no-such-user"),
        (&["serve", "--header", "X-A"], 2, "invalid value \"X-A\": expected a rule"),
    ];
    for (args, code, message) in table {
        refused(&run(args), code, message);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    refused(&run(&["serve", "-b", &endpoint]), 69, &endpoint);
}

#[test]
fn an_unknown_key_of_the_file_is_named_with_its_line_and_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("millpond.toml");
    std::fs::write(&path, "[timeouts]\nhead = \"5s\"\nidel = \"5s\"\n").unwrap();
    let ran = run(&["check", "-c", path.to_str().unwrap()]);
    refused(&ran, 78, "millpond.toml:3: unknown key \"timeouts.idel\"");
    assert!(ran.stderr.contains("did you mean \"timeouts.idle\"?"), "{ran:?}");
}

#[test]
fn settings_of_files_without_a_root_are_warned_of() {
    let ran = run(&["check", "--listing"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("warning: files.listing has no effect without a root"), "{ran:?}");
}

#[test]
fn check_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let ran = run(&["check", "-b", &endpoint]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "the configuration is valid\n"));
}

#[test]
fn the_printed_settings_say_where_each_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("millpond.toml");
    std::fs::write(&path, "[pool]\nworkers = 3\nbacklog = 77\nqueue = 55\n").unwrap();
    let mut command = command(&["serve", "--print-config", "--threads", "5"]);
    command.env("MILLPOND_CONFIG", &path).env("MILLPOND_POOL_BACKLOG", "88");
    let ran = ran(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<String> =
        ran.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "workers = 5 # --threads".to_owned(),
        "backlog = 88 # MILLPOND_POOL_BACKLOG".to_owned(),
        format!("queue = 55 # {}:4", path.display()),
        "head = \"10s\" # default".to_owned(),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {lines:#?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (args, text) in [
        (&["--version"][..], "millpond 0."),
        (&["serve", "-h"], "--bind"),
        (&["serve", "--help"], "MILLPOND_TIMEOUTS_HEAD"),
        (&["man"], "EXIT STATUS"),
        (&["completions", "bash"], "_millpond"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(ran.stdout.contains(text), "{args:?}");
    }
}
