//! `millpond serve` and `millpond check`: from settings to a running server, and to its end.
//!
//! ```text
//! load ─► build ─► start ─► daemon ─► drain
//!                             ▲ │ HUP
//!                      reload └─┘
//! ```

mod admin;
mod allowed_paths;
mod build;
mod check;
mod daemon;
mod load;
mod reload;
mod reopen;
mod start;
mod status;
mod tls;
mod watchdog;

pub(crate) use check::check;
pub(crate) use start::run;
