//! Overload control: what is admitted, what is refused, and what refusing may cost. Pure decisions:
//! instants come in as arguments, and no socket, clock or thread is known here.

pub(crate) mod controller;
pub(crate) mod fairness;
mod load;
pub(crate) mod refusal;
pub(crate) mod refusal_budget;
#[cfg(test)]
mod simulation;
