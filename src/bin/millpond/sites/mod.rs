//! The sites: which one serves a request, and how a reload replaces them.

pub(crate) mod file_broker;
pub(crate) mod hosts;
pub(crate) mod routing;
pub(crate) mod swap;
