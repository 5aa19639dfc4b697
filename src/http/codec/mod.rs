//! HTTP/1.1 as bytes: heads and bodies, read and written. No socket, no clock and no thread is
//! known here.

pub(super) mod body;
pub(super) mod date;
#[cfg(test)]
mod proof;
pub(super) mod reject;
pub(super) mod request;
pub(super) mod response;
