//! One HTTP/1.1 connection's life: read a head, call the handler, send the response, keep alive or
//! close.

mod awaited;
pub(super) mod body_sink;
pub(super) mod buffer;
mod close;
mod driver;
pub(super) mod exchange;
mod read;
mod refusal;
mod request_info;
mod respond;
mod send;
mod upgrade;

pub(crate) use driver::Http;
