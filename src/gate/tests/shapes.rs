//! The shapes that the protocol has beyond a query and its rows, while steps are
//! held: the steps are the right ones, and nothing gets stuck.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use super::raw::{Raw, bind, execute, flush, message, parse, query, sync};
use super::*;
use TransactionStatus::{Idle, InTransaction};

#[tokio::test]
async fn a_flush_ends_a_step_and_the_sync_behind_it_is_the_commit() {
    let mut place = trusting().await;
    let mut raw = Raw::new(&mut place).await;
    raw.send(&[query("CREATE TABLE flushed (n int)")]).await;
    raw.until(b'Z').await;
    place.gate.hold(true);
    let insert = "INSERT INTO flushed VALUES (1)";
    raw.send(&[parse(insert), message(b'D', b"S\0"), flush()])
        .await;
    assert_eq!(
        raw.until(b'n').await,
        "1tn",
        "nothing is run, so nothing is held"
    );
    raw.send(&[bind(), execute(0), flush()]).await;
    assert_eq!(place.step(insert).await, answer(Some(1), InTransaction));
    assert_eq!(raw.until(b'C').await, "2C");
    raw.send(&[sync()]).await;
    assert_eq!(place.step("COMMIT").await, answer(None, Idle));
    assert_eq!(raw.until(b'Z').await, "Z");
    raw.send(&[sync()]).await;
    assert_eq!(
        raw.until(b'Z').await,
        "Z",
        "a Sync by itself commits nothing"
    );
    // After an error the rest is skipped up to the Sync, which commits nothing.
    raw.send(&[parse("SELECT 1/0"), bind(), execute(0), flush()])
        .await;
    let refused = place.step("SELECT 1/0").await;
    assert_eq!(refused.error.unwrap().code, "22012");
    raw.send(&[parse(insert), bind(), execute(0), flush()])
        .await;
    assert_eq!(place.step(insert).await.rows, None, "it is skipped");
    raw.send(&[sync()]).await;
    assert_eq!(raw.until(b'Z').await, "1EZ");
    // A BEGIN that has no answer of its own yet counts as well.
    let begin = [parse("BEGIN"), bind(), execute(0), flush()];
    raw.send(&begin).await;
    raw.until(b'C').await;
    raw.send(&[parse(insert), bind(), execute(0), flush(), sync()])
        .await;
    assert_eq!(place.step(insert).await, answer(Some(1), InTransaction));
    raw.until(b'Z').await;
    raw.send(&[query("ROLLBACK")]).await;
    assert_eq!(place.step("ROLLBACK").await, answer(None, Idle));
}

#[tokio::test]
async fn a_batch_of_several_executes_is_one_step() {
    let mut place = trusting().await;
    let mut raw = Raw::new(&mut place).await;
    place.gate.hold(true);
    let mut batch = Vec::new();
    for sql in ["SELECT 2", "SELECT 3 UNION SELECT 4"] {
        batch.extend([parse(sql), bind(), execute(0)]);
    }
    batch.push(sync());
    raw.send(&batch).await;
    let all = "SELECT 2; SELECT 3 UNION SELECT 4";
    assert_eq!(place.step(all).await, answer(Some(3), Idle));
    assert_eq!(raw.until(b'Z').await, "12DC12DDCZ");
    raw.send(&[query("SELECT 1; SELECT 2; SELECT 3 WHERE false")])
        .await;
    let sql = "SELECT 1; SELECT 2; SELECT 3 WHERE false";
    assert_eq!(place.step(sql).await, answer(Some(2), Idle));
    assert_eq!(raw.until(b'Z').await, "TDCTDCTCZ");
    raw.send(&[query("")]).await;
    assert_eq!(place.step("").await, answer(None, Idle));
    raw.until(b'Z').await;
    // A function call: pg_backend_pid.
    raw.send(&[message(b'F', &[0, 0, 7, 0xea, 0, 0, 0, 0, 0, 0])])
        .await;
    assert_eq!(place.step("CALL function 2026").await, answer(None, Idle));
    assert_eq!(raw.until(b'Z').await, "VZ");
}

/// What psycopg's pipelines and asyncpg's `executemany` send.
#[tokio::test]
async fn each_statement_of_a_batch_has_its_own_parameters() {
    let mut place = trusting().await;
    let mut raw = Raw::new(&mut place).await;
    raw.send(&[query("CREATE TABLE batched (id int PRIMARY KEY, n int)")])
        .await;
    raw.until(b'Z').await;
    place.gate.hold(true);
    let sql = "UPDATE batched SET n = 0 WHERE id = $1";
    let bound = |id: &[u8; 1]| {
        let value = [&b"\0\0\0\0\0\x01\0\0\0\x01"[..], id, b"\0\0"].concat();
        message(b'B', &value)
    };
    let batch = [parse(sql), bound(b"1"), execute(0), bound(b"2"), execute(0)];
    raw.send(&[&batch[..], &[sync()]].concat()).await;
    let Arrived { statement, go, .. } = place.arrived().await;
    let both = format!("{sql}; UPDATE batched SET n = 0 WHERE id = $2");
    assert_eq!(statement.sql, both);
    let parameters = ["1", "2"].map(|id| Some(id.to_owned()));
    assert_eq!(statement.parameters, parameters);
    go.run();
    assert_eq!(place.answered().await, answer(Some(0), Idle));
}

#[tokio::test]
async fn a_portal_that_is_read_in_pieces_is_a_step_a_piece() {
    let mut place = place().await;
    let mut client = place.client().await;
    place.opened().await;
    place.gate.hold(true);
    let sql = "SELECT generate_series(1, 5)";
    let work = tokio::spawn(async move {
        let work = client.transaction().await.unwrap();
        let portal = work.bind(sql, &[]).await.unwrap();
        let mut sizes = Vec::new();
        for _ in 0..3 {
            sizes.push(work.query_portal(&portal, 2).await.unwrap().len());
        }
        sizes
    });
    assert_eq!(place.step(sql).await, answer(Some(2), InTransaction));
    assert_eq!(place.step(sql).await.rows, Some(2));
    // The tag of the last piece counts what that piece has.
    assert_eq!(place.step(sql).await.rows, Some(1));
    assert_eq!(place.step("ROLLBACK").await, answer(None, Idle));
    assert_eq!(work.await.unwrap(), [2, 2, 1]);
}

#[tokio::test]
async fn copying_in_and_out_is_one_step_each_and_blocks_nothing() {
    let mut place = place().await;
    let client = place.client().await;
    place.opened().await;
    client
        .batch_execute("CREATE TABLE copied (n int, t text)")
        .await
        .unwrap();
    let copied = async |end: &str| {
        let sink = client.copy_in("COPY copied FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        for n in 0..1000 {
            let line = format!("{n}\t{}\n", "x".repeat(500));
            sink.send(Bytes::from(line)).await.unwrap();
        }
        if !end.is_empty() {
            sink.send(Bytes::from(end.to_owned())).await.unwrap();
        }
        let done = sink.finish().await;
        let rows = client.copy_out("COPY copied TO STDOUT").await.unwrap();
        let rows: Vec<_> = rows.collect().await;
        (done.ok(), rows.len())
    };
    assert_eq!(copied("").await, (Some(1000), 1000));
    place.gate.hold(true);
    for (end, done, rows) in [("", Some(1000), 2000), ("none\tx\n", None, 2000)] {
        let (steps, found) = place.steps_of(copied(end)).await;
        assert_eq!(steps, ["COPY copied FROM STDIN", "COPY copied TO STDOUT"]);
        assert_eq!(found, (done, rows));
    }
    // Of its own accord the client gives up.
    let given_up = async {
        let sink = client
            .copy_in::<_, Bytes>("COPY copied FROM STDIN")
            .await
            .unwrap();
        drop(sink);
        client
            .query_one("SELECT 4", &[])
            .await
            .unwrap()
            .get::<_, i32>(0)
    };
    let (steps, four) = place.steps_of(given_up).await;
    assert_eq!((steps.len(), four), (2, 4));
    // Simple queries copy without a Sync.
    drop(client);
    let mut place = trusting().await;
    let mut raw = Raw::new(&mut place).await;
    place.gate.hold(true);
    let sql = "COPY copied FROM STDIN; SELECT 5";
    raw.send(&[
        query(sql),
        message(b'd', b"7\tx\n"),
        message(b'c', b""),
        query("SELECT 6"),
    ])
    .await;
    assert_eq!(place.step(sql).await, answer(Some(2), Idle));
    assert_eq!(place.step("SELECT 6").await, answer(Some(1), Idle));
    assert_eq!(raw.until(b'Z').await, "GCTDCZ");
}

#[tokio::test]
async fn statements_longer_than_what_is_gathered_are_held_and_run_whole() {
    let mut place = place().await;
    let client = place.client().await;
    place.opened().await;
    place.gate.hold(true);
    let long = "x".repeat(3_000_000);
    let sql = format!("SELECT length('{long}')");
    let (steps, done) = place.steps_of(client.simple_query(&sql)).await;
    assert!(done.is_ok() && steps.len() == 1 && sql.starts_with(&steps[0]));
    assert!(steps[0].len() < 300_000, "{} bytes", steps[0].len());
    let sql = "SELECT length($1::text)";
    let work = async {
        let row = client.query_one(sql, &[&long]).await;
        row.unwrap().get::<_, i32>(0)
    };
    let (steps, length) = place.steps_of(work).await;
    assert_eq!((steps, length), (vec![sql.to_owned()], 3_000_000));
    // Many short ones before one Sync are too long together.
    let mut place = trusting().await;
    let mut raw = Raw::new(&mut place).await;
    place.gate.hold(true);
    let mut batch = Vec::new();
    for _ in 0..20_000 {
        batch.extend([parse("SELECT 2"), bind(), execute(0)]);
    }
    batch.push(sync());
    let (mut reading, mut writing) = raw.tcp.split();
    let sending = async {
        tokio::io::AsyncWriteExt::write_all(&mut writing, &batch.concat())
            .await
            .unwrap();
    };
    let receiving = async {
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        // Per execute: 1, 2, D and C; at the end, Z.
        while bytes < 20_000 * (5 + 5 + 12 + 14) + 6 {
            bytes += tokio::io::AsyncReadExt::read(&mut reading, &mut buffer)
                .await
                .unwrap();
        }
        bytes
    };
    let deciding = async {
        place.arrived().await.go.run();
        place.answered().await
    };
    let ((), bytes, answered) = tokio::join!(sending, receiving, deciding);
    assert_eq!(bytes, 20_000 * 36 + 6);
    assert_eq!(answered, answer(Some(20_000), Idle));
    assert!(place.events.try_recv().is_err(), "it was one step");
}
