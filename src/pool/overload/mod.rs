//! Overload control: what is admitted, what is refused, and what refusing may cost.
//!
//! Pure decisions: instants come in as arguments, and nothing here knows a socket, a clock or a
//! thread.

pub(crate) mod controller;
pub(crate) mod fairness;
mod interval;
pub(crate) mod refusal;
pub(crate) mod refusal_budget;
mod service_estimate;
#[cfg(test)]
mod simulation;
