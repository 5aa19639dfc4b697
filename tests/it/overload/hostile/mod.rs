//! Clients that hold a server up, beside ten that behave: what the ten, the urgent listener and a
//! newcomer afterwards get. `cargo bench --bench overload -- --scenario hostile` measures the same
//! in full size.

#[path = "../../../../benches/support/answer.rs"]
mod answer;
#[path = "../../../../benches/support/attacks.rs"]
mod attacks;
#[path = "../../../../benches/support/fleet.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest of it")]
mod fleet;
#[path = "../../../../benches/support/newcomer.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest of it")]
mod newcomer;

mod beside;
mod crowds;
mod requests;
