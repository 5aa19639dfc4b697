//! [`Door`]: the handler that the server knows, behind which another one can be put at any time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use millpond::http::{Handler, Request, Response, StatusCode};
use time::OffsetDateTime;

use crate::access_log::Recorder;
use crate::access_log::line::Asked;
use crate::settings::Format;

/// The handler that the server knows. Requests that are in hand when another one is put behind it
/// end with the handler that they began with.
#[derive(Clone)]
pub(crate) struct Door(Arc<RwLock<Arc<Room>>>);

/// What is behind the door.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) handler: Arc<dyn Handler>,
    /// Where a line for each request goes, and what it looks like.
    pub(crate) access: Option<(Recorder, Format)>,
}

impl Door {
    pub(crate) fn new(room: Room) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(room))))
    }

    /// Puts something else behind the door.
    pub(crate) fn swap(&self, room: Room) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(room);
    }

    /// What is behind it now.
    pub(crate) fn room(&self) -> Room {
        self.enter().as_ref().clone()
    }

    /// The lock is not held while a handler works.
    fn enter(&self) -> Arc<Room> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Handler for Door {
    fn handle(&self, request: &mut Request) -> Response {
        let room = self.enter();
        let Some((recorder, format)) = &room.access else { return room.handler.handle(request) };
        let asked = Asked::new(request);
        let began = Instant::now();
        let answered = catch_unwind(AssertUnwindSafe(|| room.handler.handle(request)));
        // The server answers a panic like this; the line must not be missing for it.
        let failed = Response::empty(StatusCode::INTERNAL_SERVER_ERROR);
        let response = answered.as_ref().unwrap_or(&failed);
        let line = asked.line(*format, response, began.elapsed(), OffsetDateTime::now_utc());
        if let Some(line) = line {
            recorder.put(line);
        }
        answered.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        self.enter().handler.expect_continue(request)
    }

    fn refusal(&self) -> Option<String> {
        self.enter().handler.refusal()
    }

    fn check(&self) -> Result<(), millpond::Error> {
        self.enter().handler.check()
    }
}
