//! The work of `drivers.rs`, with tokio-postgres: statements are prepared and closed
//! again unless they are kept, and what is asked at once goes in one pipeline.

use std::future::poll_fn;
use std::pin::pin;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Notification};

use super::Lines;

async fn connect(url: &str) -> (Client, UnboundedReceiver<Notification>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let (tell, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = tell.send(notification);
            }
        }
    });
    (client, heard)
}

/// The SQLSTATE that some work fails with.
fn state<T>(done: Result<T, Error>) -> String {
    match done {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.code().unwrap().code().to_owned(),
    }
}

async fn balances(db: &Client) -> Vec<i64> {
    let rows = db.query("SELECT balance FROM account ORDER BY id", &[]);
    let rows = rows.await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

pub async fn work(url: String, lines: &mut Lines) {
    lines.tell("version", super::locked("tokio-postgres"));
    let (mut db, mut heard) = connect(&url).await;
    queries(&mut db, lines).await;
    transactions(&mut db, lines).await;
    savepoints(&mut db, lines).await;
    copy(&db, lines).await;
    errors(&mut db, lines).await;
    cancel(&url, &db, lines).await;
    notify(&url, &db, &mut heard, lines).await;
    steps(&mut db, lines).await;
}

async fn queries(db: &mut Client, lines: &mut Lines) {
    for n in 0..8 {
        let sql = "SELECT $1::int + 1, owner FROM account WHERE id = $2";
        let row = db.query_one(sql, &[&n, &(1 + n % 2)]).await.unwrap();
        let told = (row.get::<_, i32>(0), row.get::<_, String>(1));
        lines.tell("queries", format!("{told:?}"));
    }
    let sql = "INSERT INTO note (text, at, raw, tags) VALUES ($1, $2, $3, $4) RETURNING *";
    let insert = db.prepare(sql).await.unwrap();
    let (at, tags) = (SystemTime::UNIX_EPOCH, vec![Some("x"), None]);
    let raw: &[u8] = &[0, 255];
    let row = db
        .query_one(&insert, &[&"naïve ☃", &at, &raw, &tags])
        .await
        .unwrap();
    let at: SystemTime = row.get("at");
    let tags: Vec<Option<String>> = row.get("tags");
    lines.tell("queries", format!("{at:?} {tags:?}"));
    let nothing = (None::<&str>, None::<SystemTime>, None::<&[u8]>);
    let row = db
        .query_one(&insert, &[&nothing.0, &nothing.1, &nothing.2, &tags])
        .await
        .unwrap();
    lines.tell("queries", row.get::<_, i32>("id"));
    let updated = db.execute("UPDATE account SET balance = balance + 0", &[]);
    lines.tell("queries", updated.await.unwrap());
    let long = "x".repeat(1_000_000);
    let row = db.query_one("SELECT $1::text", &[&long]).await.unwrap();
    lines.tell("queries", row.get::<_, String>(0).len());
    let rows = db.query("SELECT generate_series(1, 50000)", &[]);
    lines.tell("queries", rows.await.unwrap().len());
    let simple = db.simple_query("SELECT 1; SELECT 2").await.unwrap();
    lines.tell("queries", format!("{simple:?}"));
    let sql = "SELECT balance FROM account WHERE id = $1";
    let db = &*db;
    let at_once = join_all([1, 2, 1].map(|id| async move {
        let row = db.query_one(sql, &[&id]).await.unwrap();
        row.get::<_, i64>(0)
    }));
    lines.tell("queries", format!("{:?}", at_once.await));
}

async fn transactions(db: &mut Client, lines: &mut Lines) {
    let kept = db.transaction().await.unwrap();
    for (by, id) in [(-10_i64, 1), (10, 2)] {
        let sql = "UPDATE account SET balance = balance + $1 WHERE id = $2";
        kept.execute(sql, &[&by, &id]).await.unwrap();
    }
    kept.commit().await.unwrap();
    lines.tell("transactions", format!("{:?}", balances(db).await));
    let undone = db.transaction().await.unwrap();
    let sql = "UPDATE account SET balance = 0";
    lines.tell("transactions", undone.execute(sql, &[]).await.unwrap());
    undone.rollback().await.unwrap();
    // Dropped, it rolls back as well.
    let dropped = db.transaction().await.unwrap();
    dropped.execute(sql, &[]).await.unwrap();
    drop(dropped);
    let reads = db.build_transaction().read_only(true).start();
    let reads = reads.await.unwrap();
    lines.tell("transactions", state(reads.execute(sql, &[]).await));
    reads.rollback().await.unwrap();
    // A portal that is read in parts.
    let parts = db.transaction().await.unwrap();
    let portal = parts.bind("SELECT generate_series(1, 100)", &[]);
    let portal = portal.await.unwrap();
    for most in [40, 40, 40] {
        let part = parts.query_portal(&portal, most).await.unwrap();
        lines.tell("transactions", part.len());
    }
    parts.commit().await.unwrap();
    lines.tell("transactions", format!("{:?}", balances(db).await));
}

async fn savepoints(db: &mut Client, lines: &mut Lines) {
    let add = "UPDATE account SET balance = balance + 1 WHERE id = $1";
    let mut outer = db.transaction().await.unwrap();
    outer.execute(add, &[&1]).await.unwrap();
    let fails = outer.transaction().await.unwrap();
    fails.execute(add, &[&2]).await.unwrap();
    let twice = fails.execute("INSERT INTO account VALUES (1, 'twice', 0)", &[]);
    lines.tell("savepoints", state(twice.await));
    fails.rollback().await.unwrap();
    let inner = outer.savepoint("inner_one").await.unwrap();
    inner.execute(add, &[&1]).await.unwrap();
    inner.commit().await.unwrap();
    outer.commit().await.unwrap();
    lines.tell("savepoints", format!("{:?}", balances(db).await));
}

async fn copy(db: &Client, lines: &mut Lines) {
    let part = Bytes::from("7\tline ☃\n".repeat(1000));
    let into = db.copy_in("COPY copied FROM STDIN").await.unwrap();
    let mut into = pin!(into);
    for _ in 0..20 {
        into.send(part.clone()).await.unwrap();
    }
    lines.tell("copy", into.as_mut().finish().await.unwrap());
    let out = db.copy_out("COPY copied TO STDOUT").await.unwrap();
    let bytes = out.map(|part| part.unwrap().len());
    let bytes: usize = bytes.collect::<Vec<_>>().await.into_iter().sum();
    lines.tell("copy", bytes);
    let bad = db.copy_in("COPY copied FROM STDIN").await.unwrap();
    let mut bad = pin!(bad);
    bad.send(Bytes::from("no number\tx\n")).await.unwrap();
    lines.tell("copy", state(bad.as_mut().finish().await));
    let given_up = db.copy_in::<_, Bytes>("COPY copied FROM STDIN");
    drop(given_up.await.unwrap());
    let rows = db.query_one("SELECT count(*) FROM copied", &[]);
    lines.tell("copy", rows.await.unwrap().get::<_, i64>(0));
}

async fn errors(db: &mut Client, lines: &mut Lines) {
    let twice = "INSERT INTO account VALUES ($1, 'ada', 0)";
    let prepared = db.prepare(twice).await.unwrap();
    for _ in 0..7 {
        lines.tell("errors", state(db.execute(&prepared, &[&9]).await));
    }
    lines.tell("errors", state(db.execute("SELEC 1", &[]).await));
    lines.tell("errors", state(db.query("SELECT 1 / $1::int", &[&0]).await));
    let failed = db.transaction().await.unwrap();
    lines.tell("errors", state(failed.execute(twice, &[&9]).await));
    lines.tell("errors", state(failed.execute("SELECT 1", &[]).await));
    failed.rollback().await.unwrap();
    // One of a pipeline fails, and those behind it do not.
    let divide = db.prepare("SELECT 1 / ($1::int - 1)").await.unwrap();
    let db = &*db;
    let at_once = [0, 1, 2].map(|n| {
        let divide = &divide;
        async move { state(db.query(divide, &[&n]).await) }
    });
    lines.tell("errors", join_all(at_once).await.join(" "));
}

async fn cancel(url: &str, db: &Client, lines: &mut Lines) {
    let pid: i32 = db
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let (other, _) = connect(url).await;
    let sleep = db.batch_execute("SELECT pg_sleep(60)");
    let cancel = async {
        let sleeps = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
        while other.query(sleeps, &[&pid]).await.unwrap().is_empty() {}
        db.cancel_token().cancel_query(NoTls).await.unwrap();
    };
    let (slept, ()) = futures_util::future::join(sleep, cancel).await;
    lines.tell("cancel", state(slept));
    let there = db.query_one("SELECT 'still there'", &[]).await.unwrap();
    lines.tell("cancel", there.get::<_, String>(0));
}

async fn notify(
    url: &str,
    db: &Client,
    heard: &mut UnboundedReceiver<Notification>,
    lines: &mut Lines,
) {
    db.batch_execute("LISTEN news").await.unwrap();
    let (mut other, _) = connect(url).await;
    other.batch_execute("NOTIFY news, 'first'").await.unwrap();
    let second = other.transaction().await.unwrap();
    let notify = second.execute("SELECT pg_notify('news', $1)", &[&"second"]);
    notify.await.unwrap();
    second.commit().await.unwrap();
    for _ in 0..2 {
        let notification = heard.recv().await.unwrap();
        lines.tell("notify", notification.payload());
    }
    db.batch_execute("UNLISTEN news").await.unwrap();
}

async fn steps(db: &mut Client, lines: &mut Lines) {
    let get = "SELECT text FROM note WHERE id = $1";
    let get = db.prepare(get).await.unwrap();
    for _ in 0..10 {
        db.batch_execute(super::RUN).await.unwrap();
        let mut outer = db.transaction().await.unwrap();
        let stock = "SELECT balance FROM account WHERE id = $1 FOR UPDATE";
        let stock: i64 = outer.query_one(stock, &[&1]).await.unwrap().get(0);
        let put = "UPDATE account SET balance = $1 WHERE id = $2";
        outer.execute(put, &[&stock, &1]).await.unwrap();
        let inner = outer.transaction().await.unwrap();
        let insert = "INSERT INTO note (text) VALUES ($1)";
        inner.execute(insert, &[&"kept"]).await.unwrap();
        inner.commit().await.unwrap();
        outer.commit().await.unwrap();
        let db = &*db;
        let at_once = [1, 2].map(|id| {
            let get = &get;
            async move { db.query_opt(get, &[&id]).await.unwrap() }
        });
        join_all(at_once).await;
        let mood = "SELECT * FROM mood_of WHERE account = $1";
        db.query_one(mood, &[&1]).await.unwrap();
    }
    db.batch_execute(super::RUN).await.unwrap();
    lines.tell("steps", format!("{:?}", balances(db).await));
}
