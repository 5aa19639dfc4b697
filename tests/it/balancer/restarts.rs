//! Instances that stop, restart or are killed behind HAProxy.

use std::time::Instant;

use rustix::process::Signal;

use crate::support::{connect, read_to_end, until};

use super::cluster::{Addresses, Instance};
use super::haproxy::Haproxy;
use super::load::{Load, Seen};

/// Three daemons, and HAProxy in front of them.
fn cluster() -> Option<(Vec<Instance>, Haproxy)> {
    let instances: Vec<_> = (0..3).map(|_| Instance::start()).collect();
    let addresses: Vec<Addresses> = instances.iter().map(|instance| instance.addresses).collect();
    Some((instances, Haproxy::start(&addresses, |config| config)?))
}

#[track_caller]
pub(super) fn all_were_served(seen: &[Seen], at_least: usize) {
    let failed: Vec<_> = seen.iter().filter(|seen| seen.status != Ok(200)).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), seen.len());
    assert!(seen.len() >= at_least, "{}", seen.len());
}

#[test]
fn a_rolling_restart_of_all_instances_fails_no_request() {
    let Some((mut instances, haproxy)) = cluster() else { return };
    let load = Load::start(haproxy.front, 40.0, 20);
    until("it serves", || load.sent() >= 20);
    for (name, instance) in ('a'..).zip(&mut instances) {
        instance.daemon.signal(Signal::TERM);
        haproxy.wait_for(name, "status", "DRAIN");
        assert_eq!(instance.daemon.end().code(), Some(0), "{:#?}", instance.daemon.log);
        instance.start_again();
        haproxy.wait_for(name, "status", "UP");
    }
    let sent = load.sent();
    until("it serves after the restarts", || load.sent() >= sent + 40);
    all_were_served(&load.stop(), 100);
}

#[test]
fn no_get_fails_when_an_instance_is_killed() {
    let Some((mut instances, haproxy)) = cluster() else { return };
    let load = Load::start(haproxy.front, 40.0, 20);
    until("it serves", || load.sent() >= 20);
    instances[1].daemon.signal(Signal::KILL);
    haproxy.wait_for('b', "status", "DOWN");
    let sent = load.sent();
    until("it serves without the instance", || load.sent() >= sent + 40);
    instances[1].daemon.end();
    instances[1].start_again();
    haproxy.wait_for('b', "status", "UP");
    let sent = load.sent();
    until("it serves with it", || load.sent() >= sent + 40);
    all_were_served(&load.stop(), 100);
}

#[test]
fn a_stop_is_a_drain_for_haproxy_before_a_connection_is_refused() {
    let Some((mut instances, haproxy)) = cluster() else { return };
    let Instance { daemon, addresses } = &mut instances[0];
    let agent = read_to_end(&mut connect(addresses.agent));
    assert_eq!(agent, "up ready 100%\n");
    daemon.signal(Signal::TERM);
    let began = Instant::now();
    // Each look finds out first whether connections are refused.
    until("HAProxy has noticed", || {
        assert!(std::net::TcpStream::connect(addresses.main).is_ok(), "{:?}", began.elapsed());
        haproxy.server('a')["status"].starts_with("DRAIN")
    });
    assert!(std::net::TcpStream::connect(addresses.main).is_ok(), "{:?}", began.elapsed());
    assert_eq!(daemon.end().code(), Some(0));
}
