//! Keys that only root can read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::made::{Authority, connect, serve, stderr, stdout};

#[test]
fn keys_of_root_are_read_before_the_server_becomes_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start a server as another user");
        return;
    }
    let authority = Authority::new();
    authority.good("a", &["localhost"]);
    let (cert, key) = (authority.text("a.pem"), authority.text("a.key"));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let (mut daemon, endpoint) =
        serve(&["--user", "nobody", "--tls-cert", &cert, "--tls-key", &key]);
    let probe = || {
        let args = ["--probe", "--ca", &authority.text("ca.pem"), "--sni", "localhost", &endpoint];
        let output = connect(&args);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    };
    probe();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert_ne!(user.split_whitespace().next(), Some("0"), "{user}");
    let warning = daemon.log.iter().find(|line| line.contains("HUP cannot read"));
    assert!(warning.is_some_and(|line| line.contains("[WARN]")), "{:#?}", daemon.log);
    daemon.signal(Signal::HUP);
    daemon.wait_for("reload failed, the old settings stay: ");
    probe();
}
