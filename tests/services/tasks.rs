//! Tasks that are added and finished, by a service of two versions: the next one keeps
//! what is done in a column of its own, once a migration has made it. Its connections
//! are kept, and so are the statements that they have prepared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, NoTls, Row, Statement};

#[derive(Clone)]
pub struct Settings {
    pub port: u16,
    pub database: String,
    pub is_next: bool,
    /// The mistake that is switched on: `star`, or `own-column`.
    pub bug: String,
}

struct Tasks {
    settings: Settings,
    pool: Mutex<Vec<Kept>>,
}

struct Kept {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Kept {
    async fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        if !self.statements.contains_key(sql) {
            let statement = self.client.prepare(sql).await?;
            self.statements.insert(sql, statement);
        }
        self.client.query(&self.statements[sql], values).await
    }
}

pub async fn serve(settings: Settings) {
    let port = settings.port;
    let tasks = Arc::new(Tasks {
        settings,
        pool: Mutex::default(),
    });
    let routes = axum::Router::new()
        .route("/health", get(|| async {}))
        .route("/tasks", get(list).post(add))
        .route("/tasks/{id}/finish", post(finish))
        .with_state(tasks);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    axum::serve(listener.unwrap(), routes).await.unwrap();
}

impl Tasks {
    async fn take(&self) -> Kept {
        let known = self.pool.lock().unwrap().pop();
        if let Some(kept) = known {
            return kept;
        }
        let connected = tokio_postgres::connect(&self.settings.database, NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        Kept {
            client,
            statements: HashMap::new(),
        }
    }

    /// One that has failed is not used again.
    fn put(&self, kept: Kept, is_fine: bool) {
        if is_fine {
            self.pool.lock().unwrap().push(kept);
        }
    }

    fn has(&self, bug: &str) -> bool {
        self.settings.bug == bug
    }
}

fn failed(error: &Error) -> StatusCode {
    eprintln!("{error:?}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn list(State(tasks): State<Arc<Tasks>>) -> Result<String, StatusCode> {
    let mut kept = tasks.take().await;
    let sql = if tasks.has("star") {
        "SELECT * FROM tasks ORDER BY id"
    } else {
        "SELECT id, status FROM tasks ORDER BY id"
    };
    let rows = kept.query(sql, &[]).await;
    tasks.put(kept, rows.is_ok());
    let rows = rows.map_err(|error| failed(&error))?;
    Ok(rows.len().to_string())
}

async fn add(State(tasks): State<Arc<Tasks>>) -> StatusCode {
    let mut kept = tasks.take().await;
    let added = kept.query("INSERT INTO tasks DEFAULT VALUES", &[]).await;
    tasks.put(kept, added.is_ok());
    added.map_or_else(|error| failed(&error), |_| StatusCode::CREATED)
}

async fn finish(State(tasks): State<Arc<Tasks>>, Path(id): Path<i32>) -> StatusCode {
    let mut kept = tasks.take().await;
    if let Err(error) = kept.query("BEGIN", &[]).await {
        return failed(&error);
    }
    let finished = finished(&tasks, &mut kept, id).await;
    let end = if finished.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = kept.query(end, &[]).await;
    tasks.put(kept, finished.is_ok() && ended.is_ok());
    match finished.and_then(|status| ended.map(|_| status)) {
        Ok(status) => status,
        Err(error) => failed(&error),
    }
}

/// Once, whichever version has finished it.
async fn finished(tasks: &Tasks, kept: &mut Kept, id: i32) -> Result<StatusCode, Error> {
    let lock = "SELECT status FROM tasks WHERE id = $1 FOR UPDATE";
    let Some(task) = kept.query(lock, &[&id]).await?.pop() else {
        return Ok(StatusCode::NOT_FOUND);
    };
    let column = "SELECT FROM information_schema.columns WHERE table_name = 'tasks' AND column_name = 'done'";
    let by_column = tasks.settings.is_next && !kept.query(column, &[]).await?.is_empty();
    let mut is_done = task.get::<_, &str>(0) == "done";
    if by_column {
        let done = "SELECT done FROM tasks WHERE id = $1";
        let done: bool = kept.query(done, &[&id]).await?[0].get(0);
        is_done = done || is_done && !tasks.has("own-column");
    }
    if is_done {
        return Ok(StatusCode::CONFLICT);
    }
    kept.query("INSERT INTO work (task) VALUES ($1)", &[&id])
        .await?;
    if by_column {
        kept.query("UPDATE tasks SET done = true WHERE id = $1", &[&id])
            .await?;
    }
    if !by_column || !tasks.has("own-column") {
        kept.query("UPDATE tasks SET status = 'done' WHERE id = $1", &[&id])
            .await?;
    }
    Ok(StatusCode::OK)
}
