//! HTTP over TLS.

mod certificates;
mod client;
mod empty_records;
mod first_requests;
mod handshakes;
mod made;
mod metric;
mod privileges;
mod records;
mod refusals;
mod reload;
mod serving;
