//! Steps are held, told, and let go one by one.

use std::time::SystemTime;

use sqlx::{Connection, Executor, Row};

use super::*;
use TransactionStatus::{Failed, Idle, InTransaction};

#[tokio::test]
async fn a_step_waits_until_it_may_go_and_tells_what_it_is() {
    let mut place = place().await;
    let client = place.client().await;
    let (session, pid) = place.opened().await;
    let own: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(pid, Some(own));
    client
        .batch_execute("CREATE TABLE held (id int8 PRIMARY KEY, name text, at timestamptz, n int4)")
        .await
        .unwrap();
    place.gate.hold(true);
    let sql = "INSERT INTO held VALUES ($1, $2, $3, $4)";
    let inserting = tokio::spawn(async move {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let done = client
            .execute(sql, &[&7_i64, &"it's", &at, &None::<i32>])
            .await;
        (client, done)
    });
    let arrived = place.arrived().await;
    assert_eq!((arrived.session, arrived.in_transaction), (session, false));
    let some = |text: &str| Some(text.to_owned());
    let expected = Statement {
        sql: sql.to_owned(),
        parameters: vec![
            some("7"),
            some("it's"),
            some("2001-09-09 01:46:40+00"),
            None,
        ],
    };
    assert_eq!(arrived.statement, expected);
    let direct = place.direct().await;
    let count = "SELECT count(*) FROM held";
    let rows: i64 = direct.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!((rows, inserting.is_finished()), (0, false), "it is held");
    arrived.go.run();
    assert_eq!(place.answered().await, answer(Some(1), Idle));
    let (client, done) = inserting.await.unwrap();
    assert_eq!(done.unwrap(), 1);
    let rows: i64 = direct.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(rows, 1);
    let again =
        tokio::spawn(async move { client.batch_execute("INSERT INTO held VALUES (7)").await });
    let refused = place.step("INSERT INTO held VALUES (7)").await;
    assert_eq!(refused.error.unwrap().code, "23505");
    assert!(again.await.unwrap().is_err());
}

#[tokio::test]
async fn the_order_of_two_sessions_is_decided_at_the_gate() {
    let mut place = place().await;
    place
        .direct()
        .await
        .batch_execute("CREATE TABLE stock (n int); INSERT INTO stock VALUES (0)")
        .await
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(place.client().await);
        place.opened().await;
    }
    place.gate.hold(true);
    let mut working = Vec::new();
    for mut client in sessions {
        working.push(tokio::spawn(async move {
            let work = client.transaction().await.unwrap();
            let n: i32 = work
                .query_one("SELECT n FROM stock", &[])
                .await
                .unwrap()
                .get(0);
            work.execute("UPDATE stock SET n = $1", &[&(n + 1)])
                .await
                .unwrap();
            work.commit().await.unwrap();
            client
        }));
    }
    // Both read before either writes.
    let reads = [place.arrived().await, place.arrived().await];
    let mut writes = Vec::new();
    for read in reads {
        assert!(read.in_transaction && read.statement.sql.starts_with("SELECT"));
        read.go.run();
        assert_eq!(place.answered().await, answer(Some(1), InTransaction));
        let write = place.arrived().await;
        assert_eq!(write.session, read.session);
        assert_eq!(write.statement.parameters, [Some("1".to_owned())]);
        writes.push(write);
    }
    for write in writes {
        assert!(place.gate.unsettled().contains(&write.session));
        write.go.run();
        assert_eq!(place.answered().await, answer(Some(1), InTransaction));
        assert_eq!(place.step("COMMIT").await, answer(None, Idle));
        assert!(!place.gate.unsettled().contains(&write.session));
    }
    assert!(place.gate.unsettled().is_empty());
    let direct = place.direct().await;
    let n: i32 = direct
        .query_one("SELECT n FROM stock", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(n, 1, "one update is lost, as was decided");
}

#[tokio::test]
async fn a_driver_that_has_a_statement_prepared_makes_the_same_steps() {
    let mut place = place().await;
    let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
    let client = place.client().await;
    place.gate.hold(true);
    for _ in 0..10 {
        let work = async {
            let mut work = connection.begin().await.unwrap();
            let row = sqlx::query("SELECT $1::int8 + 1")
                .bind(1_i64)
                .fetch_one(&mut *work)
                .await;
            assert_eq!(row.unwrap().get::<i64, _>(0), 2);
            work.execute("SELECT 'simple'").await.unwrap();
            work.commit().await.unwrap();
        };
        let (steps, ()) = place.steps_of(work).await;
        assert_eq!(steps, ["SELECT $1::int8 + 1", "SELECT 'simple'", "COMMIT"]);
        let (steps, row) = place
            .steps_of(client.query_one("SELECT $1::text", &[&"a"]))
            .await;
        assert_eq!(row.unwrap().get::<_, String>(0), "a");
        assert_eq!(steps, ["SELECT $1::text"]);
    }
}

#[tokio::test]
async fn pipelined_steps_arrive_one_after_the_other() {
    let mut place = place().await;
    let client = place.client().await;
    place.opened().await;
    client
        .batch_execute("CREATE TABLE piped (n int)")
        .await
        .unwrap();
    let sql = "INSERT INTO piped VALUES ($1)";
    let insert = client.prepare(sql).await.unwrap();
    place.gate.hold(true);
    let working = tokio::spawn(async move {
        let numbers = [1, 2, 3];
        let work = numbers.iter().map(|n| client.execute_raw(&insert, [*n]));
        futures_util::future::join_all(work).await
    });
    for n in 1..=3 {
        let arrived = place.arrived().await;
        assert_eq!(arrived.statement.parameters, [Some(n.to_string())]);
        assert!(
            place.events.try_recv().is_err(),
            "the next one waits for this one's answer"
        );
        arrived.go.run();
        assert_eq!(place.answered().await, answer(Some(1), Idle));
    }
    assert!(
        working
            .await
            .unwrap()
            .into_iter()
            .all(|done| done.unwrap() == 1)
    );
}

#[tokio::test]
async fn turning_holding_off_lets_everything_go() {
    let mut place = place().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(place.client().await);
        place.opened().await;
    }
    place.gate.hold(true);
    let run = |client: Client| {
        tokio::spawn(async move {
            client.batch_execute("SELECT 2; SELECT 3").await.unwrap();
            client
        })
    };
    let mut working: Vec<_> = clients.into_iter().map(run).collect();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(place.arrived().await);
    }
    assert!(working.iter().all(|work| !work.is_finished()));
    // Off and on again is off for what was held at that moment.
    place.gate.hold(false);
    place.gate.hold(true);
    for _ in 0..3 {
        assert_eq!(place.answered().await, answer(Some(2), Idle));
    }
    for arrived in held {
        arrived.go.run();
    }
    let client = working.pop().unwrap().await.unwrap();
    let work = tokio::spawn(async move { client.batch_execute("SELECT 2").await });
    drop(place.arrived().await.go);
    assert_eq!(
        place.answered().await,
        answer(Some(1), Idle),
        "one that is dropped goes"
    );
    work.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_commit_that_fails_is_told_with_its_reason() {
    let mut place = place().await;
    let client = place.client().await;
    place.opened().await;
    let schema = "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
                  INSERT INTO late VALUES (1)";
    client.batch_execute(schema).await.unwrap();
    place.gate.hold(true);
    let work = tokio::spawn(async move {
        client.batch_execute("BEGIN").await.unwrap();
        client
            .execute("INSERT INTO late VALUES (1)", &[])
            .await
            .unwrap();
        let committed = client.batch_execute("COMMIT").await;
        client.batch_execute("BEGIN").await.unwrap();
        assert!(client.execute("SELECT 1/0", &[]).await.is_err());
        client.batch_execute("ROLLBACK").await.unwrap();
        committed
    });
    assert_eq!(
        place.step("INSERT INTO late VALUES (1)").await.status,
        InTransaction
    );
    let committed = place.step("COMMIT").await;
    assert_eq!(
        (committed.error.unwrap().code, committed.status),
        ("23505".to_owned(), Idle)
    );
    let divided = place.step("SELECT 1/0").await;
    assert_eq!(
        (divided.error.unwrap().code, divided.status),
        ("22012".to_owned(), Failed)
    );
    assert_eq!(place.step("ROLLBACK").await, answer(None, Idle));
    assert!(work.await.unwrap().is_err());
}
