//! Logs that are not read, and logs across a reload or a rotation.

use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::daemon::{Daemon, command, get, text};
use crate::support::response::Response;
use crate::support::{PATIENCE, read_last_response, until};

/// A daemon at a Unix socket whose standard error is a full pipe.
struct Unread {
    daemon: Daemon,
    path: PathBuf,
    stderr: PipeReader,
    _dir: tempfile::TempDir,
}

impl Unread {
    fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (stderr, mut full) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while full.write(&[b'x'; 4096]).is_ok() {}
        while full.write(b"x").is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        let endpoint = format!("unix:{}", path.display());
        let mut all = vec!["serve", "-b", &endpoint];
        all.extend(args);
        let mut command = command(&all);
        command.stderr(full);
        let daemon = Daemon::start_unread(command);
        // The file is there a moment before it listens.
        until("the daemon listens", || UnixStream::connect(&path).is_ok());
        Self { daemon, path, stderr, _dir: dir }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn get(&self) -> Response {
        let mut stream = self.connect();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        read_last_response(&mut stream)
    }
}

#[test]
fn a_full_standard_error_stops_neither_serving_nor_timeouts_nor_the_drain() {
    let args = ["-vv", "--access-log", "json", "--idle-timeout", "300ms"];
    let mut unread = Unread::start(&args);
    let mut idle = unread.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    for _ in 0..200 {
        assert_eq!(unread.get().text(), "Hello, world!");
    }
    // The server closes the idle connection.
    assert_eq!(read_last_response(&mut idle).text(), "Hello, world!");
    for signal in [Signal::HUP, Signal::QUIT, Signal::USR1] {
        unread.daemon.signal(signal);
    }
    assert_eq!(unread.get().text(), "Hello, world!");
    // What is in hand at the stop is finished.
    let mut slow = unread.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    unread.get();
    unread.daemon.signal(Signal::TERM);
    until("the listener closes", || UnixStream::connect(&unread.path).is_err());
    slow.write_all(b"Host: a\r\n\r\n").unwrap();
    assert_eq!(read_last_response(&mut slow).text(), "Hello, world!");
    assert_eq!(unread.daemon.end().code(), Some(0));
}

#[test]
fn a_second_term_ends_a_server_whose_standard_error_is_full() {
    let mut unread = Unread::start(&["-vv", "--access-log", "json", "--drain", "1h"]);
    let mut slow = unread.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    unread.get();
    unread.daemon.signal(Signal::TERM);
    until("the listener closes", || UnixStream::connect(&unread.path).is_err());
    unread.daemon.signal(Signal::TERM);
    assert_eq!(unread.daemon.end().code(), Some(143));
}

#[test]
fn lines_lost_to_a_full_standard_error_are_reported_once_it_is_read() {
    let mut unread = Unread::start(&["--access-log", "json", "--access-log-buffer", "10"]);
    for _ in 0..50 {
        unread.get();
    }
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    let reported = |seen: &[u8]| String::from_utf8_lossy(seen).contains("access log: dropped");
    while !reported(&seen) {
        let count = unread.stderr.read(&mut bytes).unwrap();
        seen.extend_from_slice(&bytes[..count]);
    }
    assert!(String::from_utf8_lossy(&seen).contains("[WARN] "));
    unread.daemon.signal(Signal::TERM);
    assert_eq!(unread.daemon.end().code(), Some(0));
}

fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
}

#[test]
fn an_unread_fifo_stops_nothing_and_silences_no_other_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    let args = ["--access-log", "json", "--access-log-file", text(&path)];
    let mut daemon = Daemon::serve(&[&args[..], &["--access-log-buffer", "10"]].concat());
    let addr = daemon.addr();
    let long = format!("/{}", "a".repeat(1000));
    for _ in 0..120 {
        assert_eq!(get(addr, &long).status, 200);
    }
    for signal in [Signal::HUP, Signal::USR1] {
        daemon.signal(signal);
    }
    daemon.wait_for("access log: reopening");
    assert_eq!(get(addr, "/").text(), "Hello, world!");
    daemon.signal(Signal::QUIT);
    daemon.wait_for("access log lines dropped");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
    assert!(daemon.has_logged("stopped: served 12"), "{:#?}", daemon.log);
}

#[test]
fn a_reload_leaves_a_log_open_whose_path_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("access"), dir.path().join("access.1"));
    let mut daemon = Daemon::serve(&["--access-log", "clf", "--access-log-file", text(&path)]);
    let addr = daemon.addr();
    fs::rename(&path, &moved).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    get(addr, "/after");
    until("the line", || fs::read_to_string(&moved).unwrap().contains("/after"));
    assert!(!path.exists());
}

#[test]
fn a_log_that_links_into_another_directory_survives_a_confined_rotation() {
    let [dir, elsewhere] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (link, target) = (dir.path().join("access"), elsewhere.path().join("access"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mut daemon = Daemon::serve(&["--access-log", "clf", "--access-log-file", text(&link)]);
    let addr = daemon.addr();
    fs::rename(&target, elsewhere.path().join("access.1")).unwrap();
    daemon.signal(Signal::USR1);
    daemon.wait_for("access log: reopening");
    until("the new file", || {
        get(addr, "/after");
        fs::read_to_string(&target).is_ok_and(|lines| lines.contains("/after"))
    });
}

#[test]
fn standard_output_and_standard_error_survive_a_confined_reload_and_rotation() {
    for name in ["/dev/stdout", "/dev/stderr"] {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("millpond.toml"), dir.path().join("out"));
        let settings = format!("[access_log]\nformat = \"clf\"\nfile = {name:?}\n");
        fs::write(&file, settings).unwrap();
        let mut command = command(&["serve", "-c", text(&file), "-b", "tcp://127.0.0.1:0"]);
        let to = fs::File::create(&out).unwrap();
        command.stdout(to.try_clone().unwrap()).stderr(to);
        let mut daemon = Daemon::start_unread(command);
        let seen = |part: &str| fs::read_to_string(&out).unwrap().contains(part);
        until("the daemon listens", || seen("listening on tcp://"));
        let lines = fs::read_to_string(&out).unwrap();
        let line = lines.lines().find(|line| line.contains("listening on tcp://")).unwrap();
        let addr = line.rsplit("tcp://").next().unwrap().parse().unwrap();
        for (signal, done) in
            [(Signal::HUP, "settings reloaded"), (Signal::USR1, "no file to reopen")]
        {
            daemon.signal(signal);
            until(done, || seen(done));
        }
        get(addr, "/after");
        until("the line", || seen("GET /after"));
        assert!(!seen("the old settings stay"), "{name}");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.end().code(), Some(0));
    }
}

/// A directory that only this user may write to, or root's own.
fn directory(owner: Option<u32>) -> tempfile::TempDir {
    use std::os::unix::fs::{PermissionsExt, chown};
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(dir.path(), owner, None).unwrap();
    dir
}

/// Whether this process may become another user; otherwise that is printed.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: only root can become another user");
    }
    root
}

#[test]
fn the_log_of_another_user_is_that_users_and_is_opened_again() {
    use std::os::unix::fs::MetadataExt;
    if !is_root() {
        return;
    }
    let dir = directory(Some(4242));
    let path = dir.path().join("access");
    let args = ["--user", "4242:4243", "--access-log", "clf", "--access-log-file", text(&path)];
    let mut daemon = Daemon::serve(&args);
    daemon.addr();
    assert!(!daemon.has_logged("[WARN]"), "{:#?}", daemon.log);
    for moved in ["access.1", "access.2"] {
        let owner = fs::metadata(&path).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (4242, 4243));
        fs::rename(&path, dir.path().join(moved)).unwrap();
        daemon.signal(Signal::USR1);
        until("the new file", || path.exists());
    }
}

#[test]
fn a_log_that_its_user_cannot_recreate_is_reported_at_the_start_and_by_check() {
    if !is_root() {
        return;
    }
    let dir = directory(None);
    let path = dir.path().join("access");
    let args = ["--user", "4242:4243", "--access-log", "clf", "--access-log-file", text(&path)];
    let mut daemon = Daemon::serve(&args);
    let warning = "access log: USR1 cannot reopen";
    let line = daemon.wait_for(warning);
    assert!(line.contains("[WARN]") && line.contains(text(dir.path())), "{line}");
    let addr = daemon.addr();
    // Root made its first file, and the daemon still writes to it.
    get(addr, "/one");
    until("the line", || fs::read_to_string(&path).unwrap().contains("/one"));
    let ran = crate::support::daemon::run(&[&["check"], &args[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("warning: access log: USR1 cannot reopen"), "{ran:?}");
}

#[test]
fn no_link_of_its_user_leads_root_to_a_file_of_others() {
    if !is_root() {
        return;
    }
    let (theirs, ours) = (directory(Some(4242)), directory(None));
    let (link, target) = (theirs.path().join("access"), ours.path().join("secret"));
    fs::write(&target, "").unwrap();
    for end in [&target, &ours.path().join("new")] {
        std::os::unix::fs::symlink(end, &link).unwrap();
        let args = ["--user", "4242:4243", "--access-log", "clf", "--access-log-file", text(&link)];
        let mut daemon = Daemon::serve(&args);
        daemon.wait_for("error: cannot write to");
        assert_eq!(daemon.end().code(), Some(77));
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_dir(ours.path()).unwrap().count(), 1);
}
