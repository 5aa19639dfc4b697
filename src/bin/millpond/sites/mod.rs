//! Which site serves a request, and how the sites are exchanged while the server runs.

pub(crate) mod hosts;
pub(crate) mod opener;
pub(crate) mod routing;
pub(crate) mod swap;
