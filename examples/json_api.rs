//! A JSON API for a database: blocking queries in plain functions, behind a router and a
//! middleware.
//!
//! ```sh
//! cargo run --example json_api
//! curl -d 'Rye, 25 kg' http://localhost:8888/sacks         # 201, {"id":1,"label":"Rye, 25 kg"}
//! curl http://localhost:8888/sacks                         # all of them
//! curl http://localhost:8888/sacks/1
//! curl -X DELETE http://localhost:8888/sacks/1 -i          # 204
//! curl -X PUT http://localhost:8888/sacks/1 -i             # 405, with the field Allow
//! ```
//!
//! SQLite allows one writer at a time, so that a lock around the only connection costs nothing
//! here. With a database that serves several connections, each worker would have its own.

#![allow(clippy::print_stderr, reason = "a program may print its errors")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use millpond::Server;
use millpond::http::{Handler, HeaderValue, Next, Request, Response, Router, StatusCode, header};
use rusqlite::{Connection, OptionalExtension};

/// The maximum length of a label, in bytes.
const LABEL_MAX: u64 = 1000;

type SackResult = Result<Response, rusqlite::Error>;

#[derive(Clone)]
struct Sacks(Arc<Mutex<Connection>>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Connection::open_in_memory()?;
    database.execute("CREATE TABLE sacks (id INTEGER PRIMARY KEY, label TEXT NOT NULL)", ())?;
    let sacks = Sacks(Arc::new(Mutex::new(database)));
    let router = Router::new()
        .get("/sacks", sacks.handler(Sacks::list))
        .post("/sacks", sacks.handler(Sacks::add))
        .get("/sacks/{id}", sacks.handler(Sacks::show))
        .delete("/sacks/{id}", sacks.handler(Sacks::remove));
    Server::builder().bind("tcp://[::]:8888").http(router.with(timed)).build()?.run()?;
    Ok(())
}

/// Adds a Server-Timing field with the time that the handler took.
fn timed(request: &mut Request, next: Next<'_>) -> Response {
    let began = Instant::now();
    let response = next.run(request);
    let took = format!("handler;dur={:.3}", began.elapsed().as_secs_f64() * 1e3);
    match HeaderValue::try_from(took) {
        Ok(took) => response.with_header("server-timing", took),
        Err(_) => response,
    }
}

impl Sacks {
    /// A handler that calls one of the functions below. A database error is a 500.
    fn handler(
        &self,
        function: fn(&Connection, &mut Request) -> SackResult,
    ) -> impl Handler + use<> {
        let Self(database) = self.clone();
        move |request: &mut Request| {
            let database = database.lock().unwrap_or_else(PoisonError::into_inner);
            function(&database, request).unwrap_or_else(|error| {
                eprintln!("{} {}: {error}", request.method(), request.uri());
                Response::error(StatusCode::INTERNAL_SERVER_ERROR)
            })
        }
    }

    fn list(database: &Connection, _: &mut Request) -> SackResult {
        let mut query = database.prepare("SELECT id, label FROM sacks ORDER BY id")?;
        let sacks = query.query_map((), |row| Ok(sack(row.get(0)?, &row.get::<_, String>(1)?)))?;
        let sacks = sacks.collect::<Result<Vec<_>, _>>()?;
        Ok(Response::json(format!("[{}]\n", sacks.join(","))))
    }

    fn add(database: &Connection, request: &mut Request) -> SackResult {
        let label = match request.body_mut().read_text(LABEL_MAX) {
            Ok(label) => label,
            Err(error) => return Ok(Response::from(error)),
        };
        database.execute("INSERT INTO sacks (label) VALUES (?1)", [&label])?;
        let id = database.last_insert_rowid();
        let location = HeaderValue::try_from(format!("/sacks/{id}"));
        let response = Response::json(sack(id, &label) + "\n").with_status(StatusCode::CREATED);
        Ok(match location {
            Ok(location) => response.with_header(header::LOCATION, location),
            Err(_) => response,
        })
    }

    fn show(database: &Connection, request: &mut Request) -> SackResult {
        let id = request.param_text("id").unwrap_or_default();
        let label = database
            .query_row("SELECT id, label FROM sacks WHERE id = ?1", [id], |row| {
                Ok(sack(row.get(0)?, &row.get::<_, String>(1)?))
            })
            .optional()?;
        Ok(label.map_or(Response::error(StatusCode::NOT_FOUND), |sack| Response::json(sack + "\n")))
    }

    fn remove(database: &Connection, request: &mut Request) -> SackResult {
        let id = request.param_text("id").unwrap_or_default();
        Ok(match database.execute("DELETE FROM sacks WHERE id = ?1", [id])? {
            0 => Response::error(StatusCode::NOT_FOUND),
            _ => Response::empty(StatusCode::NO_CONTENT),
        })
    }
}

/// A sack as JSON. For more than two fields, use a crate.
fn sack(id: i64, label: &str) -> String {
    let mut text = format!("{{\"id\":{id},\"label\":\"");
    for character in label.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\0'..='\x1f' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text + "\"}"
}
