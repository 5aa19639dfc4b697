//! The notes and their queries, which every server of the scenario shares.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

/// Notes in the database when a measurement begins.
pub(super) const COUNT: usize = 1000;

/// The session that may add notes.
pub(super) const SESSION: &str = "5f2b6c1de8a94b07a3d1c9e0f4728b65";

#[derive(Debug, Serialize)]
pub(super) struct Note {
    id: i64,
    title: String,
    text: String,
    owner: String,
}

impl Note {
    pub(super) fn location(&self) -> String {
        format!("/notes/{}", self.id)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NewNote {
    title: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) q: Option<String>,
    #[serde(default = "ten")]
    pub(super) limit: u32,
    #[serde(default)]
    pub(super) offset: u32,
}

fn ten() -> u32 {
    10
}

/// Makes the database: write-ahead log, and [`COUNT`] notes.
pub(super) fn create(path: &Path) -> rusqlite::Result<()> {
    let mut db = open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL,
             owner TEXT NOT NULL);",
    )?;
    let transaction = db.transaction()?;
    for number in 1..=COUNT {
        let title = format!("note {number}");
        add(&transaction, NewNote { title, text: "25 kg".to_owned() }, "ann".to_owned())?;
    }
    transaction.commit()
}

/// A connection to the database. A commit does not wait for the disk, so that the disk is not what
/// is measured.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(db)
}

/// The user of a session.
pub(super) fn user(session: &str) -> Option<String> {
    (session == SESSION).then(|| "ann".to_owned())
}

pub(super) fn list(db: &Connection, page: Page) -> rusqlite::Result<Vec<Note>> {
    let mut query = db.prepare(
        "SELECT id, title, text, owner FROM notes
         WHERE ?1 IS NULL OR title LIKE '%' || ?1 || '%' ORDER BY id LIMIT ?2 OFFSET ?3",
    )?;
    let notes = query.query_map((page.q, page.limit.min(100), page.offset), note)?;
    notes.collect()
}

pub(super) fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Note>> {
    let query = "SELECT id, title, text, owner FROM notes WHERE id = ?1";
    db.query_row(query, [id], note).optional()
}

pub(super) fn add(db: &Connection, new: NewNote, owner: String) -> rusqlite::Result<Note> {
    let query = "INSERT INTO notes (title, text, owner) VALUES (?1, ?2, ?3)";
    db.execute(query, (&new.title, &new.text, &owner))?;
    Ok(Note { id: db.last_insert_rowid(), title: new.title, text: new.text, owner })
}

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note { id: row.get(0)?, title: row.get(1)?, text: row.get(2)?, owner: row.get(3)? })
}
