//! PostgreSQL.

mod server;
mod snapshot;
mod table;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Row as _};

use crate::database::key::with_key;
use crate::database::{Change, Counted, Database, DatabaseError, Source, step, without_twins};
use crate::guard::Guard;
use crate::model::Row;
use crate::model::engine::Engine;

use server::Server;
use snapshot::Snapshot;

/// deadheat's own schema in the service's database.
const SCHEMA: &str = "deadheat_snapshot";

/// Columns whose values come from a sequence: schema, table, column.
const COUNTED: &str = "
    SELECT n.nspname::text, c.relname::text, a.attname::text
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'deadheat_snapshot')
      AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')
    ORDER BY 1, 2, 3";

/// The advisory lock that a deadheat holds on a given database: `deadheat` in
/// ASCII.
const LOCK: i64 = 0x6465_6164_6865_6174;

/// How long a restore waits for a lock that the service holds.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";

/// Pauses between two looks at who is at work, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// A PostgreSQL database, and deadheat's own connection to it.
pub(super) struct Postgres {
    admin: PgConnection,
    url: String,
    description: String,
    snapshot: Option<Snapshot>,
    /// `None` for a given database.
    server: Option<Server>,
}

/// Why a server can be started here, or why not.
pub(super) fn can_serve() -> Result<String, String> {
    server::binaries()
        .map(|folder| format!("PostgreSQL in {}", folder.display()))
        .ok_or_else(|| "no PostgreSQL is installed (`apt-get install postgresql`)".to_owned())
}

impl Postgres {
    /// Starts a server, or connects to a given one.
    pub(super) async fn open(source: &Source, guard: &Guard) -> Result<Self, DatabaseError> {
        match source {
            Source::ThrowAway => Self::throw_away(guard).await,
            Source::Given { url, .. } => Self::given(url).await,
        }
    }

    async fn throw_away(guard: &Guard) -> Result<Self, DatabaseError> {
        let guard = guard.clone();
        let server = tokio::task::spawn_blocking(move || Server::start(&guard))
            .await
            .map_err(|error| DatabaseError::Server {
                what: "starting PostgreSQL".to_owned(),
                why: error.to_string(),
                log: String::new(),
            })??;
        let mut first = connect(&server.url(server::ADMIN, "postgres")).await?;
        let owner = server::OWNER;
        for sql in [
            format!("CREATE ROLE {owner} LOGIN PASSWORD '{}'", server.password()),
            format!("CREATE DATABASE {} OWNER {owner}", server::DATABASE),
        ] {
            first
                .execute(sql.as_str())
                .await
                .map_err(|source| failed("made a database", source, server.log()))?;
        }
        let _ = first.close().await;
        let admin = connect(&server.url(server::ADMIN, server::DATABASE)).await?;
        let url = server.url(server::OWNER, server::DATABASE);
        let mut postgres = Postgres {
            admin,
            url,
            description: String::new(),
            snapshot: None,
            server: Some(server),
        };
        let version = postgres.prepare_session().await?;
        postgres.description = format!("PostgreSQL {version}, a throw-away server");
        Ok(postgres)
    }

    async fn given(url: &str) -> Result<Self, DatabaseError> {
        let mut postgres = Postgres {
            admin: connect(url).await?,
            url: url.to_owned(),
            description: String::new(),
            snapshot: None,
            server: None,
        };
        let version = postgres.prepare_session().await?;
        postgres.description = format!("PostgreSQL {version}, as given");
        let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut postgres.admin)
            .await
            .map_err(|source| failed("took its lock", source, String::new()))?;
        if free {
            Ok(postgres)
        } else {
            Err(DatabaseError::Taken {
                url: url.to_owned(),
            })
        }
    }

    /// Sets deadheat's own connection up; returns the server's version.
    async fn prepare_session(&mut self) -> Result<String, DatabaseError> {
        let set = self.admin.execute(LOCK_TIMEOUT).await;
        set.map_err(|source| self.failed("set up its connection", source))?;
        let version: Result<String, _> = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut self.admin)
            .await;
        let version = version.map_err(|source| self.failed("asked for the version", source))?;
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    fn failed(&self, doing: &'static str, source: sqlx::Error) -> DatabaseError {
        let log = self.server.as_ref().map(Server::log).unwrap_or_default();
        failed(doing, source, log)
    }

    /// An error of the user's statement, or of the environment.
    fn of_sql(&self, source: sqlx::Error) -> DatabaseError {
        match &source {
            sqlx::Error::Database(error) if !is_environment(error.code().as_deref()) => {
                let mut message = error.message().to_owned();
                if let Some(pg) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                    for more in [pg.detail(), pg.hint()].into_iter().flatten() {
                        let _ = write!(message, " ({more})");
                    }
                }
                DatabaseError::Sql { message }
            }
            _ => self.failed("ran a query", source),
        }
    }

    /// Somebody else who is at work now, if anybody is.
    async fn at_work(&mut self) -> Result<Option<String>, DatabaseError> {
        let somebody: Result<Option<String>, _> = sqlx::query_scalar(
            "SELECT coalesce(state || ', after: ' || left(query, 200), 'beginning or ending') FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend' AND state IS DISTINCT FROM 'idle' LIMIT 1",
        )
        .fetch_optional(&mut self.admin)
        .await;
        somebody.map_err(|source| self.failed("looked at who is at work", source))
    }
}

async fn connect(url: &str) -> Result<PgConnection, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(|source| DatabaseError::Url {
        url: url.to_owned(),
        source,
    })?;
    options
        .application_name("deadheat")
        .connect()
        .await
        .map_err(|source| DatabaseError::Connect {
            url: url.to_owned(),
            source,
        })
}

fn failed(doing: &'static str, source: sqlx::Error, log: String) -> DatabaseError {
    DatabaseError::Failed { doing, source, log }
}

/// Whether an SQLSTATE tells of the server's state rather than of the statement:
/// connections, resources, operator intervention, system and internal errors.
fn is_environment(code: Option<&str>) -> bool {
    let class = code.and_then(|code| code.get(..2)).unwrap_or_default();
    ["08", "53", "57", "58", "XX"].contains(&class)
}

#[async_trait]
impl Database for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        let tables = table::tables(&mut self.admin).await;
        let tables = tables.map_err(|source| self.failed("listed the tables", source))?;
        Ok(tables.is_empty())
    }

    async fn run_script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        // Not on the admin's connection: what a script makes belongs to the
        // owner, and what it sets ends with its session.
        let mut owner = connect(&self.url).await?;
        let ran = owner.execute(sql).await;
        let _ = owner.close().await;
        ran.map(drop).map_err(|source| self.of_sql(source))
    }

    async fn take_snapshot(&mut self) -> Result<(), DatabaseError> {
        let snapshot = Snapshot::take(&mut self.admin).await;
        self.snapshot =
            Some(snapshot.map_err(|source| self.failed("copied what it holds", source))?);
        Ok(())
    }

    async fn restore(&mut self) -> Result<Vec<String>, DatabaseError> {
        let Some(mut snapshot) = self.snapshot.take() else {
            return Ok(Vec::new());
        };
        let restored = snapshot.restore(&mut self.admin).await;
        self.snapshot = Some(snapshot);
        match restored {
            Ok(tables) => Ok(tables),
            Err(snapshot::RestoreError::Gone(tables)) => Err(DatabaseError::TablesGone { tables }),
            Err(snapshot::RestoreError::Sql(source)) => {
                Err(self.failed("put back what it held", source))
            }
        }
    }

    fn redefined(&mut self) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.redefined();
        }
    }

    async fn changes(&mut self) -> Result<Vec<Change>, DatabaseError> {
        const DOING: &str = "looked at what has changed";
        let Some(mut snapshot) = self.snapshot.take() else {
            return Ok(Vec::new());
        };
        let changes = snapshot.changes(&mut self.admin).await;
        self.snapshot = Some(snapshot);
        let changes = match changes {
            Ok(changes) => changes,
            Err(snapshot::RestoreError::Gone(tables)) => {
                return Err(DatabaseError::TablesGone { tables });
            }
            Err(snapshot::RestoreError::Sql(source)) => return Err(self.failed(DOING, source)),
        };
        let changes = changes.into_iter().map(|(table, is_new, row)| {
            let row = serde_json::from_str(&row);
            let row = row.map_err(|error| self.failed(DOING, sqlx::Error::Decode(error.into())))?;
            Ok(Change { table, is_new, row })
        });
        Ok(without_twins(changes.collect::<Result<_, _>>()?))
    }

    async fn move_counters(&mut self, round: i64) -> Result<(), DatabaseError> {
        let Some(snapshot) = self.snapshot.take() else {
            return Ok(());
        };
        let step = |counter| step(round, counter);
        let moved = snapshot.move_counters(&mut self.admin, step).await;
        self.snapshot = Some(snapshot);
        moved.map_err(|source| self.failed("moved the counters", source))
    }

    async fn counted_columns(&mut self) -> Result<Vec<Counted>, DatabaseError> {
        let columns: Vec<(String, String, String)> = sqlx::query_as(COUNTED)
            .fetch_all(&mut self.admin)
            .await
            .map_err(|source| self.failed("listed what counters fill", source))?;
        let columns = columns.into_iter();
        Ok(columns
            .map(|(schema, table, column)| Counted {
                column: (table::label(&schema, &table), column),
                // What refers to a counter's is learned when the counters are moved.
                refers_to: None,
            })
            .collect())
    }

    async fn query(&mut self, sql: &str, key: Option<&str>) -> Result<Vec<Row>, DatabaseError> {
        // The line break ends a comment that the query may close with.
        let wrap = |sql: &str| {
            let sql = sql.trim().trim_end_matches(';');
            format!("SELECT row_to_json(q)::text FROM ({sql}\n) q")
        };
        let rows = match key {
            None => sqlx::query(&wrap(sql)).fetch_all(&mut self.admin).await,
            // Each key makes another text: as a prepared statement it would
            // only push the others out of the cache.
            Some(key) => {
                let sql = wrap(&with_key(sql, key));
                self.admin.fetch_all(sql.as_str()).await
            }
        };
        let rows = rows.map_err(|source| self.of_sql(source))?;
        rows.iter()
            .map(|row| {
                let text: String = row
                    .try_get(0)
                    .map_err(|source| self.failed("read a row", source))?;
                serde_json::from_str(&text)
                    .map_err(|error| self.failed("read a row", sqlx::Error::Decode(error.into())))
            })
            .collect()
    }

    async fn settle(
        &mut self,
        quiet: Duration,
        limit: Duration,
    ) -> Result<Option<String>, DatabaseError> {
        let begun = Instant::now();
        let mut quiet_since: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let at_work = self.at_work().await?;
            if at_work.is_some() {
                quiet_since = None;
            } else if quiet_since.get_or_insert_with(Instant::now).elapsed() >= quiet {
                return Ok(None);
            }
            if begun.elapsed() >= limit {
                return Ok(Some(at_work.unwrap_or_else(|| "now and then".to_owned())));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn waits_for_lock(&mut self, process: i32) -> Result<bool, DatabaseError> {
        let waits = sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0")
            .bind(process)
            .fetch_one(&mut self.admin)
            .await;
        waits.map_err(|source| self.failed("asked who waits for a lock", source))
    }

    async fn close(mut self: Box<Self>) -> Result<(), DatabaseError> {
        if self.server.is_none() && self.snapshot.is_some() {
            let sql = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
            let dropped = self.admin.execute(sql.as_str()).await;
            dropped.map_err(|source| self.failed("removed its copies", source))?;
        }
        let Postgres { admin, server, .. } = *self;
        let _ = admin.close().await;
        if let Some(server) = server {
            // Waits for the server's end, and only then removes its folder.
            let _ = tokio::task::spawn_blocking(move || drop(server)).await;
        }
        Ok(())
    }
}
