//! The connection while a handler has it in hand.

use std::io::{self, Read};

use http::HeaderMap;

use crate::net::Addr;

/// The client behind a request.
pub(crate) struct Client {}

impl Client {
    pub(crate) fn peer(&self) -> &Addr {
        unimplemented!()
    }
    pub(crate) fn local(&self) -> Option<Addr> {
        unimplemented!()
    }
    pub(crate) fn is_connected(&self) -> bool {
        unimplemented!()
    }
}

/// A request's body, read from the connection.
#[derive(Debug)]
pub struct Incoming {}

impl Incoming {
    pub(crate) fn length(&self) -> Option<u64> {
        None
    }
    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        None
    }
}

impl Read for Incoming {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

/// An upgraded connection.
#[derive(Debug)]
pub struct Upgraded {}
