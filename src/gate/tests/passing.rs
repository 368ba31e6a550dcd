//! What passes, unharmed.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sqlx::{Connection, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::AsyncMessage;

use super::raw::{Raw, message};
use super::*;

#[tokio::test]
async fn drivers_work_as_without_a_gate() {
    let mut place = place().await;
    let mut client = place.client().await;
    place.opened().await;
    client
        .batch_execute("CREATE TABLE plain (id int PRIMARY KEY, t text)")
        .await
        .unwrap();
    let work = client.transaction().await.unwrap();
    work.execute("INSERT INTO plain VALUES ($1, $2)", &[&1, &"one"])
        .await
        .unwrap();
    work.rollback().await.unwrap();
    assert!(
        client
            .query("SELECT * FROM plain", &[])
            .await
            .unwrap()
            .is_empty()
    );
    let error = client
        .query("SELECT * FROM nowhere", &[])
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42P01");
    let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
    for n in 0..3 {
        let insert = sqlx::query("INSERT INTO plain VALUES ($1, 'x')").bind(n);
        insert.execute(&mut connection).await.unwrap();
    }
    let row = sqlx::query("SELECT count(*) FROM plain")
        .fetch_one(&mut connection)
        .await;
    assert_eq!(row.unwrap().get::<i64, _>(0), 3);
    assert!(
        sqlx::PgConnection::connect(&place.url.replace("app:", "app:not"))
            .await
            .is_err()
    );
    connection.close().await.unwrap();
}

#[tokio::test]
async fn two_hundred_sessions_at_once_are_each_their_own() {
    let mut place = trusting().await;
    let clients = join_all((0..200).map(|_| place.client())).await;
    let own = join_all(clients.iter().map(|client| async {
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
        row.unwrap().get::<_, i32>(0)
    }));
    let own: BTreeSet<i32> = own.await.into_iter().collect();
    let (mut numbers, mut pids) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..200 {
        let (number, pid) = place.opened().await;
        numbers.insert(number);
        pids.insert(pid.unwrap());
    }
    assert_eq!((own.len(), numbers.len()), (200, 200));
    assert_eq!(own, pids);
    drop(clients);
    for _ in 0..200 {
        numbers.remove(&place.closed().await);
    }
    assert!(numbers.is_empty() && place.gate.unsettled().is_empty());
}

#[tokio::test]
async fn a_cancel_request_reaches_the_statement_that_runs() {
    let mut place = place().await;
    let client = place.client().await;
    place.opened().await;
    place.gate.hold(true);
    let token = client.cancel_token();
    let sql = "SELECT pg_sleep(1000)";
    let sleeping = tokio::spawn(async move { client.batch_execute(sql).await });
    let arrived = place.arrived().await;
    assert_eq!(arrived.statement.sql, sql);
    arrived.go.run();
    // A cancel that comes before the statement runs finds nothing to cancel.
    let direct = place.direct().await;
    let active = "SELECT 1 FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
    while direct.query(active, &[&sql]).await.unwrap().is_empty() {}
    token.cancel_query(NoTls).await.unwrap();
    assert_eq!(place.answered().await.error.unwrap().code, "57014");
    assert!(sleeping.await.unwrap().is_err());
}

#[tokio::test]
async fn a_statement_of_half_a_minute_runs_to_its_end_and_holds_up_nobody() {
    let mut place = place().await;
    let (slow, quick) = (place.client().await, place.client().await);
    place.opened().await;
    place.opened().await;
    place.gate.hold(true);
    let begun = std::time::Instant::now();
    let run = |client: Client, sql: &'static str| {
        tokio::spawn(async move { (client.batch_execute(sql).await, client) })
    };
    let sleeping = run(slow, "SELECT pg_sleep(30)");
    place.arrived().await.go.run();
    let work = run(quick, "SELECT 2");
    assert_eq!(place.step("SELECT 2").await.rows, Some(1));
    let (done, _quick) = work.await.unwrap();
    done.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "meanwhile");
    let (done, _slow) = sleeping.await.unwrap();
    done.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert!(place.answered().await.error.is_none());
}

#[tokio::test]
async fn notifications_come_at_any_time() {
    let mut place = place().await;
    let (client, mut connection) = tokio_postgres::connect(&place.url, NoTls).await.unwrap();
    place.opened().await;
    let (tell, mut told) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            std::future::poll_fn(|context| connection.poll_message(context)).await
        {
            if let AsyncMessage::Notification(notification) = message {
                tell.send(notification.payload().to_owned()).unwrap();
            }
        }
    });
    place.gate.hold(true);
    client.batch_execute("LISTEN news").await.unwrap();
    let direct = place.direct().await;
    direct.batch_execute("NOTIFY news, 'idle'").await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "idle");
    // While a step is held, too, and before it has an answer.
    let work = tokio::spawn(async move { client.batch_execute("SELECT 2").await });
    let arrived = place.arrived().await;
    direct.batch_execute("NOTIFY news, 'held'").await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "held");
    arrived.go.run();
    assert_eq!(place.answered().await.rows, Some(1));
    work.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_its_own_connection_only() {
    let mut place = trusting().await;
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 100],
        &[0xff; 100],
        b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x2f",
    ];
    for bytes in garbage {
        let mut tcp = TcpStream::connect(("127.0.0.1", place.gate.port()))
            .await
            .unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(WITHIN, tcp.read_to_end(&mut answer)).await;
        // A reset is an end as well.
        let _ = ended.expect("the connection is left open");
        assert!(answer.iter().all(|byte| *byte == b'N'), "{answer:?}");
    }
    let mut raw = Raw::new(&mut place).await;
    let ends = async |mut raw: Raw| {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(WITHIN, raw.tcp.read_to_end(&mut rest))
            .await
            .unwrap();
        rest
    };
    raw.send(&[b"Q\0\0\0\x03oops".to_vec()]).await;
    assert!(ends(raw).await.is_empty());
    place.closed().await;
    // What has a frame is the server's to judge, whatever is in it.
    for broken in [
        message(b'B', b"\0\0\0\x01"),
        message(b'P', b""),
        message(b'E', b""),
    ] {
        let mut raw = Raw::new(&mut place).await;
        place.gate.hold(true);
        raw.send(&[broken, message(b'S', b"")]).await;
        let (_, kinds) = place.steps_of(raw.until(b'Z')).await;
        assert_eq!(kinds, "EZ");
        place.gate.hold(false);
        drop(raw);
        place.closed().await;
    }
    let mut raw = Raw::new(&mut place).await;
    raw.send(&[message(b'?', b"")]).await;
    assert_eq!(ends(raw).await.first(), Some(&b'E'));
    place.closed().await;
    let one = place.client().await.query_one("SELECT 1", &[]).await;
    assert_eq!(
        one.unwrap().get::<_, i32>(0),
        1,
        "others are served as before"
    );
}

#[tokio::test]
async fn a_unix_socket_leads_through_the_gate_too() {
    let mut place = place().await;
    let folder = tempfile::tempdir().unwrap();
    place.gate.open_socket(folder.path()).unwrap();
    let tcp = url::Url::parse(&place.url).unwrap();
    let url = format!(
        "postgres://{}:{}@localhost:{}{}?host={}",
        tcp.username(),
        tcp.password().unwrap_or_default(),
        tcp.port().unwrap(),
        tcp.path(),
        folder.path().display()
    );
    let client = connect(&url).await.0;
    place.gate.hold(true);
    let query = tokio::spawn(async move { client.query_one("SELECT 2", &[]).await });
    place.opened().await;
    place.arrived().await.go.run();
    assert_eq!(query.await.unwrap().unwrap().get::<_, i32>(0), 2);
    let again = place.gate.open_socket(folder.path()).unwrap_err();
    assert!(again.to_string().contains("Unix socket"), "{again}");
}

#[tokio::test]
async fn sessions_are_told_apart_by_the_port_that_they_came_to() {
    let mut place = place().await;
    place.gate.add_port().await.unwrap();
    let urls = place.gate.urls(&place.server.url).unwrap();
    assert_eq!((urls.len(), urls[0] == urls[1]), (2, false));
    let mut clients = Vec::new();
    for (url, port) in urls.iter().zip(place.gate.ports().to_vec()) {
        clients.push(connect(url).await);
        let event = place.events.recv().await;
        assert!(
            matches!(event, Some(Event::Opened { port: told, .. }) if told == port),
            "{event:?}"
        );
    }
}
