//! The root directory, and opening files beneath it. Nothing outside of it can be reached.
//!
//! openat2(2) with `RESOLVE_BENEATH` resolves a path, including its symbolic links, and fails with
//! `EXDEV` when it would leave the root. Where the kernel is older than 5.6, or a sandbox denies
//! the call, [`walk`] resolves the path name by name.

mod directory;
pub(super) mod open;
mod walk;

pub(super) use directory::{Opened, Root};

#[cfg(test)]
mod tests;
