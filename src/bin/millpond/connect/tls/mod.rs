//! TLS of the client: endpoints `tls://`.
//!
//! - `config`: whom to trust, and which name to expect. `verifier`: `--insecure`.
//! - `client`: the connection. `report`: what `-v` and `--probe` print.

mod client;
mod config;
mod report;
mod verifier;

pub(super) use client::TlsClient;
pub(super) use config::{TlsTarget, split_scheme};
pub(super) use report::{certificate_line, days_left, report};
