//! [`Origin`]: where the value of a setting comes from.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::path::PathBuf;

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    Default,
    /// A file, and the line in it, from 1.
    File(PathBuf, usize),
    Variable(String),
    /// The flag as the user typed it.
    Flag(String),
}

/// The origins of settings by key. A setting without an entry has its default.
pub(super) type Origins = BTreeMap<&'static str, Origin>;

/// An origin as `--print-config` and errors show it.
impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
