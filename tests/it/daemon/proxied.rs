//! The settings for proxies: the access log has the clients that they name.

use std::fs;
use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, run, text};
use crate::support::{exchange, until};

fn get(addr: SocketAddr, client: &str) {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(exchange(addr, request.as_bytes()).status, 200);
}

#[test]
fn the_access_log_has_the_client_that_a_trusted_proxy_names() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (dir.path().join("millpond.toml"), dir.path().join("access.log"));
    for (format, start, peer) in [
        ("clf", "192.0.2.1 - - [", "127.0.0.1 - - ["),
        ("combined", "192.0.2.1 - - [", "127.0.0.1 - - ["),
        ("json", "\"client\":\"192.0.2.1\"", "\"client\":\"127.0.0.1\""),
    ] {
        let _ = fs::remove_file(&log);
        let trusting = "[proxy]\ntrusted = [\"127.0.0.0/8\", \"unix\"]\n";
        fs::write(&file, trusting).unwrap();
        let args = ["--access-log", format, "--access-log-file", text(&log)];
        let mut daemon = Daemon::serve(&[&args[..], &["--config", text(&file)]].concat());
        let addr = daemon.addr();
        let lines = || fs::read_to_string(&log).unwrap_or_default();
        get(addr, "6.6.6.6, 192.0.2.1");
        until("the line is written", || lines().lines().count() == 1);
        assert!(lines().contains(start), "{}", lines());
        // A reload takes the trust away.
        fs::write(&file, "").unwrap();
        daemon.signal(Signal::HUP);
        daemon.wait_for("settings reloaded");
        get(addr, "6.6.6.6, 192.0.2.1");
        until("the second line is written", || lines().lines().count() == 2);
        let second = lines().lines().nth(1).unwrap().to_owned();
        assert!(second.contains(peer), "{second}");
    }
}

#[test]
fn every_address_is_trusted_only_if_that_is_confirmed() {
    let check = |args: &[&str]| run(&[&["check"], args].concat());
    for everything in ["0.0.0.0/0", "::/0"] {
        let refused = check(&["--trusted-proxy", everything]);
        assert_eq!(refused.code, Some(78), "{refused:?}");
        let message = format!(
            "error: invalid proxy.trusted {everything}: expected the networks of your proxies\nhint: "
        );
        assert!(refused.stderr.starts_with(&message), "{refused:?}");
        let args = ["--trusted-proxy", everything, "--trust-all-proxies"];
        assert_eq!(check(&args).code, Some(0));
    }
    let wrong = check(&["--trusted-proxy", "10.1.2.3/8"]);
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.stderr.contains("10.1.2.3/8") && wrong.stderr.contains("expected networks"));
    assert_ne!(check(&["--proxy-header", "X Y"]).code, Some(0));
}
