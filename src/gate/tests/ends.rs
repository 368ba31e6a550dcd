//! However a session ends, nothing is left held, and the server knows.

use tokio::net::TcpListener;

use super::*;
use TransactionStatus::{Idle, InTransaction};

async fn count(client: &Client, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    client.query_one(sql.as_str(), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_a_client_sent_before_it_hung_up_is_held_and_run_all_the_same() {
    let mut place = place().await;
    let direct = place.direct().await;
    direct
        .batch_execute("CREATE TABLE gone (n int)")
        .await
        .unwrap();
    place.gate.hold(true);
    let insert = "INSERT INTO gone VALUES (1)";
    for (begin, status, left) in [("SELECT 1", Idle, 1), ("BEGIN", InTransaction, 1)] {
        let (client, connection) = connect(&place.url).await;
        let (session, _) = place.opened().await;
        client.batch_execute(begin).await.unwrap();
        let work = tokio::spawn(async move { client.batch_execute(insert).await });
        let arrived = place.arrived().await;
        connection.abort();
        let _ = connection.await;
        assert!(work.await.unwrap().is_err());
        assert_eq!(arrived.statement.sql, insert);
        arrived.go.run();
        assert_eq!(place.answered().await, answer(Some(1), status));
        assert_eq!(place.closed().await, session);
        // The server has rolled back what was not committed.
        assert_eq!(count(&direct, "gone").await, left, "after {begin}");
    }
    assert!(place.gate.unsettled().is_empty());
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_transaction_rolls_back() {
    let mut place = place().await;
    let direct = place.direct().await;
    direct
        .batch_execute("CREATE TABLE half (n int)")
        .await
        .unwrap();
    let (client, connection) = connect(&place.url).await;
    let (session, _) = place.opened().await;
    client
        .batch_execute("BEGIN; INSERT INTO half VALUES (1)")
        .await
        .unwrap();
    assert_eq!(place.gate.unsettled(), [session]);
    connection.abort();
    assert_eq!(place.closed().await, session);
    // No lock is left either.
    direct
        .batch_execute("ALTER TABLE half ADD m int")
        .await
        .unwrap();
    assert_eq!(count(&direct, "half").await, 0);
}

#[tokio::test]
async fn a_server_that_restarts_ends_sessions_and_takes_new_ones() {
    let server = Arc::new(new_server().await);
    let mut place = before(server.url.clone(), Arc::clone(&server)).await;
    let held = place.client().await;
    let (session, _) = place.opened().await;
    let victim = place.client().await;
    let (_, pid) = place.opened().await;
    place.gate.hold(true);
    let work = tokio::spawn(async move { held.batch_execute("SELECT 2").await });
    let arrived = place.arrived().await;
    assert_eq!(arrived.session, session);
    // A server process that dies takes all others with it, and then starts anew.
    let pid = nix::unistd::Pid::from_raw(pid.unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    place.closed().await;
    place.closed().await;
    arrived.go.run();
    assert!(work.await.unwrap().is_err());
    assert!(victim.batch_execute("SELECT 1").await.is_err());
    place.gate.hold(false);
    let again = async {
        loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&place.url, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let client = tokio::time::timeout(WITHIN, again).await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_ended_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().port();
    drop(listener);
    let (tell, mut events) = unbounded_channel();
    let url = format!("postgres://a@127.0.0.1:{nobody}/d");
    let gate = Gate::open(Upstream::parse(&url).unwrap(), matters, tell)
        .await
        .unwrap();
    let connected = tokio_postgres::connect(&gate.url(&url).unwrap(), NoTls).await;
    let error = connected.map(drop).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "08001");
    let place = format!("127.0.0.1:{nobody}");
    assert!(error.message().contains(&place), "{error}");
    drop(gate);
    assert!(
        events.recv().await.is_none(),
        "a session that never was is not told of"
    );
}

#[tokio::test]
async fn a_gate_that_is_dropped_closes_everything() {
    let mut place = place().await;
    let client = place.client().await;
    let (session, _) = place.opened().await;
    place.gate.hold(true);
    let work = tokio::spawn(async move { client.batch_execute("SELECT 2").await });
    let arrived = place.arrived().await;
    let port = place.gate.port();
    drop(place.gate);
    let closed = tokio::time::timeout(WITHIN, place.events.recv())
        .await
        .unwrap();
    assert!(matches!(closed, Some(Event::Closed { session: number }) if number == session));
    assert!(work.await.unwrap().is_err());
    arrived.go.run();
    assert!(place.events.recv().await.is_none());
    assert!(
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
    );
}
