//! The notes on millpond: each worker with a connection of its own, or all with one behind a lock.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond::http::{
    Handler, IntoResponse, Json, Next, Problem, Request, Response, Router, StatusCode, header,
};
use millpond::{Config, Server};
use rusqlite::Connection;

use super::ServerArgs;
use super::store::{self, NewNote, Note, Page};

#[derive(Clone)]
struct User(String);

pub(super) fn serve(args: &ServerArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    let path = args.db.clone();
    let guarded = Router::new().post("/notes", add).with(guard);
    let router = Router::new()
        .get("/notes", list)
        .get("/notes/{id}", show)
        .merge(guarded)
        .with(timed)
        .with_state(move |_worker| store::open(&path));
    run(args, router)
}

/// All workers share one connection.
pub(super) fn serve_locked(args: &ServerArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    let db = Arc::new(Mutex::new(store::open(&args.db)?));
    let guarded = Router::new().post("/notes", locked(&db, add)).with(guard);
    let router = Router::new()
        .get("/notes", locked(&db, list))
        .get("/notes/{id}", locked(&db, show))
        .merge(guarded)
        .with(timed);
    run(args, router)
}

fn locked<R: IntoResponse + 'static>(
    db: &Arc<Mutex<Connection>>,
    handler: fn(&mut Connection, &mut Request) -> R,
) -> impl Handler + use<R> {
    let db = Arc::clone(db);
    move |request: &mut Request| {
        let mut db = db.lock().unwrap_or_else(PoisonError::into_inner);
        handler(&mut db, request)
    }
}

fn run(args: &ServerArgs, handler: impl Handler) -> Result<(), Box<dyn Error + Send + Sync>> {
    // No request is refused, as the other servers refuse none.
    let mut config = Config::default();
    config.overload.deadline = Duration::from_secs(10);
    let builder = Server::builder().config(config).workers(args.workers).http(handler);
    builder.bind(format!("tcp://{}", args.address())).build()?.run()?;
    Ok(())
}

fn timed(request: &mut Request, next: Next<'_>) -> Response {
    let began = Instant::now();
    let response = next.run(request);
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1e3);
    response.with_header("server-timing", took)
}

fn guard(request: &mut Request, next: Next<'_>) -> Result<Response, StatusCode> {
    let user = request.cookie("session").and_then(store::user);
    request.extensions_mut().insert(User(user.ok_or(StatusCode::UNAUTHORIZED)?));
    Ok(next.run(request))
}

fn list(db: &mut Connection, request: &mut Request) -> Result<Json<Vec<Note>>, Problem> {
    let page: Page = request.query()?;
    Ok(Json(store::list(db, page)?))
}

fn show(db: &mut Connection, request: &mut Request) -> Result<Option<Json<Note>>, Problem> {
    Ok(store::find(db, request.param("id")?)?.map(Json))
}

fn add(db: &mut Connection, request: &mut Request) -> Result<Response, Problem> {
    let new: NewNote = request.json()?;
    let User(owner) = request.extensions().get().cloned().ok_or_else(Problem::not_found)?;
    let note = store::add(db, new, owner)?;
    let location = note.location();
    let response = (StatusCode::CREATED, Json(note)).into_response();
    Ok(response.with_header(header::LOCATION, location))
}
