//! The table of settings: the key, flag and help text of each, and how it is parsed and printed.
//!
//! A row is everything about a setting: the command line, the variables, the file, `--help`,
//! `--print-config`, the man page and the reference are made from it.

#[macro_use]
mod row;

mod all;
mod daemon;
mod files;
mod listen;
mod proxy;
mod server;
mod tls;

pub(crate) use all::{find, rows, site_rows, variable};
pub(crate) use row::Row;
