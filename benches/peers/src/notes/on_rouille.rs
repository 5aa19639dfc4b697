//! The notes on rouille: a pool of threads, each with a connection of its own.

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rouille::{Request, Response, router};
use rusqlite::Connection;

use super::ServerArgs;
use super::store::{self, NewNote, Page};

thread_local! {
    static DB: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// An error of the program, or the status of an error of the request.
enum Failure {
    Status(u16),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Status(status) => status,
            Failure::Database(error) => {
                eprintln!("{error}");
                500
            }
        };
        Response::text("failed").with_status_code(status)
    }
}

pub(super) fn serve(args: &ServerArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    let path = args.db.clone();
    let server = rouille::Server::new(args.address(), move |request| respond(request, &path))?;
    server.pool_size(args.workers).run();
    Err("rouille stopped".into())
}

fn respond(request: &Request, path: &Path) -> Response {
    let began = Instant::now();
    let response = router!(request,
        (GET) (/notes) => { with_db(path, |db| list(db, request)) },
        (POST) (/notes) => { guarded(request, |user| with_db(path, |db| add(db, request, user))) },
        (GET) (/notes/{id: i64}) => { with_db(path, |db| show(db, id)) },
        _ => Response::empty_404()
    );
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1e3);
    response.with_additional_header("Server-Timing", took)
}

fn with_db(path: &Path, query: impl FnOnce(&Connection) -> Result<Response, Failure>) -> Response {
    DB.with_borrow_mut(|slot| {
        let db = match slot.take().map_or_else(|| store::open(path), Ok) {
            Ok(db) => db,
            Err(error) => return Failure::Database(error).into(),
        };
        query(slot.insert(db)).unwrap_or_else(Response::from)
    })
}

fn guarded(request: &Request, handler: impl FnOnce(String) -> Response) -> Response {
    let session = rouille::input::cookies(request).find(|(name, _)| *name == "session");
    match session.and_then(|(_, id)| store::user(id)) {
        Some(user) => handler(user),
        None => Failure::Status(401).into(),
    }
}

fn list(db: &Connection, request: &Request) -> Result<Response, Failure> {
    let number = |name, default: u32| match request.get_param(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Failure::Status(400)),
    };
    let (limit, offset) = (number("limit", 10)?, number("offset", 0)?);
    let page = Page { q: request.get_param("q"), limit, offset };
    Ok(Response::json(&store::list(db, page)?))
}

fn show(db: &Connection, id: i64) -> Result<Response, Failure> {
    store::find(db, id)?.map(|note| Response::json(&note)).ok_or(Failure::Status(404))
}

fn add(db: &Connection, request: &Request, owner: String) -> Result<Response, Failure> {
    let new: NewNote = rouille::input::json_input(request).map_err(|_| Failure::Status(400))?;
    let note = store::add(db, new, owner)?;
    let response = Response::json(&note).with_status_code(201);
    Ok(response.with_additional_header("Location", note.location()))
}
