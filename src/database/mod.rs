//! The database under the service: make an ephemeral one or take a given one,
//! prepare it, remember what it holds, and put that back between rounds.
//!
//! Knows neither target files nor what is raced. To add an engine: write its
//! file, and name it in [`open`], [`can_serve`] and [`engine_of`].

mod client;
mod error;
mod key;
mod postgres;
mod sqlite;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::guard::Guard;
use crate::model::Row;
use crate::model::engine::Engine;

pub use client::{Client, Refused};
pub use error::DatabaseError;

/// How the names of temporary folders begin; the guard removes no others.
const FOLDER_PREFIX: &str = "deadheat-";

/// Where the database comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// deadheat makes one, and removes it in the end.
    ThrowAway,
    /// Somebody else's.
    Given {
        /// Its URL.
        url: String,
        /// Whether its owner agrees that it is reset again and again.
        may_reset: bool,
    },
}

/// A row that came or went.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table, with its schema where that is not the usual one.
    pub table: String,
    /// Whether it came.
    pub is_new: bool,
    /// The row, whole.
    pub row: Row,
}

/// A column whose values come from a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Table and column.
    pub column: (String, String),
    /// The table and the column that it takes them from, if it is not its own counter's.
    pub refers_to: Option<(String, String)>,
}

/// How far counters are moved on for one round; no round generates as many ids.
const FAR: i64 = 20_000;

/// How far the counter of this number is moved on for a round: in no two rounds, and for
/// no two counters, to the same region.
fn step(round: i64, counter: usize) -> i64 {
    let apart = 100 + 13 * (round % 7);
    round * FAR + i64::try_from(counter).unwrap_or(0) % 100 * apart
}

/// One database, and deadheat's own connection to it.
#[async_trait]
pub trait Database: Send {
    /// Its engine.
    fn engine(&self) -> Engine;

    /// What the service is given as its URL.
    fn url(&self) -> &str;

    /// The file, where the database is one.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// What it is, in a person's words.
    fn describe(&self) -> String;

    /// Whether it holds no tables at all.
    async fn is_empty(&mut self) -> Result<bool, DatabaseError>;

    /// Runs the statements of a file, as the owner of the database would.
    async fn run_script(&mut self, sql: &str) -> Result<(), DatabaseError>;

    /// Remembers all that the database holds now: each
    /// [`restore`](Database::restore) brings it back.
    async fn take_snapshot(&mut self) -> Result<(), DatabaseError>;

    /// Puts back rows and sequences, and touches only the tables that changed
    /// since; returns their names.
    async fn restore(&mut self) -> Result<Vec<String>, DatabaseError>;

    /// Tables may have been defined anew since the last restore, with the same columns in
    /// the end: the next one also puts back what that has changed without writing a row.
    fn redefined(&mut self) {}

    /// The rows that are there and were not when the snapshot was taken, and those that
    /// were and are not, by table.
    async fn changes(&mut self) -> Result<Vec<Change>, DatabaseError>;

    /// Moves the counters that generate ids on, each by a step of its own, so that a
    /// round which is made again has other ids: the `round`th, counted from 1. The next
    /// restore undoes it. Counters that cannot be moved stay.
    async fn move_counters(&mut self, round: i64) -> Result<(), DatabaseError>;

    /// The columns that counters fill, and those that are declared to refer to one.
    async fn counted_columns(&mut self) -> Result<Vec<Counted>, DatabaseError>;

    /// The rows of a query. With a `key`, every `:key` in the query stands for
    /// that text.
    async fn query(&mut self, sql: &str, key: Option<&str>) -> Result<Vec<Row>, DatabaseError>;

    /// Waits until no one else has been at work in the database for `quiet`
    /// without a break. `Some` says who still was when `limit` had passed.
    async fn settle(
        &mut self,
        quiet: Duration,
        limit: Duration,
    ) -> Result<Option<String>, DatabaseError>;

    /// Whether the server process of a session waits for a lock that another holds.
    /// An engine without such processes answers that none does.
    async fn waits_for_lock(&mut self, _process: i32) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    /// Removes all that deadheat made: the server, the folder, its own schema.
    async fn close(self: Box<Self>) -> Result<(), DatabaseError>;
}

/// Without the rows that came and went the same: they were written, and not changed.
fn without_twins(changes: Vec<Change>) -> Vec<Change> {
    let (mut came, went): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| change.is_new);
    let mut left = Vec::new();
    for gone in went {
        let twin = |new: &Change| new.table == gone.table && new.row == gone.row;
        match came.iter().position(twin) {
            Some(twin) => drop(came.swap_remove(twin)),
            None => left.push(gone),
        }
    }
    left.extend(came);
    left
}

/// Why this machine can serve an engine without being given a database, or why
/// not and what to do.
pub fn can_serve(engine: Engine) -> Result<String, String> {
    match engine {
        Engine::Postgres => postgres::can_serve(),
        Engine::Sqlite => Ok("SQLite is built in".to_owned()),
    }
}

/// The engine that a URL is of.
pub fn engine_of(url: &str) -> Option<Engine> {
    match url.split_once(':')?.0 {
        "postgres" | "postgresql" => Some(Engine::Postgres),
        "sqlite" => Some(Engine::Sqlite),
        _ => None,
    }
}

/// Makes or connects to a database. Touches nothing in a given one.
pub async fn open(
    engine: Engine,
    source: &Source,
    guard: &Guard,
) -> Result<Box<dyn Database>, DatabaseError> {
    if let Source::Given { url, may_reset } = source
        && !may_reset
    {
        return Err(DatabaseError::NotOurs { url: url.clone() });
    }
    Ok(match engine {
        Engine::Postgres => Box::new(postgres::Postgres::open(source, guard).await?),
        Engine::Sqlite => Box::new(sqlite::Sqlite::open(source, guard).await?),
    })
}

/// A temporary folder that goes when this is dropped, and also if deadheat is
/// killed before.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    _tracked: crate::guard::Tracked,
}

impl Folder {
    /// An empty one.
    pub(crate) fn new(guard: &Guard) -> Result<Folder, DatabaseError> {
        let folder = tempfile::Builder::new()
            .prefix(FOLDER_PREFIX)
            .tempdir()
            .map_err(|source| DatabaseError::Folder {
                path: std::env::temp_dir(),
                source,
            })?;
        let tracked = guard.folder(folder.path());
        Ok(Folder {
            folder,
            _tracked: tracked,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A name as SQL of both engines wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
