//! The agent endpoint: one line for each connection, by which HAProxy learns whether and how much
//! to send to this server (HAProxy Configuration Manual, `agent-check`).
//!
//! The admin thread serves it, with the same bounds as its own endpoint. So it responds while every
//! worker is stuck, and until the server has stopped.
//!
//! ```text
//! options   the endpoint and the reference of the weight ─► a bound listener
//! reporter  state, health and capacity of the server ─► the line
//!   weight    the smoothed capacity over the reference, in per cent
//!   line      the words of the protocol
//! ```

mod line;
mod options;
mod reporter;
mod weight;

pub(super) use options::AgentOptions;
pub(super) use reporter::AgentReporter;
