//! The notes on axum: one connection behind a lock, and every query by `spawn_blocking`.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_extra::extract::cookie::{Cookie, CookieJar};
use rusqlite::Connection;

use super::ServerArgs;
use super::store::{self, NewNote, Note, Page};

/// An error of the program, or the status of an error of the request.
enum Failure {
    Status(StatusCode),
    Other(Box<dyn Error + Send + Sync>),
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status) => status.into_response(),
            Self::Other(error) => {
                eprintln!("{error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[derive(Clone)]
struct Db(Arc<Mutex<Connection>>);

impl Db {
    async fn run<T: Send + 'static>(
        self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let run = move || query(&self.0.lock().expect("no handler panics"));
        Ok(tokio::task::spawn_blocking(run).await??)
    }
}

#[derive(Clone)]
struct User(String);

pub(super) fn serve(args: &ServerArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    let db = Db(Arc::new(Mutex::new(store::open(&args.db)?)));
    let guarded = Router::new().route("/notes", post(add)).layer(middleware::from_fn(guard));
    let router = Router::new()
        .route("/notes", get(list))
        .route("/notes/{id}", get(show))
        .merge(guarded)
        .layer(middleware::from_fn(timed))
        .with_state(db);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.address()).await?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn timed(request: Request, next: Next) -> impl IntoResponse {
    let began = Instant::now();
    let response = next.run(request).await;
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1e3);
    ([("server-timing", took)], response)
}

async fn guard(jar: CookieJar, mut request: Request, next: Next) -> Result<Response, Failure> {
    let user = store::user(jar.get("session").map_or("", Cookie::value));
    let user = user.ok_or(Failure::Status(StatusCode::UNAUTHORIZED))?;
    request.extensions_mut().insert(User(user));
    Ok(next.run(request).await)
}

async fn list(State(db): State<Db>, Query(page): Query<Page>) -> Result<Json<Vec<Note>>, Failure> {
    Ok(Json(db.run(|db| store::list(db, page)).await?))
}

async fn show(State(db): State<Db>, Path(id): Path<i64>) -> Result<Json<Note>, Failure> {
    let note = db.run(move |db| store::find(db, id)).await?;
    note.map(Json).ok_or(Failure::Status(StatusCode::NOT_FOUND))
}

async fn add(
    State(db): State<Db>,
    Extension(User(owner)): Extension<User>,
    Json(new): Json<NewNote>,
) -> Result<impl IntoResponse, Failure> {
    let note = db.run(|db| store::add(db, new, owner)).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, note.location())], Json(note)))
}
