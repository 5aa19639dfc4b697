//! The daemon under a service manager: passed sockets, notifications, the journal.

use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, bare, command, get, ran};
use crate::support::response::Response;
use crate::support::{PATIENCE, read_last_response};

const MILLPOND: &str = env!("CARGO_BIN_EXE_millpond");

/// systemd-socket-activate(1), which passes sockets at the first connection. `None`, with a
/// message, where it is not installed.
fn activate(paths: &[&Path], names: &str, args: &[&str]) -> Option<Command> {
    let program = "systemd-socket-activate";
    if Command::new(program).arg("--version").output().is_err() {
        println!("skipped: {program} is not installed");
        return None;
    }
    let mut all: Vec<String> =
        paths.iter().map(|path| format!("--listen={}", path.display())).collect();
    all.push(format!("--fdname={names}"));
    all.extend([MILLPOND, "serve"].map(str::to_owned));
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Some(bare(program, &all))
}

fn get_over(path: &Path) -> Response {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    read_last_response(&mut stream)
}

fn two_paths(dir: &Path) -> [PathBuf; 2] {
    ["a.sock", "b.sock"].map(|name| dir.join(name))
}

#[test]
fn all_passed_sockets_are_served_when_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = two_paths(dir.path());
    let Some(command) = activate(&[&a, &b], "a:b", &[]) else { return };
    let mut daemon = Daemon::start(command);
    daemon.wait_for("Listening on");
    daemon.wait_for("Listening on");
    assert_eq!(get_over(&a).text(), "Hello, world!");
    assert_eq!(get_over(&b).text(), "Hello, world!");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
    assert!(a.exists() && b.exists(), "passed sockets belong to the manager");
}

#[test]
fn passed_sockets_are_taken_by_name_or_number() {
    for which in ["fd:b", "fd:1"] {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = two_paths(dir.path());
        let Some(command) = activate(&[&a, &b], "a:b", &["--bind", which]) else { return };
        let mut daemon = Daemon::start(command);
        daemon.wait_for("Listening on");
        daemon.wait_for("Listening on");
        assert_eq!(get_over(&b).text(), "Hello, world!");
        assert!(
            daemon
                .log
                .iter()
                .all(|line| !line.contains("listening on unix") || line.contains("b.sock")),
            "{:#?}",
            daemon.log
        );
    }
}

#[test]
fn an_unknown_passed_name_ends_the_start_and_lists_the_passed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = two_paths(dir.path());
    let Some(command) = activate(&[&a, &b], "a:b", &["--bind", "fd:c"]) else { return };
    let mut daemon = Daemon::start(command);
    daemon.wait_for("Listening on");
    daemon.wait_for("Listening on");
    // The connection is what starts it.
    let _trigger = UnixStream::connect(&a).unwrap();
    daemon.wait_for("error: unknown socket fd:c");
    daemon.wait_for("hint: the passed sockets have the names a, b");
    assert_eq!(daemon.end().code(), Some(69));
}

/// A service manager's end of the notifications.
struct Manager(UnixDatagram);

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next notification that has this line in it, or begins one.
    fn wait_for(&self, line: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("{line}: {error}"));
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.lines().any(|found| found.starts_with(line)) {
                return message;
            }
        }
    }
}

#[test]
fn the_manager_is_notified_of_readiness_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(&path);
    let mut command = command(&["serve", "-b", "tcp://127.0.0.1:0", "--drain", "7s"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::start(command);
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains(&format!("MAINPID={}", daemon.pid())), "{ready}");
    assert!(ready.contains("STATUS=live 0"), "{ready}");
    let addr = daemon.addr();
    get(addr, "/");

    daemon.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(micros.unwrap().parse::<u64>().unwrap() > 0);
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains("served 1"), "{ready}");

    daemon.signal(Signal::TERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=12000000"), "{stopping}");
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn a_lame_duck_is_reported_to_the_manager_and_feeds_the_watchdog() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(&path);
    let args = ["serve", "-b", "tcp://127.0.0.1:0", "--drain", "7s", "--lame-duck", "1s"];
    let mut command = command(&args);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let mut daemon = Daemon::start(command);
    manager.wait_for("READY=1");
    daemon.signal(Signal::TERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=13000000"), "{stopping}");
    assert!(stopping.contains("STATUS=lame duck"), "{stopping}");
    manager.wait_for("WATCHDOG=1");
    let draining = manager.wait_for("STATUS=draining");
    assert!(draining.contains("EXTEND_TIMEOUT_USEC=12000000"), "{draining}");
    assert_eq!(daemon.end().code(), Some(0));
}

/// The seconds of a unit's TimeoutStopSec.
fn stop_timeout(unit: &str) -> u64 {
    let line = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    line.unwrap().parse().unwrap()
}

/// The unit of one instance of several.
const TEMPLATE: &str = include_str!("../../../docs/systemd/millpond@.service");

/// The variables that the unit sets for an instance.
fn variables(unit: &str, instance: &str) -> Vec<(String, String)> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.replace("%i", instance))).collect()
}

#[test]
fn the_units_wait_for_longer_than_a_stop_takes() {
    let timeouts = millpond::Config::default().timeouts;
    let stop = (timeouts.lame_duck + timeouts.drain).as_secs();
    let lame_duck = variables(TEMPLATE, "8001");
    let lame_duck = lame_duck.iter().find(|(name, _)| name == "MILLPOND_TIMEOUTS_LAME_DUCK");
    let lame_duck: u64 = lame_duck.unwrap().1.trim_end_matches('s').parse().unwrap();
    for (unit, stop) in [
        (include_str!("../../../docs/systemd/millpond.service"), stop),
        (include_str!("../../../docs/systemd/direct/millpond-direct.service"), stop),
        (TEMPLATE, stop + lame_duck),
    ] {
        assert!(stop_timeout(unit) > stop, "{unit}");
    }
}

#[test]
fn the_units_do_not_restart_after_an_error_that_a_restart_does_not_correct() {
    for unit in [
        include_str!("../../../docs/systemd/millpond.service"),
        include_str!("../../../docs/systemd/direct/millpond-direct.service"),
        TEMPLATE,
    ] {
        // The command line, a permission, the settings.
        assert!(unit.contains("\nRestartPreventExitStatus=2 77 78\n"), "{unit}");
    }
}

#[test]
fn the_variables_of_an_instance_are_valid_settings() {
    let mut check = command(&["check", "--print-config"]);
    check.envs(variables(TEMPLATE, "8001"));
    let checked = ran(check);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    for (table, line) in [
        ("[admin]", "endpoint = \"tcp://127.0.0.1:18001\""),
        ("[agent]", "endpoint = \"tcp://127.0.0.1:28001\""),
        ("[timeouts]", "lame_duck = \"3s\""),
    ] {
        let (_, rest) = checked.stdout.split_once(table).unwrap();
        let rest = rest.split("\n[").next().unwrap();
        assert!(rest.contains(line), "{table} {line}: {rest}");
    }
}

#[test]
fn the_template_is_confined_as_the_single_service_is() {
    let confinement = |unit: &'static str| unit.split_once("# The confinement").unwrap().1;
    let of = |unit| confinement(unit).split_once("[Install]").unwrap().0;
    assert_eq!(of(TEMPLATE), of(include_str!("../../../docs/systemd/millpond.service")));
}

#[test]
fn the_watchdog_is_notified_while_the_server_makes_progress() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(&path);
    let mut command = command(&["serve", "-b", "tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let _daemon = Daemon::start(command);
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
}

#[test]
fn under_the_journal_lines_have_a_priority_and_no_time() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let file = std::fs::File::create(&path).unwrap();
    let stat = file.metadata().unwrap();
    let notify = dir.path().join("notify");
    let manager = Manager::new(&notify);
    let mut command = command(&["serve", "-b", "tcp://127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", &notify)
        .env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()))
        .stderr(file);
    let _daemon = Daemon::start_unread(command);
    manager.wait_for("READY=1");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| line.starts_with("<6>")), "{text:?}");
    assert!(text.contains("<6>listening on tcp://127.0.0.1:"), "{text:?}");
}
