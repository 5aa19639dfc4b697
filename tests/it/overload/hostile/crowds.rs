//! More connections than the server may have: the table is shared.

use std::time::Duration;

use super::attacks::{Crowd, crowd};
use super::beside::{Asked, Attacked};

/// What the server may hold, and how many come.
const CONNECTIONS: (usize, usize) = (200, 250);

#[track_caller]
fn withstands(kind: Crowd, addresses: u8) {
    let attacked = Attacked::new(Asked::default(), |config| {
        config.limits.connections = CONNECTIONS.0;
    });
    attacked.withstands(&crowd(kind, CONNECTIONS.1, addresses), Duration::from_millis(1_500));
}

#[test]
fn a_crowd_of_idle_connections_shuts_nobody_out() {
    withstands(Crowd::Idle, 1);
}

#[test]
fn a_crowd_that_says_nothing_shuts_nobody_out() {
    withstands(Crowd::Silent, 1);
}

#[test]
fn a_crowd_with_heads_in_pieces_shuts_nobody_out() {
    withstands(Crowd::Head, 1);
}

#[test]
fn a_crowd_with_bodies_in_pieces_shuts_nobody_out() {
    withstands(Crowd::Body, 1);
}

#[test]
fn a_crowd_of_slow_readers_shuts_nobody_out() {
    withstands(Crowd::Reader, 1);
}

#[test]
fn a_crowd_from_many_addresses_shuts_nobody_out() {
    for kind in [Crowd::Idle, Crowd::Silent] {
        withstands(kind, 125);
    }
}
