//! SQLite.
//!
//! The journal mode is the service's choice, as in production. Sees writers
//! alone: a service that never ends a transaction in which it only reads is
//! not noticed.

mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Column, ConnectOptions, Connection, Executor, Row as _, TypeInfo, ValueRef};

use crate::database::key::with_key;
use crate::database::{
    Change, Counted, Database, DatabaseError, Folder, Source, quoted, step, without_twins,
};
use crate::guard::Guard;
use crate::model::Row;
use crate::model::engine::Engine;

use table::{Table, tables};

/// The attached file with the copies.
const COPIES: &str = "deadheat_snapshot";

/// How long deadheat waits for a writer of the service.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between two looks at whether somebody writes.
const PAUSE: Duration = Duration::from_millis(1);

/// Columns that stand for the row's number, which SQLite gives.
const COUNTED: &str = "
    SELECT l.name, c.name FROM pragma_table_list l JOIN pragma_table_xinfo(l.name) c
    WHERE l.schema = 'main' AND l.type = 'table' AND l.wr = 0
      AND c.pk = 1 AND upper(c.type) = 'INTEGER'
      AND (SELECT count(*) FROM pragma_table_xinfo(l.name) k WHERE k.pk > 0) = 1
    ORDER BY 1, 2";

#[derive(Clone, Debug)]
struct Snapshot {
    tables: Vec<Table>,
    /// Changes with every table that comes or goes.
    schema_version: i64,
}

/// Tables with a counter that never goes back.
const AUTOINCREMENT: &str = "
    SELECT name FROM main.sqlite_master
    WHERE type = 'table' AND upper(sql) LIKE '%AUTOINCREMENT%' ORDER BY name";

/// Columns that are declared to refer to another table's.
const REFERRING: &str = "
    SELECT l.name, f.\"from\", f.\"table\", f.\"to\"
    FROM pragma_table_list l JOIN pragma_foreign_key_list(l.name) f
    WHERE l.schema = 'main' AND l.type = 'table' ORDER BY 1, 2";

/// An SQLite database, and deadheat's own connection to it.
pub(super) struct Sqlite {
    connection: SqliteConnection,
    url: String,
    path: PathBuf,
    description: String,
    snapshot: Option<Snapshot>,
    /// What SQLite told of others' writes when all was last put right.
    data_version: Option<i64>,
    /// Holds the copies, and the database itself unless it was given.
    folder: Folder,
}

impl Sqlite {
    /// Makes a file, or opens a given one.
    pub(super) async fn open(source: &Source, guard: &Guard) -> Result<Self, DatabaseError> {
        let folder = Folder::new(guard)?;
        let (url, whose) = match source {
            Source::ThrowAway => {
                let path = folder.path().join("target.db");
                let url = format!("sqlite://{}?mode=rwc", path.display());
                (url, "a throw-away file")
            }
            Source::Given { url, .. } => (url.clone(), "as given"),
        };
        let options: SqliteConnectOptions = url.parse().map_err(|source| DatabaseError::Url {
            url: url.clone(),
            source,
        })?;
        let path = options.get_filename().to_owned();
        // Foreign keys must not stop deadheat from emptying one table before
        // another; what it puts back satisfies them.
        let mut connection = options
            .foreign_keys(false)
            .busy_timeout(BUSY_TIMEOUT)
            .connect()
            .await
            .map_err(|source| DatabaseError::Connect {
                url: url.clone(),
                source,
            })?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut connection)
            .await
            .map_err(|source| failed("asked for the version", source))?;
        Ok(Sqlite {
            connection,
            url,
            path,
            description: format!("SQLite {version}, {whose}"),
            snapshot: None,
            data_version: None,
            folder,
        })
    }

    async fn pragma(&mut self, name: &str) -> Result<i64, DatabaseError> {
        sqlx::query_scalar(&format!("PRAGMA main.{name}"))
            .fetch_one(&mut self.connection)
            .await
            .map_err(|source| failed("asked what has changed", source))
    }

    async fn copy_all(&mut self) -> Result<Snapshot, sqlx::Error> {
        let connection = &mut self.connection;
        let copies = self.folder.path().join("copies.db");
        if self.snapshot.is_some() {
            connection
                .execute(format!("DETACH {COPIES}").as_str())
                .await?;
            let _ = std::fs::remove_file(&copies);
        }
        let path = copies.display().to_string().replace('\'', "''");
        connection
            .execute(format!("ATTACH '{path}' AS {COPIES}").as_str())
            .await?;
        let mut tables = tables(connection).await?;
        for (number, table) in tables.iter_mut().enumerate() {
            let copy = format!("{COPIES}.t{number}");
            // Positions alone count, and two columns may differ in case only.
            let columns: Vec<String> = table
                .columns
                .iter()
                .enumerate()
                .map(|(position, column)| format!("{column} AS c{position}"))
                .collect();
            let (columns, name) = (columns.join(", "), quoted(&table.name));
            let sql = format!("CREATE TABLE {copy} AS SELECT {columns} FROM main.{name}");
            connection.execute(sql.as_str()).await?;
            table.copy = Some(copy);
        }
        Ok(Snapshot {
            tables,
            schema_version: 0,
        })
    }

    /// Puts back what has changed, within a transaction of the caller's.
    async fn refill(&mut self, snapshot: &Snapshot) -> Result<Vec<String>, sqlx::Error> {
        let mut restored = Vec::new();
        for table in &snapshot.tables {
            let changed: bool = sqlx::query_scalar(&table.changed())
                .fetch_one(&mut self.connection)
                .await?;
            if !changed {
                continue;
            }
            // Triggers would do their work a second time.
            let triggers: Vec<(String, String)> = sqlx::query_as(
                "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
            )
            .bind(&table.name)
            .fetch_all(&mut self.connection)
            .await?;
            for (trigger, _) in &triggers {
                let sql = format!("DROP TRIGGER main.{}", quoted(trigger));
                self.connection.execute(sql.as_str()).await?;
            }
            let name = quoted(&table.name);
            let sql = format!("DELETE FROM main.{name}");
            sqlx::query(&sql).execute(&mut self.connection).await?;
            if let Some(copy) = &table.copy {
                let columns = table.columns.join(", ");
                let sql = format!("INSERT INTO main.{name} ({columns}) SELECT * FROM {copy}");
                sqlx::query(&sql).execute(&mut self.connection).await?;
            }
            for (_, sql) in &triggers {
                self.connection.execute(sql.as_str()).await?;
            }
            restored.push(table.name.clone());
        }
        Ok(restored)
    }

    /// Takes in tables that came since, as empty ones.
    async fn follow_changes(&mut self, snapshot: &mut Snapshot) -> Result<(), DatabaseError> {
        let now = self.pragma("schema_version").await?;
        if now == snapshot.schema_version {
            return Ok(());
        }
        let mut listed = tables(&mut self.connection)
            .await
            .map_err(|source| failed("listed the tables", source))?;
        let known = |name: &str| snapshot.tables.iter().find(|table| table.name == name);
        for table in &mut listed {
            table.copy = known(&table.name).and_then(|known| known.copy.clone());
        }
        let gone: Vec<String> = snapshot
            .tables
            .iter()
            .filter(|known| listed.iter().all(|table| table.name != known.name))
            .map(|table| table.name.clone())
            .collect();
        if !gone.is_empty() {
            return Err(DatabaseError::TablesGone { tables: gone });
        }
        *snapshot = Snapshot {
            tables: listed,
            schema_version: now,
        };
        Ok(())
    }

    async fn run(&mut self, sql: &'static str, doing: &'static str) -> Result<(), DatabaseError> {
        let ran = self.connection.execute(sql).await;
        ran.map(drop).map_err(|source| failed(doing, source))
    }
}

fn failed(doing: &'static str, source: sqlx::Error) -> DatabaseError {
    DatabaseError::Failed {
        doing,
        source,
        log: String::new(),
    }
}

/// An error of the user's statement, or of the environment: the file is busy,
/// full, not readable, not writable, or no database.
fn of_sql(source: sqlx::Error) -> DatabaseError {
    const ENVIRONMENT: [i64; 8] = [5, 6, 8, 10, 11, 13, 14, 26];
    match &source {
        sqlx::Error::Database(error) => {
            let code: i64 = error
                .code()
                .and_then(|c| c.parse().ok())
                .unwrap_or_default();
            if ENVIRONMENT.contains(&(code & 0xff)) {
                return failed("ran a query", source);
            }
            DatabaseError::Sql {
                message: error.message().to_owned(),
            }
        }
        _ => failed("ran a query", source),
    }
}

/// A row by its values' own types: a column of SQLite has none.
fn json(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let mut object = Row::new();
    for (position, column) in row.columns().iter().enumerate() {
        let kind = row.try_get_raw(position)?.type_info().name().to_owned();
        let value = match kind.as_str() {
            "NULL" => serde_json::Value::Null,
            "INTEGER" => row.try_get_unchecked::<i64, _>(position)?.into(),
            "REAL" => row.try_get_unchecked::<f64, _>(position)?.into(),
            "BLOB" => hex::encode(row.try_get_unchecked::<Vec<u8>, _>(position)?).into(),
            _ => row.try_get_unchecked::<String, _>(position)?.into(),
        };
        object.insert(column.name().to_owned(), value);
    }
    Ok(object)
}

#[async_trait]
impl Database for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        let tables = tables(&mut self.connection).await;
        let tables = tables.map_err(|source| failed("listed the tables", source))?;
        Ok(tables.is_empty())
    }

    async fn run_script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let ran = self.connection.execute(sql).await;
        ran.map(drop).map_err(of_sql)
    }

    async fn take_snapshot(&mut self) -> Result<(), DatabaseError> {
        let copied = self.copy_all().await;
        let mut snapshot = copied.map_err(|source| failed("copied what it holds", source))?;
        snapshot.schema_version = self.pragma("schema_version").await?;
        self.snapshot = Some(snapshot);
        self.data_version = None;
        Ok(())
    }

    async fn restore(&mut self) -> Result<Vec<String>, DatabaseError> {
        const DOING: &str = "put back what it held";
        let Some(mut snapshot) = self.snapshot.clone() else {
            return Ok(Vec::new());
        };
        let data_version = self.pragma("data_version").await?;
        if self.data_version == Some(data_version) {
            return Ok(Vec::new());
        }
        self.run("BEGIN IMMEDIATE", DOING).await?;
        let followed = self.follow_changes(&mut snapshot).await;
        let refilled = match followed {
            Ok(()) => {
                let refilled = self.refill(&snapshot).await;
                refilled.map_err(|source| failed(DOING, source))
            }
            Err(error) => Err(error),
        };
        if refilled.is_err() {
            self.run("ROLLBACK", DOING).await?;
            return refilled;
        }
        // Asked while nobody else can write. Putting triggers back has counted
        // the schema's version up; deadheat's own writes leave the other alone.
        snapshot.schema_version = self.pragma("schema_version").await?;
        let data_version = self.pragma("data_version").await?;
        self.run("COMMIT", DOING).await?;
        self.snapshot = Some(snapshot);
        self.data_version = Some(data_version);
        refilled
    }

    async fn changes(&mut self) -> Result<Vec<Change>, DatabaseError> {
        const DOING: &str = "looked at what has changed";
        let Some(mut snapshot) = self.snapshot.clone() else {
            return Ok(Vec::new());
        };
        let data_version = self.pragma("data_version").await?;
        if self.data_version == Some(data_version) {
            return Ok(Vec::new());
        }
        self.follow_changes(&mut snapshot).await?;
        let mut changes = Vec::new();
        let of_users = |table: &&Table| table.name != "sqlite_sequence";
        for table in snapshot.tables.iter().filter(of_users) {
            for (sql, is_new) in table.differs() {
                let rows = sqlx::query(&sql).fetch_all(&mut self.connection).await;
                for row in rows.map_err(|source| failed(DOING, source))? {
                    let row = json(&row).map_err(|source| failed(DOING, source))?;
                    changes.push(Change {
                        table: table.name.clone(),
                        is_new,
                        row: table.named(row),
                    });
                }
            }
        }
        self.snapshot = Some(snapshot);
        Ok(without_twins(changes))
    }

    async fn move_counters(&mut self, round: i64) -> Result<(), DatabaseError> {
        const DOING: &str = "moved the counters";
        let counters: Vec<String> = sqlx::query_scalar(AUTOINCREMENT)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| failed(DOING, source))?;
        for (number, name) in counters.iter().enumerate() {
            // One that has yet to count stands nowhere.
            let first = "INSERT INTO main.sqlite_sequence (name, seq) SELECT ?1, 0 \
                         WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = ?1)";
            let moved = "UPDATE main.sqlite_sequence SET seq = seq + ?2 WHERE name = ?1";
            for sql in [first, moved] {
                sqlx::query(sql)
                    .bind(name)
                    .bind(step(round, number))
                    .execute(&mut self.connection)
                    .await
                    .map_err(|source| failed(DOING, source))?;
            }
        }
        // Its own writes are not told by SQLite, and are to be undone.
        self.data_version = None;
        Ok(())
    }

    async fn counted_columns(&mut self) -> Result<Vec<Counted>, DatabaseError> {
        let failed = |source| failed("listed what counters fill", source);
        let own: Vec<(String, String)> = sqlx::query_as(COUNTED)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed)?;
        let referring: Vec<(String, String, String, Option<String>)> = sqlx::query_as(REFERRING)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed)?;
        let mut counted = Vec::new();
        for (table, column, parent, key) in referring {
            let mut parents = own
                .iter()
                .filter(|(own, _)| own.eq_ignore_ascii_case(&parent));
            // Without a column, the parent's primary key is meant.
            let parent = parents.find(|(_, own)| key.as_ref().is_none_or(|key| key == own));
            counted.extend(parent.map(|parent| Counted {
                column: (table, column),
                refers_to: Some(parent.clone()),
            }));
        }
        counted.extend(own.into_iter().map(|column| Counted {
            column,
            refers_to: None,
        }));
        Ok(counted)
    }

    async fn query(&mut self, sql: &str, key: Option<&str>) -> Result<Vec<Row>, DatabaseError> {
        let with_key = key.map(|key| with_key(sql, key));
        // Each key makes another text: it would push the others out of the cache.
        let query = sqlx::query(with_key.as_deref().unwrap_or(sql)).persistent(key.is_none());
        let rows = query
            .fetch_all(&mut self.connection)
            .await
            .map_err(of_sql)?;
        rows.iter()
            .map(|row| json(row).map_err(|source| failed("read a row", source)))
            .collect()
    }

    async fn settle(
        &mut self,
        quiet: Duration,
        limit: Duration,
    ) -> Result<Option<String>, DatabaseError> {
        const DOING: &str = "looked at who is at work";
        let begun = Instant::now();
        let mut seen = self.pragma("data_version").await?;
        let mut quiet_since = Instant::now();
        loop {
            // Nobody writes while the one writer's lock can be had.
            match self.connection.execute("BEGIN IMMEDIATE").await {
                Ok(_) => self.run("ROLLBACK", DOING).await?,
                Err(source) => match of_sql(source) {
                    DatabaseError::Failed { .. } if begun.elapsed() < limit => {
                        quiet_since = Instant::now();
                    }
                    DatabaseError::Failed { .. } => {
                        return Ok(Some("in a transaction that writes".to_owned()));
                    }
                    other => return Err(other),
                },
            }
            let now = self.pragma("data_version").await?;
            if now != seen {
                (seen, quiet_since) = (now, Instant::now());
            }
            if quiet_since.elapsed() >= quiet {
                return Ok(None);
            }
            if begun.elapsed() >= limit {
                return Ok(Some("writing now and then".to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn close(self: Box<Self>) -> Result<(), DatabaseError> {
        // The folder, and the file in it, go when the rest of it is dropped.
        let Sqlite {
            connection, folder, ..
        } = *self;
        let _ = connection.close().await;
        drop(folder);
        Ok(())
    }
}
