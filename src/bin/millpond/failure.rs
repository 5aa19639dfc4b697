//! [`Failure`]: an error that ends the program with an exit code other than 0.

use std::process::ExitCode;

use millpond::{Error, ErrorKind};

/// The exit codes, those of sysexits(3) where it has one. docs/signals.md lists them for users.
pub(crate) mod code {
    /// Something failed at run time.
    pub(crate) const RUNTIME: u8 = 1;
    /// The command line is invalid.
    pub(crate) const USAGE: u8 = 2;
    /// A listener could not be bound.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// The drain timeout passed while requests were still being served.
    pub(crate) const DRAIN_TIMEOUT: u8 = 75;
    /// The system denied a permission.
    pub(crate) const PERMISSION: u8 = 77;
    /// A setting is invalid, in the file, in a variable, or in relation to another.
    pub(crate) const CONFIG: u8 = 78;
}

/// A failure: one line of text, usually a hint, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// A failure of a system call. A denied permission has an exit code of its own.
    pub(crate) fn io(code: u8, message: impl Into<String>, error: std::io::Error) -> Self {
        let kind = if code == code::CONFIG { ErrorKind::Config } else { ErrorKind::System };
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let message = one_line(&Error::new(kind, message).with_source(error));
        Self::new(if denied { code::PERMISSION } else { code }, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with its place before the message.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Whether the system denied a permission.
    pub(crate) fn is_denied(&self) -> bool {
        self.code == code::PERMISSION
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The `error:` line, and the `hint:` line if there is a hint.
    pub(crate) fn report(&self) -> String {
        match &self.hint {
            Some(hint) => format!("error: {}\nhint: {hint}\n", self.message),
            None => format!("error: {}\n", self.message),
        }
    }
}

/// The message of an error and the system's reason, for an `error:` line or the log.
pub(crate) fn one_line(error: &Error) -> String {
    format!("{error:#}")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Endpoint => code::USAGE,
            ErrorKind::Config => code::CONFIG,
            ErrorKind::Bind | ErrorKind::Lookup => code::UNAVAILABLE,
            ErrorKind::Permission => code::PERMISSION,
            _ => code::RUNTIME,
        };
        let failure = Self::new(code, one_line(&error));
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let table = [
            (ErrorKind::Endpoint, 2),
            (ErrorKind::Config, 78),
            (ErrorKind::Bind, 69),
            (ErrorKind::Lookup, 69),
            (ErrorKind::Permission, 77),
            (ErrorKind::System, 1),
        ];
        for (kind, code) in table {
            assert_eq!(Failure::from(Error::new(kind, "no")).code(), code);
        }
    }

    #[test]
    fn a_file_without_read_permission_has_the_exit_code_of_permissions() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let failure = Failure::io(code::CONFIG, "cannot read a.toml", denied);
        assert_eq!(failure.code(), code::PERMISSION);
        assert_eq!(failure.message(), "cannot read a.toml: permission denied");
    }
}
