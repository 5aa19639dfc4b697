//! Several sites in one daemon, by listener and Host.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, command, get_from, ran, root, run, text};

/// The file of settings in a directory that also has the roots.
fn settings(www: &tempfile::TempDir, lines: &str) -> PathBuf {
    let file = www.path().join("millpond.toml");
    let reach = format!("reach = [{:?}]\n", www.path());
    fs::write(&file, reach + &lines.replace("WWW", text(www.path()))).unwrap();
    file
}

#[test]
fn a_request_goes_to_the_site_that_has_its_host() {
    let www = root(&[("a/f", "a"), ("b/f", "b"), ("rest/f", "rest")]);
    let file = settings(
        &www,
        "[[site]]\nhosts = [\"a.test\"]\nroot = \"WWW/a\"\n\
         [[site]]\nhosts = [\"*.b.test\", \"b.test\"]\nroot = \"WWW/b\"\n\
         [[site]]\nroot = \"WWW/rest\"\n",
    );
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let addr = daemon.addr();
    for (host, expected) in [
        ("a.test", "a"),
        ("A.TEST:8888", "a"),
        ("x.a.test", "rest"),
        ("b.test.", "b"),
        ("x.y.b.test", "b"),
        ("127.0.0.1", "rest"),
    ] {
        assert_eq!(get_from(addr, host, "/f").text(), expected, "{host}");
    }
    // The host of an absolute target goes before the field.
    assert_eq!(get_from(addr, "b.test", "http://a.test/f").text(), "a");
}

#[test]
fn a_host_that_no_site_has_is_misdirected() {
    let www = root(&[("a/f", "a")]);
    let file = settings(&www, "[[site]]\nhosts = [\"a.test\"]\nroot = \"WWW/a\"\n");
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let addr = daemon.addr();
    assert_eq!(get_from(addr, "a.test", "/f").text(), "a");
    assert_eq!(get_from(addr, "b.test", "/f").status, 421);
}

#[test]
fn a_site_has_an_endpoint_of_its_own() {
    let www = root(&[("a/f", "a")]);
    let file = settings(&www, "[[site]]\nbind = [\"tcp://127.0.0.2:0\"]\nroot = \"WWW/a\"\n");
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let first = daemon.addr();
    let second = daemon.addr();
    assert!(get_from(first, "a.test", "/f").text().contains("Hello"));
    assert_eq!(get_from(second, "a.test", "/f").text(), "a");
}

#[test]
fn a_reload_replaces_the_sites() {
    let www = root(&[("a/f", "a"), ("b/f", "b")]);
    let file = settings(&www, "[[site]]\nhosts = [\"a.test\"]\nroot = \"WWW/a\"\n");
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let addr = daemon.addr();
    settings(
        &www,
        "[[site]]\nhosts = [\"b.test\"]\nroot = \"WWW/b\"\n\
         [[site]]\nbind = \"tcp://127.0.0.2:0\"\n",
    );
    daemon.signal(Signal::HUP);
    daemon.wait_for("tcp://127.0.0.2:0 is bound at the next start");
    daemon.wait_for("settings reloaded");
    assert_eq!(get_from(addr, "b.test", "/f").text(), "b");
    assert_eq!(get_from(addr, "a.test", "/f").status, 421);
}

#[test]
fn mistakes_in_sites_are_named_with_their_line() {
    let www = root(&[("a/f", "")]);
    for (lines, message, hint) in [
        ("[[site]]\nhots = \"a\"\n", "millpond.toml:3: unknown key \"hots\"", "\"hosts\""),
        ("[[site]]\nroot = \"WWW/none\"\n", "millpond.toml:2: cannot serve", "directory"),
        ("[[site]]\nhosts = \"a:80\"\n", "millpond.toml:3: invalid host \"a:80\"", "names such as"),
        ("[[site]]\nbind = \"gopher://x\"\n", "millpond.toml:3: ", "tcp"),
        ("[[site]]\n[[site]]\n", "millpond.toml:3: duplicate host \"*\"", "toml:2"),
        ("echo = true\n[[site]]\n", "echo cannot be combined with a root", "remove one"),
    ] {
        let file = settings(&www, lines);
        for command in ["check", "serve"] {
            let ran = run(&[command, "-c", text(&file)]);
            assert!(matches!(ran.code, Some(78 | 2)), "{lines} {ran:?}");
            let lines: Vec<_> = ran.stderr.lines().collect();
            assert_eq!(lines.len(), 2, "{ran:?}");
            assert!(lines[0].contains(message) && lines[1].contains(hint), "{ran:?}");
        }
    }
}

#[test]
fn printed_sites_are_settings_that_mean_the_same() {
    let www = root(&[("a/f", "")]);
    let file = settings(
        &www,
        "[files]\nlisting = true\n[[site]]\nhosts = [\"a.test\"]\nroot = \"WWW/a\"\n",
    );
    let once = run(&["serve", "--print-config", "-c", text(&file)]);
    assert_eq!(once.code, Some(0), "{once:?}");
    assert!(once.stdout.contains("[[site]]") && once.stdout.contains("millpond.toml:5"));
    let again = www.path().join("again.toml");
    fs::write(&again, &once.stdout).unwrap();
    let mut command = command(&["serve", "--print-config"]);
    command.env("MILLPOND_CONFIG", &again);
    let values = |text: &str| {
        let value = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
        text.lines().map(value).collect::<Vec<_>>()
    };
    assert_eq!(values(&ran(command).stdout), values(&once.stdout));
}
