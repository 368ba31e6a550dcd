//! The work of `drivers.rs`, with sqlx: every statement has a name on the server, and
//! a transaction that is dropped is rolled back before the next use.

use futures_util::TryStreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgListener, PgPoolCopyExt, PgPoolOptions};
use sqlx::types::Json;
use sqlx::{Connection, Error, Executor, PgConnection, Row};

use super::Lines;

/// The SQLSTATE that some work fails with.
fn state<T>(done: Result<T, Error>) -> String {
    match done {
        Ok(_) => "no error".to_owned(),
        Err(error) => match error.as_database_error().and_then(DatabaseError::code) {
            Some(code) => code.into_owned(),
            None => error.to_string(),
        },
    }
}

async fn balances(db: &mut PgConnection) -> Vec<i64> {
    let all = sqlx::query_scalar("SELECT balance FROM account ORDER BY id");
    all.fetch_all(db).await.unwrap()
}

pub async fn work(url: String, lines: &mut Lines) {
    lines.tell("version", super::locked("sqlx"));
    let mut db = PgConnection::connect(&url).await.unwrap();
    queries(&mut db, lines).await;
    transactions(&mut db, lines).await;
    savepoints(&mut db, lines).await;
    copy(&url, &mut db, lines).await;
    errors(&mut db, lines).await;
    lines.tell("cancel", "- it has no call that cancels a query");
    notify(&url, &mut db, lines).await;
    steps(&url, lines).await;
    db.close().await.unwrap();
}

async fn queries(db: &mut PgConnection, lines: &mut Lines) {
    for n in 0..8 {
        let sql = "SELECT $1::int + 1, owner FROM account WHERE id = $2";
        let row = sqlx::query(sql).bind(n).bind(1 + n % 2);
        let row = row.fetch_one(&mut *db).await.unwrap();
        let told = (row.get::<i32, _>(0), row.get::<String, _>(1));
        lines.tell("queries", format!("{told:?}"));
    }
    let sql = "INSERT INTO note (text, data, raw, tags) VALUES ($1, $2, $3, $4) RETURNING *";
    let row = sqlx::query(sql).bind("naïve ☃").bind(Json(vec![1, 2]));
    let row = row.bind(vec![0_u8, 255]).bind(vec![Some("x"), None]);
    let row = row.fetch_one(&mut *db).await.unwrap();
    let tags: Vec<Option<String>> = row.get("tags");
    lines.tell(
        "queries",
        format!("{:?} {tags:?}", row.get::<Vec<u8>, _>("raw")),
    );
    let row = sqlx::query(sql).bind(None::<&str>).bind(None::<Json<i32>>);
    let row = row.bind(None::<Vec<u8>>).bind(None::<Vec<String>>);
    let row = row.fetch_one(&mut *db).await.unwrap();
    lines.tell("queries", row.get::<i32, _>("id"));
    let updated = db.execute("UPDATE account SET balance = balance + 0").await;
    lines.tell("queries", updated.unwrap().rows_affected());
    let text = sqlx::query_scalar::<_, String>("SELECT $1::text").bind("x".repeat(1_000_000));
    lines.tell("queries", text.fetch_one(&mut *db).await.unwrap().len());
    let rows = sqlx::query_scalar::<_, i32>("SELECT generate_series(1, 50000)").fetch(&mut *db);
    let sum = rows.try_fold(0, |sum, n| async move { Ok(sum + i64::from(n)) });
    lines.tell("queries", sum.await.unwrap());
    let simple = sqlx::raw_sql("SELECT 1; SELECT 2").fetch_all(&mut *db);
    lines.tell("queries", simple.await.unwrap().len());
    // Not kept on the server.
    let once = sqlx::query_scalar::<_, i32>("SELECT $1::int").bind(7);
    let once = once.persistent(false).fetch_one(&mut *db);
    lines.tell("queries", once.await.unwrap());
    let described = db.describe("SELECT * FROM account WHERE id = $1").await;
    lines.tell("queries", format!("{:?}", described.unwrap().parameters()));
}

async fn transactions(db: &mut PgConnection, lines: &mut Lines) {
    let mut kept = db.begin().await.unwrap();
    for (by, id) in [(-10_i64, 1), (10, 2)] {
        let sql = "UPDATE account SET balance = balance + $1 WHERE id = $2";
        let update = sqlx::query(sql).bind(by).bind(id);
        update.execute(&mut *kept).await.unwrap();
    }
    kept.commit().await.unwrap();
    lines.tell("transactions", format!("{:?}", balances(db).await));
    let zero = "UPDATE account SET balance = 0";
    let mut undone = db.begin().await.unwrap();
    undone.execute(zero).await.unwrap();
    undone.rollback().await.unwrap();
    let mut dropped = db.begin().await.unwrap();
    dropped.execute(zero).await.unwrap();
    drop(dropped);
    let serializable = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY";
    let mut reads = db.begin_with(serializable).await.unwrap();
    lines.tell("transactions", state(reads.execute(zero).await));
    drop(reads);
    lines.tell("transactions", format!("{:?}", balances(db).await));
}

async fn savepoints(db: &mut PgConnection, lines: &mut Lines) {
    let add =
        |id: i32| sqlx::query("UPDATE account SET balance = balance + 1 WHERE id = $1").bind(id);
    let mut outer = db.begin().await.unwrap();
    add(1).execute(&mut *outer).await.unwrap();
    let mut fails = outer.begin().await.unwrap();
    add(2).execute(&mut *fails).await.unwrap();
    let twice = fails
        .execute("INSERT INTO account VALUES (1, 'twice', 0)")
        .await;
    lines.tell("savepoints", state(twice));
    fails.rollback().await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    add(1).execute(&mut *inner).await.unwrap();
    inner.commit().await.unwrap();
    outer.commit().await.unwrap();
    lines.tell("savepoints", format!("{:?}", balances(db).await));
}

async fn copy(url: &str, db: &mut PgConnection, lines: &mut Lines) {
    let part = "7\tline ☃\n".repeat(1000);
    let mut into = db.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    for _ in 0..20 {
        into.send(part.as_bytes()).await.unwrap();
    }
    lines.tell("copy", into.finish().await.unwrap());
    let out = db.copy_out_raw("COPY copied TO STDOUT").await.unwrap();
    let bytes = out.try_fold(0, |sum, part| async move { Ok(sum + part.len()) });
    lines.tell("copy", bytes.await.unwrap());
    let mut bad = db.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    bad.send("no number\tx\n".as_bytes()).await.unwrap();
    lines.tell("copy", state(bad.finish().await));
    let given_up = db.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    given_up.abort("given up").await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap();
    let pooled = pool.copy_in_raw("COPY copied FROM STDIN").await.unwrap();
    drop(pooled);
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM copied").fetch_one(&pool);
    lines.tell("copy", rows.await.unwrap());
    pool.close().await;
}

async fn errors(db: &mut PgConnection, lines: &mut Lines) {
    let twice = || sqlx::query("INSERT INTO account VALUES ($1, 'ada', 0)").bind(9);
    for _ in 0..7 {
        lines.tell("errors", state(twice().execute(&mut *db).await));
    }
    lines.tell("errors", state(db.execute("SELEC 1").await));
    let divided = sqlx::query("SELECT 1 / $1::int").bind(0).execute(&mut *db);
    lines.tell("errors", state(divided.await));
    let mut failed = db.begin().await.unwrap();
    lines.tell("errors", state(twice().execute(&mut *failed).await));
    lines.tell("errors", state(failed.execute("SELECT 1").await));
    drop(failed);
    lines.tell("errors", format!("{:?}", balances(db).await));
}

async fn notify(url: &str, db: &mut PgConnection, lines: &mut Lines) {
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("news").await.unwrap();
    db.execute("NOTIFY news, 'first'").await.unwrap();
    let mut second = db.begin().await.unwrap();
    let notify = sqlx::query("SELECT pg_notify('news', $1)").bind("second");
    notify.execute(&mut *second).await.unwrap();
    second.commit().await.unwrap();
    for _ in 0..2 {
        let notification = listener.recv().await.unwrap();
        lines.tell("notify", notification.payload());
    }
    listener.unlisten_all().await.unwrap();
}

async fn steps(url: &str, lines: &mut Lines) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap();
    for _ in 0..10 {
        pool.execute(super::RUN).await.unwrap();
        let mut outer = pool.begin().await.unwrap();
        let stock = "SELECT balance FROM account WHERE id = $1 FOR UPDATE";
        let stock = sqlx::query_scalar::<_, i64>(stock).bind(1);
        let stock = stock.fetch_one(&mut *outer).await.unwrap();
        let put = sqlx::query("UPDATE account SET balance = $1 WHERE id = $2");
        put.bind(stock).bind(1).execute(&mut *outer).await.unwrap();
        let mut inner = outer.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO note (text) VALUES ($1)").bind("kept");
        insert.execute(&mut *inner).await.unwrap();
        inner.commit().await.unwrap();
        outer.commit().await.unwrap();
        let get = sqlx::query("SELECT text FROM note WHERE id = $1").bind(1);
        get.fetch_optional(&pool).await.unwrap();
        let mood = "SELECT * FROM mood_of WHERE account = $1";
        let mood = sqlx::query(mood).bind(1).fetch_one(&pool);
        mood.await.unwrap();
    }
    pool.execute(super::RUN).await.unwrap();
    let mut db = pool.acquire().await.unwrap();
    lines.tell("steps", format!("{:?}", balances(&mut db).await));
}
