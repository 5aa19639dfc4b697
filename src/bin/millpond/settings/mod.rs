//! The daemon's settings: one row of a table a setting, from text to [`Settings`].
//!
//! ```text
//! table ──► command line ─┐
//!      ├──► variables     ├─► load ─► Settings ─► print
//!      └──► file          ┘
//! ```
//!
//! A setting is taken from the command line, else from its variable, else from the file, else it
//! keeps its default. Nothing is opened or bound here.

pub(crate) mod bytes;
mod file;
mod load;
mod origin;
pub(crate) mod print;
pub(crate) mod site;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod value;

pub(crate) use load::{Flags, Loaded};
pub(crate) use origin::Origin;
pub(crate) use site::Site;
pub(crate) use types::{
    AUTO, AccessLogFormat, AccessLogSettings, Color, DEFAULT_BIND, LogSettings, Settings,
};
