//! HTTP over TLS.

mod handshakes;
mod records;
mod serving;
