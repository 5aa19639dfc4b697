//! The agent's endpoint of the daemon.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, run};
use crate::support::{connect, read_to_end, until};

/// The address at which it logs its agent's endpoint.
fn agent_addr(daemon: &mut Daemon) -> SocketAddr {
    let line = daemon.wait_for("agent endpoint at tcp://");
    line.rsplit("tcp://").next().unwrap().parse().unwrap()
}

#[test]
fn it_reports_a_drain_from_the_moment_of_the_signal() {
    let mut daemon = Daemon::serve(&["--agent", "tcp://127.0.0.1:0", "--lame-duck", "30s"]);
    daemon.addr();
    let agent = agent_addr(&mut daemon);
    let line = || read_to_end(&mut connect(agent));
    assert_eq!(line(), "up ready 100%\n");
    daemon.signal(Signal::TERM);
    until("it reports the drain", || line() == "up drain\n");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(143));
}

#[test]
fn there_is_none_by_default() {
    let mut daemon = Daemon::serve(&[]);
    daemon.wait_for("URL: ");
    assert!(!daemon.has_logged("agent"), "{:#?}", daemon.log);
}

#[test]
fn wrong_settings_have_their_exit_code_and_a_hint() {
    let table: [(&[&str], i32, &str); 4] = [
        (&["--agent=tcp://0.0.0.0:0"], 78, "--agent-public"),
        (&["--agent=udp://127.0.0.1:0"], 78, "invalid agent endpoint"),
        (&["--agent=tcp://127.0.0.1:0", "--agent-reference=0"], 78, "expected 1 or more"),
        (&["--agent-reference=many"], 2, "expected"),
    ];
    for (args, code, message) in table {
        for mode in ["serve", "check"] {
            let mut all = vec![mode, "--bind", "tcp://127.0.0.1:0"];
            all.extend(args);
            let ran = run(&all);
            assert_eq!(ran.code, Some(code), "{all:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(message), "{all:?}: {}", ran.stderr);
        }
    }
    assert_eq!(run(&["check", "--agent=tcp://0.0.0.0:0", "--agent-public"]).code, Some(0));
}
