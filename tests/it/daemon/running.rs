//! The running daemon: access log, reload, and the privileges that it gave up.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, command, get};
use crate::support::{read_last_response, until};

/// A file of settings; its path as text.
fn settings(dir: &Path, text: &str) -> String {
    let path = dir.join("millpond.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("access"), dir.path().join("access.1"));
    let file = path.to_str().unwrap();
    let mut daemon = Daemon::serve(&["--access-log", "combined", "--access-log-file", file]);
    let addr = daemon.addr();
    get(addr, "/one");
    until("the first line", || fs::read_to_string(&path).unwrap().contains("/one"));
    fs::rename(&path, &moved).unwrap();
    daemon.signal(Signal::USR1);
    daemon.wait_for("access log: reopening");
    until("the new file", || path.exists());
    get(addr, "/two");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    let (old, new) = (fs::read_to_string(moved).unwrap(), fs::read_to_string(path).unwrap());
    assert!(old.starts_with("127.0.0.1 - - [") && old.contains("\"GET /one HTTP/1.1\" 200 13"));
    assert!(new.contains("\"GET /two HTTP/1.1\" 200 13"), "{new}");
    assert!(!new.contains("/one"), "{new}");
}

#[test]
fn a_full_disk_for_logs_never_stops_serving() {
    let args = ["--access-log", "json", "--access-log-file", "/dev/full"];
    let mut daemon = Daemon::serve(&args);
    let addr = daemon.addr();
    for _ in 0..20 {
        assert_eq!(get(addr, "/").text(), "Hello, world!");
    }
    daemon.wait_for("access log: cannot write");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(daemon.has_logged("20 lines"), "{:#?}", daemon.log);
}

#[test]
fn a_log_file_that_cannot_be_written_stops_the_start() {
    let args = ["--access-log", "clf", "--access-log-file", "/nonexistent/log"];
    let mut daemon = Daemon::serve(&args);
    daemon.wait_for("error: cannot write to /nonexistent/log: no such file or directory");
    daemon.wait_for("hint: ");
    assert_eq!(daemon.end().code(), Some(78));
}

#[test]
fn a_reload_applies_what_it_can_and_logs_what_needs_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path(), "[pool]\nworkers = 3\n");
    let mut daemon = Daemon::serve(&["-c", &file, "--no-confine"]);
    let addr = daemon.addr();
    let log = dir.path().join("access");
    let text = "[pool]\nworkers = 4\n[log]\nlevel = \"debug\"\n[limits]\ntarget = 128\n\
                [access_log]\nformat = \"clf\"\nfile = ";
    settings(dir.path(), &format!("{text}{log:?}\n"));
    daemon.signal(Signal::HUP);
    daemon.wait_for("pool.workers = 4 takes effect at the next start");
    daemon.wait_for("settings reloaded");
    assert_eq!(get(addr, "/").text(), "Hello, world!");
    daemon.wait_for("[DEBUG]");
    let long = format!("/{}", "a".repeat(200));
    assert_eq!(get(addr, &long).status, 414);
    until("a line of the access log", || fs::read_to_string(&log).unwrap().contains("GET / "));
}

#[test]
fn a_reload_names_a_setting_of_listeners_that_are_bound_already() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path(), "");
    let mut daemon = Daemon::serve(&["-c", &file]);
    daemon.addr();
    settings(dir.path(), "[timeouts]\ndefer_accept = \"3s\"\nhead = \"4s\"\n");
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("takes effect at the next start");
    assert!(line.contains("timeouts.defer_accept = 3s takes effect"), "{line}");
    // The other one takes effect at once.
    let line = daemon.wait_for("settings reloaded");
    assert!(!line.contains("next start"), "{line}");
    assert!(daemon.log.iter().all(|line| !line.contains("timeouts.head")), "{:?}", daemon.log);
}

#[test]
fn wrong_new_settings_change_nothing_and_are_seen_in_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path(), "[pool]\nworkers = 3\n");
    let mut daemon = Daemon::serve(&["-c", &file]);
    let addr = daemon.addr();
    settings(dir.path(), "[pool]\nwrokers = 4\n");
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("reload failed, the old settings stay");
    assert!(line.contains("millpond.toml:2: unknown key \"pool.wrokers\""), "{line}");
    assert!(line.contains("did you mean \"pool.workers\"?"), "{line}");
    daemon.signal(Signal::QUIT);
    daemon.wait_for("last reload failed");
    assert_eq!(get(addr, "/").text(), "Hello, world!");
    settings(dir.path(), "[pool]\nworkers = 3\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    daemon.signal(Signal::QUIT);
    assert!(!daemon.wait_for("state: ").contains("refused,"));
}

#[test]
fn every_thread_runs_as_the_user_that_was_asked_for() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let mut daemon =
        Daemon::serve(&["--user", "65534:65533", "--access-log", "clf", "--no-confine"]);
    let addr = daemon.addr();
    get(addr, "/");
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let mut seen = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let ids = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids("Uid:"), "65534 65534 65534 65534", "{status}");
        assert_eq!(ids("Gid:"), "65533 65533 65533 65533", "{status}");
        assert_eq!(ids("Groups:"), "65533", "{status}");
        assert_eq!(ids("CapEff:"), "0000000000000000", "{status}");
        seen += 1;
    }
    assert!(seen > 3, "only {seen} threads were seen");
}

#[test]
fn a_confined_daemon_opens_no_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = settings(dir.path(), "");
    let mut daemon = Daemon::serve(&["-c", &file]);
    daemon.wait_for("confined");
    let confinement = daemon.log.last().unwrap().clone();
    if confinement.contains("not confined") {
        println!("skipped: {confinement}");
        return;
    }
    daemon.addr();
    let log = elsewhere.path().join("access");
    settings(dir.path(), &format!("[access_log]\nformat = \"clf\"\nfile = {log:?}\n"));
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("reload failed, the old settings stay");
    assert!(line.contains("permission denied"), "{line}");
    // The modes of the file are not to blame.
    assert!(line.contains("confined (Landlock)") && line.contains("`reach`"), "{line}");
    assert!(!log.exists());
}

/// Whether the kernel has Landlock, and has it turned on.
fn has_landlock() -> bool {
    use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let strict = strict.handle_access(AccessFs::from_all(ABI::V1));
    strict.and_then(landlock::Ruleset::create).is_ok()
}

#[test]
fn what_the_kernel_grants_of_the_confinement_is_logged() {
    let www = crate::support::daemon::root(&[("a", "flour")]);
    let root = www.path().to_str().unwrap();
    for (args, reached) in [
        (&[root][..], "confined to the files that are served"),
        (&[], "confined to the settings and the logs"),
        (&["--echo"], "confined to the settings and the logs"),
    ] {
        let mut daemon = Daemon::serve(args);
        let line = daemon.wait_for("confined");
        if line.contains("not confined") {
            assert!(!has_landlock(), "{line}");
            println!("skipped: {line}");
            continue;
        }
        assert!(line.contains(reached), "{line}");
    }
}

#[test]
fn a_full_disk_behind_standard_error_never_stops_serving() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let endpoint = format!("unix:{}", path.display());
    let mut command = command(&["serve", "-vv", "-b", &endpoint, "--access-log", "json"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    command.stderr(full);
    let mut daemon = Daemon::start_unread(command);
    // The file is there a moment before it listens.
    let listens = || std::os::unix::net::UnixStream::connect(&path).is_ok();
    until("the daemon listens", listens);
    for _ in 0..20 {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(read_last_response(&mut stream).text(), "Hello, world!");
    }
    for signal in [Signal::HUP, Signal::QUIT, Signal::USR1, Signal::TERM] {
        daemon.signal(signal);
    }
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn what_cannot_be_written_is_named_before_anything_is_bound() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    // A directory, which not even root can write as a file.
    let args = ["serve", "-b", &taken, "--access-log", "clf", "--access-log-file", "/"];
    let ran = crate::support::daemon::run(&args);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0].starts_with("error: cannot write to /: ") && lines[1].starts_with("hint: "));
}
