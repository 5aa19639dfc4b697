//! Why a server cannot be started or reconfigured.
//!
//! An [`Error`] is a report for people: it names the address, path or setting in question, gives
//! the system's reason, and usually a hint. A program branches on its [`ErrorKind`].

use std::fmt;
use std::io;

/// Why a server cannot be started or reconfigured.
///
/// One line each, without a full stop:
///
/// | Format | Content |
/// |---|---|
/// | `{}` | the message, without the reason: for programs that print [`source`] as well |
/// | `{:#}` | the message and the system's reason: for log lines, and after `error: ` |
/// | `{:?}` | as `{:#}`, and a second line `hint: …` if there is a [`hint`](Error::hint) |
///
/// `main` may therefore return an `Error`: it prints well.
///
/// [`source`]: std::error::Error::source
///
/// # Examples
/// ```
/// use millpond::{ErrorKind, Server, http::Response};
///
/// let error = Server::builder()
///     .workers(0)
///     .http(|_req: &mut millpond::http::Request| Response::text("")).build()
///     .unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "invalid pool.workers 0: expected at least 1");
///
/// let denied = std::io::Error::from_raw_os_error(13);
/// let error = millpond::Error::new(ErrorKind::Bind, "cannot bind [::]:80").with_source(denied);
/// assert_eq!(error.to_string(), "cannot bind [::]:80");
/// assert_eq!(format!("{error:#}"), "cannot bind [::]:80: permission denied");
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<io::Error>,
}

/// The kinds of [`Error`], for programs to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text of an endpoint could not be parsed.
    Endpoint,
    /// The host of an endpoint could not be looked up, or has no fitting address. It may have one
    /// later.
    Lookup,
    /// A setting is out of range, or contradicts another.
    Config,
    /// A listener could not be bound.
    Bind,
    /// A connection to another program could not be opened.
    Connect,
    /// The state of a worker could not be made.
    Worker,
    /// The system denied a permission.
    Permission,
    /// Another system call failed: for threads, descriptors, epoll.
    System,
}

impl Error {
    /// An error of this kind with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The same error with a hint on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the system's reason as its source.
    ///
    /// A reason of "permission denied" makes it an [`ErrorKind::Permission`].
    #[must_use]
    pub fn with_source(mut self, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied {
            self.kind = ErrorKind::Permission;
        }
        self.source = Some(source);
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The system's reason, if it gave one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }

    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            // An error chain prints the source by itself.
            Some(source) if f.alternate() => write!(f, ": {}", reason(source)),
            _ => Ok(()),
        }
    }
}

/// The report for people, because `main` prints the error that it returns in this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// The system's reason in lower case and without the number: `permission denied`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // An acronym ("I/O error") keeps its capitals.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_in_lower_case_and_has_no_number() {
        let table = [
            (13, "permission denied"),
            (98, "address already in use"),
            (111, "connection refused"),
        ];
        for (errno, expected) in table {
            assert_eq!(reason(&io::Error::from_raw_os_error(errno)), expected);
        }
    }

    #[test]
    fn a_denied_permission_is_its_own_kind() {
        let denied = Error::new(ErrorKind::Bind, "cannot bind [::]:80")
            .with_source(io::Error::from_raw_os_error(13));
        assert_eq!(denied.kind(), ErrorKind::Permission);
    }

    #[test]
    fn an_error_chain_has_the_reason_once() {
        let error = Error::new(ErrorKind::Bind, "cannot bind [::]:80")
            .with_source(io::Error::from_raw_os_error(13));
        assert_eq!(error.to_string(), "cannot bind [::]:80");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "Permission denied (os error 13)");
        assert_eq!(format!("{error:#}"), "cannot bind [::]:80: permission denied");
    }

    #[test]
    fn what_main_prints_is_readable() {
        let error = Error::new(ErrorKind::Bind, "cannot bind [::]:80")
            .with_source(io::Error::from_raw_os_error(13))
            .with_hint("choose a port from 1024");
        let expected = "cannot bind [::]:80: permission denied\nhint: choose a port from 1024";
        assert_eq!(format!("{error:?}"), expected);
        assert_eq!(format!("{:?}", Error::new(ErrorKind::Config, "no")), "no");
    }
}
