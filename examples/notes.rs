//! Notes: a JSON API over SQLite, with sessions, uploads and static files. Each worker has a
//! database connection of its own, so that there is no lock and no pool of connections.
//!
//! ```sh
//! mkdir static; cargo run --example notes
//! curl -i -c jar -d 'user=ann&password=sesame' http://localhost:9720/login
//! curl -i -b jar --json '{"title":"Rye","text":"25 kg"}' http://localhost:9720/notes
//! curl -i -b jar -F photo=@rye.jpg http://localhost:9720/notes/1/files
//! curl 'http://localhost:9720/notes?q=rye&limit=5'
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::LevelFilter;
use millpond::Server;
use millpond::handlers::{Files, FilesOptions};
use millpond::http::cookie::{Cookie, SameSite};
use millpond::http::{
    Handler, Html, IntoResponse, Json, MultipartLimits, Next, Problem, Request, Response, Router,
    StateNext, StatusCode, header,
};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use simplelog::{Config, SimpleLogger};

#[derive(Serialize)]
struct Note {
    id: i64,
    title: String,
    text: String,
    owner: String,
}

#[derive(Deserialize)]
struct NewNote {
    title: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Page {
    q: Option<String>,
    #[serde(default = "ten")]
    limit: u32,
    #[serde(default)]
    offset: u32,
}

fn ten() -> u32 {
    10
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

/// The user of a session, for handlers behind [`guard`].
#[derive(Clone)]
struct User(String);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), BoxError> {
    SimpleLogger::init(LevelFilter::Info, Config::default())?;
    let server = Server::builder()
        .bind("tcp://127.0.0.1:9720")
        .workers(8)
        .http(notes("notes.db".into(), "static".as_ref())?)
        .build()?;
    let (handle, mut signals) = (server.handle(), Signals::new([SIGINT, SIGTERM])?);
    std::thread::spawn(move || {
        signals.forever().next();
        handle.begin_drain(Duration::from_secs(10));
    });
    server.run()?;
    Ok(())
}

fn notes(db: PathBuf, files: &Path) -> Result<impl Handler + use<>, BoxError> {
    Connection::open(&db)?.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, user TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL,
             text TEXT NOT NULL, owner TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS files (note INTEGER NOT NULL, name TEXT NOT NULL,
             data BLOB NOT NULL);",
    )?;
    let guarded = Router::new()
        .post("/notes", add)
        .put("/notes/{id}", change)
        .delete("/notes/{id}", remove)
        .post("/notes/{id}/files", upload)
        .with_stateful(guard);
    Ok(Router::new()
        .get("/", |_: &mut Request| Response::redirect("/static/"))
        .post("/login", login)
        .post("/logout", logout)
        .get("/notes", list)
        .get("/notes/{id}", show)
        .merge(guarded)
        .nest("/static", Files::open(files, FilesOptions::default())?)
        .fallback(lost)
        .with(timed)
        .with_state(move |_worker| Connection::open(&db)))
}

fn timed(req: &mut Request, next: Next<'_>) -> Response {
    let began = Instant::now();
    let response = next.run(req);
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1e3);
    response.with_header("server-timing", took)
}

fn guard(
    db: &mut Connection,
    req: &mut Request,
    next: StateNext<'_, Connection>,
) -> Result<Response, Problem> {
    let query = "SELECT user FROM sessions WHERE id = ?1";
    let user = db.query_row(query, [req.cookie("session")], |row| row.get(0)).optional()?;
    let user = user.ok_or(Problem::new(StatusCode::UNAUTHORIZED))?;
    req.extensions_mut().insert(User(user));
    Ok(next.run(db, req))
}

fn user(req: &Request) -> Result<String, Problem> {
    let User(user) = req.extensions().get().ok_or(Problem::new(StatusCode::UNAUTHORIZED))?;
    Ok(user.clone())
}

fn lost(req: &mut Request) -> (StatusCode, Html<String>) {
    let path = req.uri().path().replace('<', "&lt;");
    (StatusCode::NOT_FOUND, Html(format!("<h1>Not here</h1><p>{path}</p>")))
}

fn login(db: &mut Connection, req: &mut Request) -> Result<Response, Problem> {
    let login: Login = req.form()?;
    if login.password != "sesame" {
        return Err(Problem::new(StatusCode::FORBIDDEN));
    }
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let id = format!("{:032x}", u128::from_ne_bytes(bytes));
    db.execute("INSERT INTO sessions (id, user) VALUES (?1, ?2)", (&id, login.user))?;
    let cookie = Cookie::build(("session", id)).http_only(true).same_site(SameSite::Lax).path("/");
    Ok(Response::redirect("/").with_cookie(cookie))
}

fn logout(db: &mut Connection, req: &mut Request) -> Result<Response, Problem> {
    db.execute("DELETE FROM sessions WHERE id = ?1", [req.cookie("session")])?;
    Ok(Response::redirect("/").without_cookie(Cookie::build("session").path("/")))
}

fn list(db: &mut Connection, req: &mut Request) -> Result<Json<Vec<Note>>, Problem> {
    let page: Page = req.query()?;
    let mut query = db.prepare(
        "SELECT id, title, text, owner FROM notes
         WHERE ?1 IS NULL OR title LIKE '%' || ?1 || '%' ORDER BY id LIMIT ?2 OFFSET ?3",
    )?;
    let notes = query.query_map((page.q, page.limit.min(100), page.offset), note)?;
    Ok(Json(notes.collect::<Result<_, _>>()?))
}

fn note(row: &rusqlite::Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note { id: row.get(0)?, title: row.get(1)?, text: row.get(2)?, owner: row.get(3)? })
}

fn find(db: &Connection, id: i64) -> Result<Note, Problem> {
    let query = "SELECT id, title, text, owner FROM notes WHERE id = ?1";
    db.query_row(query, [id], note).optional()?.ok_or_else(Problem::not_found)
}

fn add(db: &mut Connection, req: &mut Request) -> Result<Response, Problem> {
    let (owner, new): (_, NewNote) = (user(req)?, req.json()?);
    let query = "INSERT INTO notes (title, text, owner) VALUES (?1, ?2, ?3)";
    db.execute(query, (&new.title, &new.text, &owner))?;
    let id = db.last_insert_rowid();
    let note = Json(Note { id, title: new.title, text: new.text, owner });
    let response = (StatusCode::CREATED, note).into_response();
    Ok(response.with_header(header::LOCATION, format!("/notes/{id}")))
}

fn show(db: &mut Connection, req: &mut Request) -> Result<Json<Note>, Problem> {
    Ok(Json(find(db, req.param("id")?)?))
}

fn change(db: &mut Connection, req: &mut Request) -> Result<Json<Note>, Problem> {
    let (id, owner, new): (_, _, NewNote) = (req.param("id")?, user(req)?, req.json()?);
    let query = "UPDATE notes SET title = ?1, text = ?2 WHERE id = ?3 AND owner = ?4";
    match db.execute(query, (new.title, new.text, id, owner))? {
        0 => Err(Problem::not_found()),
        _ => Ok(Json(find(db, id)?)),
    }
}

fn remove(db: &mut Connection, req: &mut Request) -> Result<StatusCode, Problem> {
    let id: i64 = req.param("id")?;
    match db.execute("DELETE FROM notes WHERE id = ?1 AND owner = ?2", (id, user(req)?))? {
        0 => Err(Problem::not_found()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

fn upload(db: &mut Connection, req: &mut Request) -> Result<impl IntoResponse + use<>, Problem> {
    let id = find(db, req.param("id")?)?.id;
    let (mut files, mut stored) = (Vec::new(), Vec::new());
    let mut form = req.multipart(MultipartLimits::default())?;
    while let Some(mut part) = form.next_part()? {
        let Some(name) = part.base_name().map(str::to_owned) else { continue };
        files.push((name, part.read_bytes(1 << 20)?));
    }
    for (name, bytes) in files {
        let query = "INSERT INTO files (note, name, data) VALUES (?1, ?2, ?3)";
        db.execute(query, (id, &name, &bytes))?;
        stored.push(serde_json::json!({ "name": name, "bytes": bytes.len() }));
    }
    Ok((StatusCode::CREATED, Json(stored)))
}

#[cfg(test)]
mod tests {
    use millpond::test::TestRequest;

    use super::*;

    #[test]
    fn a_note_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let app = notes(dir.path().join("notes.db"), dir.path()).unwrap();
        let add = || TestRequest::post("/notes").json(&serde_json::json!({ "title": "Rye" }));
        add().send(&app).assert_status(401);
        let login = TestRequest::post("/login").form(&[("user", "ann"), ("password", "sesame")]);
        let response = login.send(&app);
        let cookie = response.assert_status(303).header("set-cookie").unwrap();
        let session = cookie.split(['=', ';']).nth(1).unwrap();
        let response = add().cookie("session", session).send(&app);
        assert_eq!(response.assert_status(201).header("location"), Some("/notes/1"));
        let note = TestRequest::get("/notes/1").send(&app);
        assert_eq!(note.text(), r#"{"id":1,"title":"Rye","text":"","owner":"ann"}"#);
    }

    #[test]
    fn files_are_served_and_what_is_not_there_is_a_404() {
        let dir = tempfile::tempdir().unwrap();
        let app = notes(dir.path().join("notes.db"), dir.path()).unwrap();
        TestRequest::get("/static/notes.db").send(&app).assert_status(200);
        for path in ["/notes/1", "/notes/x", "/static/none.css", "/nowhere"] {
            TestRequest::get(path).send(&app).assert_status(404);
        }
    }
}
