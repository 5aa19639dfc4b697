//! [`Router`]: selects a handler by method and path.

pub(super) mod params;
mod routes;
#[cfg(test)]
mod tests;

pub use routes::Router;
