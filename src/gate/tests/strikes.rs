//! Faults that strike a step: the driver sees what a real one would show it, the
//! server agrees, and both go on to work.

use sqlx::{Connection, Executor};
use tokio_postgres::SimpleQueryMessage;

use super::raw::{Raw, bind, execute, flush, parse, query, sync};
use super::*;
use crate::model::fault::SqlState;
use TransactionStatus::{Failed, Idle, InTransaction};

const INSERT: &str = "INSERT INTO struck VALUES (1)";

fn refuse(state: SqlState, rolls_back: bool) -> Strike {
    Strike::Refuse { state, rolls_back }
}

/// A place with an empty table of this name.
async fn with_table(table: &str) -> (Place, Client) {
    let place = place().await;
    let direct = place.direct().await;
    let schema = format!("CREATE TABLE {table} (n int)");
    direct.batch_execute(&schema).await.unwrap();
    (place, direct)
}

async fn rows(direct: &Client, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    direct.query_one(&count, &[]).await.unwrap().get(0)
}

impl Place {
    /// Strikes the next step, which has to be this one.
    async fn strike(&mut self, sql: &str, strike: Strike) -> u64 {
        let arrived = self.arrived().await;
        assert_eq!(arrived.statement.sql, sql);
        arrived.go.strike(strike);
        arrived.session
    }

    /// The code of the refusal that is told, and where the session then stands.
    async fn refused(&mut self) -> (String, TransactionStatus) {
        let answer = self.answered().await;
        (answer.error.unwrap().code, answer.status)
    }
}

#[tokio::test]
async fn cut_before_nothing_runs_and_the_transaction_is_gone() {
    let (mut place, direct) = with_table("cut_before").await;
    let insert = "INSERT INTO cut_before VALUES (1)";
    place.gate.hold(true);
    for begins in [false, true] {
        let client = place.client().await;
        place.opened().await;
        let working = tokio::spawn(async move {
            if begins {
                client.batch_execute("BEGIN").await.unwrap();
                client.batch_execute(insert).await.unwrap();
            }
            client.execute(insert, &[]).await
        });
        if begins {
            place.step(insert).await;
        }
        let session = place.strike(insert, Strike::CutBefore).await;
        assert_eq!(place.closed().await, session, "and nothing is answered");
        let error = working.await.unwrap().unwrap_err();
        assert!(error.is_closed(), "{error}");
        assert_eq!(rows(&direct, "cut_before").await, 0);
    }
    assert!(place.gate.unsettled().is_empty());
}

#[tokio::test]
async fn cut_after_it_has_run_and_nobody_is_told() {
    let (mut place, direct) = with_table("cut_after").await;
    let insert = "INSERT INTO cut_after VALUES (1)";
    place.gate.hold(true);
    // A commit in doubt, by the simple protocol and by the extended one.
    for (begins, status, left) in [(false, Idle, 1), (true, InTransaction, 1)] {
        let client = place.client().await;
        place.opened().await;
        let working = tokio::spawn(async move {
            if begins {
                client.batch_execute("BEGIN").await.unwrap();
            }
            client.execute(insert, &[]).await
        });
        let session = place.strike(insert, Strike::CutAfter).await;
        assert_eq!(place.answered().await, answer(Some(1), status));
        assert_eq!(place.closed().await, session);
        assert!(working.await.unwrap().unwrap_err().is_closed());
        assert_eq!(rows(&direct, "cut_after").await, left);
    }
    let client = place.client().await;
    place.opened().await;
    let working = tokio::spawn(async move {
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(insert).await.unwrap();
        client.batch_execute("COMMIT").await
    });
    place.step(insert).await;
    place.strike("COMMIT", Strike::CutAfter).await;
    assert_eq!(place.answered().await, answer(None, Idle));
    place.closed().await;
    assert!(working.await.unwrap().unwrap_err().is_closed());
    assert_eq!(rows(&direct, "cut_after").await, 2);
    let copied = place.client().await;
    place.opened().await;
    let copying = tokio::spawn(async move {
        let copy = "COPY cut_after FROM STDIN";
        copied.copy_in::<_, bytes::Bytes>(copy).await.map(drop)
    });
    // It cannot run without its client.
    place
        .strike("COPY cut_after FROM STDIN", Strike::CutAfter)
        .await;
    place.closed().await;
    assert!(copying.await.unwrap().is_err());
}

#[tokio::test]
async fn refused_outside_a_transaction_the_session_goes_on() {
    let (mut place, direct) = with_table("refused").await;
    let insert = "INSERT INTO refused VALUES (1)";
    let client = Arc::new(place.client().await);
    place.opened().await;
    let prepared = client.prepare(insert).await.unwrap();
    place.gate.hold(true);
    for state in SqlState::ALL {
        for simple in [true, false] {
            let (client, prepared) = (Arc::clone(&client), prepared.clone());
            let working = tokio::spawn(async move {
                let refused = if simple {
                    client.batch_execute(insert).await
                } else {
                    client.execute(&prepared, &[]).await.map(drop)
                };
                client.execute(&prepared, &[]).await.unwrap();
                refused
            });
            place.strike(insert, refuse(state, false)).await;
            assert_eq!(place.refused().await, (state.code().to_owned(), Idle));
            assert_eq!(place.step(insert).await, answer(Some(1), Idle));
            let error = working.await.unwrap().unwrap_err();
            let error = error.as_db_error().unwrap();
            assert_eq!(error.code().code(), state.code());
            assert_eq!(error.message(), state.message());
            assert_eq!(error.severity(), "ERROR");
        }
    }
    assert_eq!(rows(&direct, "refused").await, 10, "those that were not");
}

#[tokio::test]
async fn refused_in_a_transaction_it_has_failed_and_a_refused_commit_has_rolled_back() {
    let (mut place, direct) = with_table("refused_within").await;
    let insert = "INSERT INTO refused_within VALUES (1)";
    let late = refuse(SqlState::SerializationFailure, false);
    let commit = refuse(SqlState::DiskFull, true);
    let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
    place.opened().await;
    place.gate.hold(true);
    for prepared in [false, true] {
        let working = tokio::spawn(async move {
            let mut work = connection.begin().await.unwrap();
            work.execute(insert).await.unwrap();
            let refused = if prepared {
                sqlx::query(insert).execute(&mut *work).await
            } else {
                work.execute(insert).await
            };
            let code = |error: sqlx::Error| {
                error
                    .as_database_error()
                    .unwrap()
                    .code()
                    .unwrap()
                    .into_owned()
            };
            let after = work.execute(insert).await.map_err(code);
            work.rollback().await.unwrap();
            let mut work = connection.begin().await.unwrap();
            work.execute(insert).await.unwrap();
            let commit = work.commit().await.map_err(code);
            connection.execute("SELECT 2").await.unwrap();
            (connection, refused.map_err(code), after, commit)
        });
        place.step(insert).await;
        place.strike(insert, late).await;
        assert_eq!(place.refused().await, ("40001".to_owned(), Failed));
        // The server itself refuses all that follows.
        let aborted = place.step(insert).await;
        assert_eq!(aborted.error.unwrap().code, "25P02");
        assert_eq!(place.step("ROLLBACK").await, answer(None, Idle));
        place.step(insert).await;
        place.strike("COMMIT", commit).await;
        assert_eq!(place.refused().await, ("53100".to_owned(), Idle));
        // sqlx takes the transaction for one that is still open.
        assert_eq!(place.step("ROLLBACK").await, answer(None, Idle));
        assert_eq!(place.step("SELECT 2").await, answer(Some(1), Idle));
        let refused;
        let after;
        let commit;
        (connection, refused, after, commit) = working.await.unwrap();
        assert_eq!(refused.unwrap_err(), "40001");
        assert_eq!(after.unwrap_err(), "25P02");
        assert_eq!(commit.unwrap_err(), "53100");
    }
    assert_eq!(rows(&direct, "refused_within").await, 0);
    assert!(place.gate.unsettled().is_empty());
}

#[tokio::test]
async fn a_refused_batch_of_whatever_shape_leaves_both_sides_in_step() {
    let mut place = trusting().await;
    let direct = place.direct().await;
    direct
        .batch_execute("CREATE TABLE struck (n int)")
        .await
        .unwrap();
    let mut raw = Raw::new(&mut place).await;
    place.gate.hold(true);
    let full = refuse(SqlState::DiskFull, false);
    // Up to a Flush, the rest is skipped up to the Sync.
    raw.send(&[parse(INSERT), bind(), execute(0), flush()])
        .await;
    place.strike(INSERT, full).await;
    assert_eq!(raw.until(b'E').await, "E");
    place.answered().await;
    raw.send(&[bind(), execute(0), sync()]).await;
    let skipped = place.arrived().await;
    skipped.go.run();
    assert_eq!(raw.until(b'Z').await, "Z");
    place.answered().await;
    // A commit that is a Sync, of what ran before a Flush.
    raw.send(&[parse(INSERT), bind(), execute(0), flush()])
        .await;
    place.step(INSERT).await;
    assert_eq!(raw.until(b'C').await, "12C");
    raw.send(&[sync()]).await;
    place
        .strike("COMMIT", refuse(SqlState::DiskFull, true))
        .await;
    assert_eq!(raw.until(b'Z').await, "EZ");
    assert_eq!(place.refused().await, ("53100".to_owned(), Idle));
    // A COMMIT in the extended protocol, twice: what was prepared on the way is gone.
    for end in [sync(), flush(), sync()] {
        raw.send(&[query("BEGIN")]).await;
        raw.until(b'Z').await;
        raw.send(&[query(INSERT)]).await;
        place.step(INSERT).await;
        raw.until(b'Z').await;
        raw.send(&[parse("COMMIT"), bind(), execute(0), end.clone()])
            .await;
        place
            .strike("COMMIT", refuse(SqlState::DiskFull, true))
            .await;
        if end == flush() {
            assert_eq!(raw.until(b'E').await, "E");
            assert_eq!(place.answered().await.error.unwrap().code, "53100");
            raw.send(&[sync()]).await;
            assert_eq!(raw.until(b'Z').await, "Z");
        } else {
            assert_eq!(raw.until(b'Z').await, "EZ");
            assert_eq!(place.refused().await, ("53100".to_owned(), Idle));
        }
    }
    // One that is too long to be held together.
    let long = format!(
        "INSERT INTO struck VALUES (length('{}'))",
        "x".repeat(600_000)
    );
    raw.send(&[query(&long)]).await;
    place.arrived().await.go.strike(full);
    assert_eq!(raw.until(b'Z').await, "EZ");
    assert_eq!(place.refused().await, ("53100".to_owned(), Idle));
    raw.send(&[query(&long)]).await;
    place.arrived().await.go.strike(Strike::CutAfter);
    assert_eq!(place.answered().await, answer(Some(1), Idle));
    place.closed().await;
    let kept = direct.simple_query("SELECT n FROM struck").await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(kept, ["600000"]);
}

#[tokio::test]
async fn a_pool_whose_connection_was_cut_takes_another() {
    let (mut place, direct) = with_table("pooled").await;
    let insert = "INSERT INTO pooled VALUES (1)";
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = options.connect(&place.url).await.unwrap();
    place.opened().await;
    place.gate.hold(true);
    for strike in [Strike::CutBefore, Strike::CutAfter] {
        let pool = pool.clone();
        let working = tokio::spawn(async move {
            let cut = sqlx::query(insert).execute(&pool).await;
            sqlx::query(insert).execute(&pool).await.unwrap();
            cut
        });
        place.strike(insert, strike).await;
        loop {
            match place.next().await {
                Event::Arrived { go, .. } => break go.run(),
                Event::Opened { .. }
                | Event::Answered { .. }
                | Event::Closed { .. }
                | Event::Stirred { .. } => {}
            }
        }
        assert!(working.await.unwrap().is_err());
        place.answered().await;
    }
    assert_eq!(rows(&direct, "pooled").await, 3);
}
