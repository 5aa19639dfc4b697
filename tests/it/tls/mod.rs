//! HTTP over TLS.

mod certificates;
mod client;
mod handshakes;
mod made;
mod metric;
mod records;
mod serving;
