//! Clients that attack a server, beside ten that behave: how the ten, the urgent listener and a
//! newcomer afterwards are served. `cargo bench --bench overload -- --scenario hostile` measures
//! the same in full size.

#[path = "../../../../benches/support/attacks.rs"]
mod attacks;
#[path = "../../../../benches/support/fleet.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest of it")]
mod fleet;
#[path = "../../../../benches/support/newcomer.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest of it")]
mod newcomer;
#[path = "../../../../benches/support/response.rs"]
mod response;

mod beside;
mod crowds;
mod proxied;
mod requests;
