//! The integration tests: one binary, a file a behaviour.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

mod acceptor;
mod daemon;
mod daemon_files;
mod daemon_logs;
mod daemon_restart;
mod daemon_running;
mod daemon_signals;
mod daemon_sites;
mod daemon_soak;
mod daemon_start;
mod daemon_systemd;
mod deadlines;
mod dispatch;
mod docs;
mod files;
mod held;
mod hostile;
mod http_answer;
mod http_answers;
mod http_bodies;
mod http_common;
mod http_gone;
mod http_random;
mod http_read_ahead;
mod http_running;
mod http_slow;
mod http_table;
mod http_upgrade;
mod http_waiting;
mod net_client;
mod net_common;
mod net_connect;
mod net_datagram;
mod net_endpoint;
mod net_listener;
mod net_passed;
mod net_raw;
mod net_serving;
mod net_stream;
mod overload;
mod panics;
mod reconfigure;
mod serving;
mod table;
mod tidy;
mod workers;
