//! The database, whichever of the two it is: all that differs between
//! PostgreSQL and `SQLite` stands here. Queries are written once, with `$1`,
//! `RETURNING` and `ON CONFLICT`, which both understand.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};

use crate::bugs::{Bug, Bugs};
use crate::error::Error;

const CONNECTIONS: u32 = 10;

/// A request that finds no free connection for this long is refused.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);

/// How often a transaction is tried again that the database has broken off.
const RETRIES: usize = 10;

/// Which of the two databases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Postgres,
    Sqlite,
}

/// The pool of connections.
#[derive(Clone, Debug)]
pub struct Db {
    pool: AnyPool,
    engine: Engine,
    /// Whether a transaction is tried again whose connection was lost: a mistake.
    retries_lost: bool,
}

impl Db {
    /// Connects. The driver's defaults for `SQLite` are wanted: foreign keys
    /// are enforced, and a locked database is waited for, up to five seconds.
    pub async fn connect(url: &str, bugs: &Bugs) -> Result<Db, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let engine = if url.starts_with("sqlite:") {
            Engine::Sqlite
        } else {
            Engine::Postgres
        };
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_WITHIN)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if engine == Engine::Sqlite {
                        sqlx::query("PRAGMA synchronous = NORMAL")
                            .execute(connection)
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect(url)
            .await?;
        let db = Db {
            pool,
            engine,
            retries_lost: bugs.has(Bug::RetryLostConnection),
        };
        db.log_ahead().await?;
        Ok(db)
    }

    /// Puts `SQLite` into WAL mode, in which readers and a writer do not block
    /// each other. The file keeps the mode; the first replica to start sets it.
    async fn log_ahead(&self) -> Result<(), sqlx::Error> {
        if self.engine == Engine::Postgres {
            return Ok(());
        }
        let mut attempts = 0;
        loop {
            let set = sqlx::query("PRAGMA journal_mode = WAL")
                .execute(&self.pool)
                .await;
            match set {
                // Two replicas that switch at once do not wait for each other.
                Err(error) if is_transient(&error) && attempts < RETRIES => attempts += 1,
                other => return other.map(|_| ()),
            }
        }
    }

    /// The pool, for statements that stand alone.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// A connection outside of any transaction.
    pub async fn connection(&self) -> Result<PoolConnection<Any>, Error> {
        Ok(self.pool.acquire().await?)
    }

    /// Begins a transaction that writes. One that is dropped before its commit
    /// is rolled back.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        // A transaction of SQLite that reads before it writes fails if another
        // has written meanwhile, unless it took the write lock at its start.
        let begin = match self.engine {
            Engine::Postgres => "BEGIN",
            Engine::Sqlite => "BEGIN IMMEDIATE",
        };
        // A client that hangs up cancels its request, anywhere. sqlx 0.8 leaves a
        // SQLite transaction open, and everybody else locked out, if that hits
        // its BEGIN; a task of its own is not hit.
        let pool = self.pool.clone();
        let task = tokio::spawn(async move { pool.begin_with(begin).await });
        let transaction = task
            .await
            .map_err(|failed| sqlx::Error::Io(std::io::Error::other(failed)))?;
        Ok(transaction?)
    }

    /// Does `work`, a whole transaction, and does it again if the database breaks
    /// it off: a deadlock, a serialization failure, a lock not had in time.
    pub async fn retry<T, F>(&self, work: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let again =
            |error: &sqlx::Error| is_transient(error) || (self.retries_lost && is_lost(error));
        let mut attempts = 0;
        loop {
            match work().await {
                Err(error) if attempts < RETRIES && error.of_database().is_some_and(again) => {
                    attempts += 1;
                }
                done => return done,
            }
        }
    }

    /// Whether an index stands.
    pub async fn has_index(
        &self,
        connection: &mut AnyConnection,
        name: &str,
    ) -> Result<bool, Error> {
        let query = match self.engine {
            Engine::Postgres => "SELECT COUNT(*) FROM pg_indexes WHERE indexname = $1",
            Engine::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = $1",
        };
        let (count,): (i64,) = sqlx::query_as(query)
            .bind(name)
            .fetch_one(connection)
            .await?;
        Ok(count > 0)
    }

    /// Whether products have the column `available`. The answer stands until the end of
    /// the transaction that asks: `PostgreSQL` lets nobody change a table that an open
    /// transaction has read, and looks into its catalogue once it has the table.
    pub async fn has_available(
        &self,
        connection: &mut AnyConnection,
        product_id: i64,
    ) -> Result<bool, Error> {
        let query = match self.engine {
            Engine::Postgres => {
                "SELECT COUNT(*) FROM products p JOIN pg_attribute a ON a.attrelid = p.tableoid
                 WHERE p.id = $1 AND a.attname = 'available' AND NOT a.attisdropped"
            }
            Engine::Sqlite => {
                "SELECT COUNT(*) FROM products p JOIN pragma_table_info('products') a
                 WHERE p.id = $1 AND a.name = 'available'"
            }
        };
        let (count,): (i64,) = sqlx::query_as(query)
            .bind(product_id)
            .fetch_one(connection)
            .await?;
        Ok(count > 0)
    }

    /// What locks the rows of a `SELECT`. `SQLite`'s transactions, as they are
    /// begun here, have no other writer to lock out.
    pub fn for_update(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "FOR UPDATE",
            Engine::Sqlite => "",
        }
    }

    /// What keeps the rows of a `SELECT` as they are, and lets others keep them as well.
    pub fn for_share(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "FOR SHARE",
            Engine::Sqlite => "",
        }
    }

    /// Makes the other replicas that migrate wait for the end of this transaction.
    pub async fn lock_migrations(&self, transaction: &mut AnyConnection) -> Result<(), Error> {
        if self.engine == Engine::Postgres {
            sqlx::query("SELECT 1 FROM pg_advisory_xact_lock(7467)")
                .execute(transaction)
                .await?;
        }
        Ok(())
    }
}

/// Whether the connection was lost, and with it the knowledge of what became of the
/// transaction: it may have been committed.
fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed)
}

/// Whether the database asks for the same transaction once more: it has undone this one.
pub fn is_transient(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    // PostgreSQL: serialization_failure, deadlock_detected, lock_not_available.
    // SQLite: BUSY, BUSY_RECOVERY, BUSY_SNAPSHOT, BUSY_TIMEOUT, LOCKED.
    matches!(
        code.as_deref(),
        Some("40001" | "40P01" | "55P03" | "5" | "261" | "517" | "773" | "6")
    )
}
