//! What the client writes besides what it received: notes and failures.

use std::io::{self, Write};

use millpond::net::advice;
use millpond::{Error, ErrorKind};

use crate::failure::Failure;

/// Writes a line to standard error that is not an error.
pub(super) fn note(text: &str) {
    // Standard error is the last resort: where it fails, too, the note is lost.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The failure of a call on a socket: the endpoint, the reason of the system, and a hint.
pub(super) fn socket_failure(what: &str, endpoint: &str, error: io::Error) -> Failure {
    let hint = advice(&error);
    let error = Error::new(ErrorKind::System, format!("{what} {endpoint}")).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint).into(),
        None => error.into(),
    }
}
