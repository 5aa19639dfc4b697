//! `millpond connect`: the small client. Connects, sends, receives, prints, closes.
//!
//! ```text
//! args ─► client ─┬─► exchange  one MESSAGE, its response
//!                 ├─► relay     standard input and output, both at once
//!                 ├─► probe     only connect
//!                 └─► ping      ICMP echo requests
//! ```

mod args;
mod client;
mod exchange;
mod message;
mod output;
mod ping;
mod probe;
mod proxy_header;
mod reader;
mod relay;
mod socket;
mod tls;

pub(crate) use args::ConnectArgs;
pub(crate) use client::run;
