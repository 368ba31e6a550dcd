//! The service has all of every request but its last byte until the release.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use super::*;
use crate::drive::connect::Connector;
use crate::drive::exchange::Armed;
use crate::drive::writing::Plan;

/// Arms the request, and asserts that the server gets these bytes but the last, and that one only
/// after the release.
async fn held_back(request: &Request, expected: &str) {
    let (listener, url) = listen().await;
    let connector = Connector::new(&url, || unreachable!("it is not https")).unwrap();
    let connection = connector.open().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let message = Message::new(request, &url).unwrap();

    let mut got = vec![0; expected.len() - 1];
    let (armed, read) = tokio::join!(
        Armed::arm(&connector, connection, &message, Plan::AllButOne),
        server.read_exact(&mut got),
    );
    let (mut armed, _) = (armed.unwrap(), read.unwrap());
    assert!(expected.as_bytes()[..got.len()] == got[..], "all but one");
    assert!(is_quiet(&server), "the last byte came before the release");
    assert!(!armed.is_lost());

    assert!(armed.release().unwrap());
    assert_eq!(
        server.read_u8().await.unwrap(),
        expected.as_bytes()[got.len()]
    );
    assert!(is_quiet(&server));
    server.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(answered(&armed.outcome().await.ending).body, "ok");
}

fn is_quiet(server: &TcpStream) -> bool {
    matches!(server.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn with_host(mut request: Request) -> Request {
    request
        .headers
        .push(("host".to_owned(), "shop.test".to_owned()));
    request
}

#[tokio::test]
async fn of_a_request_without_a_body() {
    let expected = "GET /orders?of=me HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    held_back(&with_host(get("/orders?of=me")), expected).await;
    let expected = "POST /pay HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0\r\n\r\n";
    held_back(&with_host(post("/pay", "")), expected).await;
}

#[tokio::test]
async fn of_a_small_body() {
    let expected = "POST /pay HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 9\r\n\r\n{\"sum\":5}";
    held_back(&with_host(post("/pay", r#"{"sum":5}"#)), expected).await;
    let expected = "POST /pay HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 1\r\n\r\nx";
    held_back(&with_host(post("/pay", "x")), expected).await;
}

#[tokio::test]
async fn of_a_body_of_a_megabyte() {
    let body: String = ('a'..='z').cycle().take(1024 * 1024).collect();
    let head = "POST /pay HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 1048576\r\n\r\n";
    held_back(&with_host(post("/pay", &body)), &format!("{head}{body}")).await;
}

#[tokio::test]
async fn a_late_shot_is_on_the_wire_before_the_barrier_too() {
    let (listener, url) = listen().await;
    let mut driver = Driver::new(&[url]).unwrap();
    let late = shot(
        with_host(post("/late", "body")),
        Trigger::Answered { of: 0 },
    );
    let shots = [shot(with_host(get("/early")), Trigger::Barrier), late];
    let race = tokio::spawn(async move { driver.race(&shots, LONG).await.unwrap() });

    let early = "GET /early HTTP/1.1\r\nhost: shop.test\r\n\r\n".len();
    let late = "POST /late HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 4\r\n\r\nbody".len();
    let (mut first, _) = listener.accept().await.unwrap();
    let (mut second, _) = listener.accept().await.unwrap();
    let mut start = [0; 2];
    assert_eq!(first.peek(&mut start).await.unwrap(), 2);
    if &start == b"PO" {
        std::mem::swap(&mut first, &mut second);
    }
    let mut bytes = vec![0; early];
    first.read_exact(&mut bytes).await.unwrap();
    // The first waits for its answer, and the second has come but for its last byte.
    let mut bytes = vec![0; late - 1];
    second.read_exact(&mut bytes).await.unwrap();
    assert!(is_quiet(&second));
    first.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(second.read_u8().await.unwrap(), b'y');
    second.write_all(OK.as_bytes()).await.unwrap();
    let flights = race.await.unwrap();
    assert!(flights[1].released_us >= flights[0].ended_us, "{flights:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_are_in_the_service_at_once() {
    let all_in = Arc::new(tokio::sync::Barrier::new(64));
    let meet = move |body: String| async move {
        // Answered only once every other one is here.
        all_in.wait().await;
        body
    };
    let (listener, url) = listen().await;
    let router = axum::Router::new().route("/meet", axum::routing::post(meet));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut driver = Driver::new(&[url]).unwrap();
    for round in 0..3 {
        let shots: Vec<Shot> = (0..64)
            .map(|n| shot(post("/meet", &format!("{round}/{n}")), Trigger::Barrier))
            .collect();
        let flights = driver.race(&shots, LONG).await.unwrap();
        for (shot, flight) in shots.iter().zip(&flights) {
            assert_eq!(answered(&flight.ending).body, shot.request.body);
            assert!(flight.released_us.is_some() && flight.released_us <= flight.ended_us);
        }
        let first_end = flights.iter().filter_map(|flight| flight.ended_us).min();
        let last_release = flights.iter().filter_map(|flight| flight.released_us).max();
        assert!(
            last_release <= first_end,
            "none can end before the last is released"
        );
    }
}
