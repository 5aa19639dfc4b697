//! nginx with the configuration of the page.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::nginx::Nginx;
use crate::support::ports::free_addr;
use crate::support::until;

use super::cluster::Instance;
use super::load::Load;
use super::restarts::all_were_served;
use super::{block, own_ip, replaced};

/// A running nginx in front of these addresses. `None`, with a message, where it is not installed.
fn nginx(upstreams: &[SocketAddr]) -> Option<(SocketAddr, Nginx)> {
    // nginx cannot report a port that the kernel has chosen.
    let front = free_addr(own_ip());
    let mut config = replaced(block("nginx"), "listen 80;", &format!("listen {front};"));
    for (name, upstream) in (1..).zip(upstreams) {
        config = replaced(&config, &format!("10.0.0.{name}:8888"), &upstream.to_string());
    }
    Some((front, Nginx::start(front, &config)?))
}

#[test]
fn a_rolling_restart_and_a_kill_fail_no_get() {
    let mut instances: Vec<_> = (0..3).map(|_| Instance::start()).collect();
    let upstreams: Vec<_> = instances.iter().map(|instance| instance.addresses.main).collect();
    let Some((front, _nginx)) = nginx(&upstreams) else { return };
    let load = Load::start(front, 40.0, 20);
    for instance in &mut instances {
        let sent = load.sent();
        until("it serves", || load.sent() >= sent + 20);
        instance.daemon.signal(Signal::TERM);
        assert_eq!(instance.daemon.end().code(), Some(0), "{:#?}", instance.daemon.log);
        instance.start_again();
    }
    instances[0].daemon.signal(Signal::KILL);
    instances[0].daemon.end();
    let sent = load.sent();
    until("it serves without the instance", || load.sent() >= sent + 40);
    all_were_served(&load.stop(), 100);
}
