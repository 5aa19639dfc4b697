//! [`AdminEndpoints`]: what a handle keeps of the admin thread.

use std::sync::Arc;

use crate::sync::Waker;

/// The endpoints of the admin thread as text, and what wakes it.
#[derive(Debug)]
pub(super) struct AdminEndpoints {
    pub(super) admin: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) waker: Arc<Waker>,
}
