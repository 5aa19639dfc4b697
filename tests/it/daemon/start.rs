//! The command line, the settings, and what the start logs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::daemon::{Daemon, Ran, bare, command, get, ran, root, run, text};
use crate::support::{PATIENCE, connect, until};

#[test]
fn a_start_logs_the_real_port_and_serves_hello() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    assert_ne!(addr.port(), 0);
    let response = get(addr, "/");
    assert_eq!((response.status, response.text()), (200, "Hello, world!"));
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
fn the_echo_daemon_echoes_over_tcp_and_unix_sockets() {
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
        (&["serve", "-b", "fd:web"], 69, "unknown socket fd:web"),
        (&["serve", "-t", "0"], 78, "invalid pool.workers 0"),
        (&["serve", "--max-target", "1MiB"], 78, "limits.target"),
        (&["serve", "-c", missing], 78, "missing"),
        (&["serve", missing], 78, "missing"),
        (&["check", "--queue", "0"], 78, "invalid pool.queue 0"),
        (&["serve", "--check-config", "--queue", "0"], 78, "invalid pool.queue 0"),
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
fn file_settings_without_a_root_cause_a_warning() {
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
fn check_refuses_what_serve_would_refuse() {
    let table: [(&[&str], i32, &str); 9] = [
        (&["-b", "udp://127.0.0.1:0"], 78, "datagrams"),
        (&["-b", "unixpacket:@millpond-check"], 78, "sequenced packets"),
        (
            &["-b", "[::]:80?proxy=maybe"],
            2,
            "unknown option \"proxy=maybe\" of the endpoint [::]:80",
        ),
        (&["-b", "[::]:80?proxy=require"], 78, "requires a PROXY header, but no proxy is trusted"),
        (&["-b", "icmp:127.0.0.1"], 78, "cannot be served"),
        (&["-b", "icmp:127.0.0.1", "--echo"], 78, "cannot be served"),
        (&["-b", "[::]:18", "-b", "127.0.0.1:18"], 78, "share an address"),
        (&["-b", "127.0.0.1:18", "-b", "tcp://127.0.0.1:18"], 78, "is bound twice"),
        (&["--access-log-file", "/nonexistent/log"], 78, "cannot write to /nonexistent/log"),
    ];
    for (args, code, message) in table {
        for command in ["check", "serve"] {
            refused(&run(&[&[command], args].concat()), code, message);
        }
    }
    // Sockets that would be passed are not looked at.
    assert_eq!(run(&["check", "-b", "fd:web"]).code, Some(0));
    assert_eq!(run(&["check", "--echo", "-b", "udp://127.0.0.1:0"]).code, Some(0));
}

#[test]
fn an_access_log_file_without_a_format_is_written_in_the_combined_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access");
    let mut daemon = Daemon::serve(&["--access-log-file", text(&path)]);
    get(daemon.addr(), "/one");
    let line = " 200 13 \"-\" \"-\"\n";
    until("the line", || std::fs::read_to_string(&path).unwrap().ends_with(line));
    let off = dir.path().join("off");
    let mut daemon = Daemon::serve(&["--access-log", "off", "--access-log-file", text(&off)]);
    daemon.addr();
    assert!(!off.exists());
}

#[test]
fn a_start_shows_the_address_for_a_browser() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    daemon.wait_for(&format!("URL: http://{addr}/"));
    let mut daemon = Daemon::start(command(&["serve", "-b", "tcp://[::]:0"]));
    let line = daemon.wait_for("listening on tcp://[::]:");
    let port = line.rsplit(':').next().unwrap();
    daemon.wait_for(&format!("URL: http://localhost:{port}/"));
    let mut daemon = Daemon::serve(&["--echo"]);
    daemon.addr();
    daemon.signal(rustix::process::Signal::TERM);
    daemon.end();
    assert!(!daemon.has_logged("http://"), "{:#?}", daemon.log);
}

#[test]
fn the_log_warns_of_a_root_without_an_index() {
    let (bare, indexed) = (root(&[("a", "flour")]), root(&[("index.html", "flour")]));
    let mut daemon = Daemon::serve(&[text(bare.path())]);
    let line = daemon.wait_for("GET / gets 404");
    assert!(line.contains(text(bare.path())) && line.contains("--listing"), "{line}");
    for args in [&[text(bare.path()), "--listing"][..], &[text(indexed.path())]] {
        let mut daemon = Daemon::serve(args);
        daemon.addr();
        daemon.signal(rustix::process::Signal::TERM);
        daemon.end();
        assert!(!daemon.has_logged("gets 404"), "{:#?}", daemon.log);
    }
}

#[test]
fn a_root_and_a_variable_may_be_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = root(&[]);
    let www = dir.path().join(OsStr::from_bytes(b"m\xfchle"));
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("a"), "flour").unwrap();
    let base = || command(&["serve", "-b", "tcp://127.0.0.1:0"]);
    let [mut argument, mut variable] = [base(), base()];
    argument.arg(&www);
    variable.env("MILLPOND_ROOT", &www);
    for command in [argument, variable] {
        let mut daemon = Daemon::start(command);
        let addr = daemon.addr();
        assert_eq!(get(addr, "/a").text(), "flour");
    }
    // A value that is not valid text is named.
    let mut wrong = command(&["check"]);
    wrong.env("MILLPOND_POOL_WORKERS", OsStr::from_bytes(b"\xff"));
    refused(&ran(wrong), 78, "MILLPOND_POOL_WORKERS");
    let mut wrong = command(&["check", "--user"]);
    wrong.arg(OsStr::from_bytes(b"\xff"));
    refused(&ran(wrong), 2, "--user");
}

/// Runs a command where /proc is empty, if this process may do that.
fn without_proc(args: &[&str]) -> Option<std::process::Command> {
    let script = "mount -t tmpfs none /proc && exec \"$@\"";
    let mut all = vec!["-m", "sh", "-c", script, "sh"];
    all.extend(args);
    let tried =
        std::process::Command::new("unshare").args(&all[..4]).arg("sh").arg("true").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this process may not take /proc away");
        return None;
    }
    Some(bare("unshare", &all))
}

#[test]
fn files_and_passed_sockets_are_served_without_proc() {
    let www = root(&[("a", "flour")]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let log = www.path().join("access");
    let millpond = env!("CARGO_BIN_EXE_millpond");
    let args = ["sh", "-c", script, "sh", millpond, "serve", text(www.path())];
    let logs = ["--access-log", "clf", "--access-log-file", text(&log)];
    let Some(mut command) = without_proc(&[&args[..], &logs[..]].concat()) else { return };
    command.stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut daemon = Daemon::start(command);
    assert_eq!(daemon.addr(), addr);
    assert_eq!(get(addr, "/a").text(), "flour");
    for signal in [rustix::process::Signal::HUP, rustix::process::Signal::USR1] {
        daemon.signal(signal);
    }
    daemon.wait_for("settings reloaded");
    assert_eq!(get(addr, "/a").text(), "flour");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
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
