//! The engine: connections, the queue and the workers. It knows protocols as a trait, never HTTP.
#![cfg_attr(not(test), allow(dead_code, reason = "used by the rooms above"))]

mod budget;
mod fairness;
mod histogram;
mod load;
mod overload;
#[cfg(test)]
mod simulation;

pub use overload::Refusal;
