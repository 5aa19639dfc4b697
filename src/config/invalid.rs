//! Errors of values: the name, the value, what was expected, and why.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// `invalid limits.fields 0: expected at least 1`, with a hint.
pub(super) fn invalid(name: &str, value: impl Display, expected: &str, hint: &str) -> Error {
    let message = format!("invalid {name} {value}: expected {expected}");
    Error::new(ErrorKind::Config, message).with_hint(hint)
}

/// Checks that a number is not too low.
pub(super) fn at_least(name: &str, value: usize, least: usize, why: &str) -> Result<(), Error> {
    if value < least {
        return Err(invalid(name, value, &format!("at least {least}"), why));
    }
    Ok(())
}

/// Checks that a time is not zero.
pub(super) fn positive(name: &str, value: Duration) -> Result<(), Error> {
    if value.is_zero() {
        return Err(invalid(name, 0, "a time above 0", "a time is 10s or 250ms, for example"));
    }
    Ok(())
}

/// Checks that a value does not exceed another one.
pub(super) fn not_more_than<T: Display + PartialOrd>(
    (name, value): (&str, T),
    (other, limit): (&str, T),
) -> Result<(), Error> {
    if value > limit {
        let expected = format!("at most {other}, {limit}");
        return Err(invalid(name, value, &expected, &format!("lower {name} or raise {other}")));
    }
    Ok(())
}
