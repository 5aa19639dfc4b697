//! The root directory, and opening what lies beneath it: nothing else can be reached.
//!
//! The kernel does it where it can: openat2(2) with `RESOLVE_BENEATH` resolves a path, symbolic
//! links included, and fails with `EXDEV` as soon as it would leave the root. Where the kernel is
//! older than 5.6, or a sandbox denies the call, [`walk`] does the same name by name.

mod directory;
pub(super) mod open;
mod walk;

pub(super) use directory::{Opened, Root};

#[cfg(test)]
mod tests;
