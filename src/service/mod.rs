//! Handlers and protocols that ship with millpond.

mod echo;
mod hello;

pub use echo::Echo;
pub use hello::Hello;
