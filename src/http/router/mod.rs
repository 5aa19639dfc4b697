//! [`Router`]: selects a handler by method and path.
//!
//! From the bottom to the top: `allow` and `params` (values), `target` (what is called), `layers`
//! (middlewares), `literals` and `table` (paths), `routes` (the router as its user builds it),
//! `dispatch` (a request finds its target), `state` (a state for each worker).

mod allow;
mod dispatch;
mod layers;
mod literals;
pub(super) mod params;
mod routes;
mod state;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub use layers::StateNext;
pub use routes::Router;
pub use state::WithState;
pub use target::{IntoRoute, Route, UsesState, WithoutState};
