//! What the tests share: a client and its reader of responses, the server in this process, the
//! daemon as a process, and conditions with deadlines.

mod client;
pub(crate) mod daemon;
mod gate;
pub(crate) mod nginx;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod response;
mod server;
pub(crate) mod tls;
mod wait;

pub(crate) use client::{
    connect, connect_from, exchange, read_head, read_last_head, read_last_response, read_response,
    read_responses, read_to_end, socket_at, statuses,
};
pub(crate) use gate::Gate;
pub(crate) use server::{Start, TestServer, addr, start_http, start_http_with};
pub(crate) use wait::{
    PATIENCE, SetOnDrop, passes_in_a_process_of_its_own, uninterrupted, until, until_or,
};
