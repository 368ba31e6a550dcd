//! Which connections serve again, and that a stale one never costs a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::drive::connect::{Connector, IDLE_WITHIN, Idle};

/// Makes two calls of which the first has this answer, and tells the connections that they came on.
async fn two_calls(first: Then, limit: Duration) -> (Ending, [usize; 2]) {
    let first = std::sync::Mutex::new(Some(first));
    let mut server = Server::start(move |_, _| {
        let first = first.lock().unwrap().take();
        first.unwrap_or_else(|| Then::Answer(OK.to_owned()))
    })
    .await;
    let mut driver = server.driver();
    let ending = driver.call(0, &get("/1"), limit).await.unwrap();
    let second = driver.call(0, &get("/2"), LONG).await.unwrap();
    assert_eq!(answered(&second).body, "ok");
    let mut on = Vec::new();
    while on.len() < 2 {
        let saw = server.next().await;
        if matches!(saw, Saw::Request { .. }) {
            on.push(saw.connection());
        }
    }
    (ending, [on[0], on[1]])
}

#[tokio::test]
async fn an_idle_connection_serves_again() {
    let (_, on) = two_calls(Then::Answer(OK.to_owned()), LONG).await;
    assert_eq!(on, [0, 0]);
}

#[tokio::test]
async fn one_that_is_to_be_closed_does_not() {
    let close = "HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n";
    let (ending, on) = two_calls(Then::Answer(close.to_owned()), LONG).await;
    assert_eq!((answered(&ending).status, on), (200, [0, 1]));
    let old = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (ending, on) = two_calls(Then::Answer(old.to_owned()), LONG).await;
    assert_eq!((answered(&ending).status, on), (200, [0, 1]));
}

#[tokio::test]
async fn one_that_timed_out_does_not() {
    let (ending, on) = two_calls(Then::Nothing, Duration::from_millis(20)).await;
    assert_eq!((ending, on), (Ending::NoAnswer { within_ms: 20 }, [0, 1]));
}

#[tokio::test]
async fn one_whose_answer_is_too_long_and_was_cut_does_not() {
    for (extra, expected) in [(0, [0, 0]), (1, [0, 1]), (100_000, [0, 1])] {
        let length = MOST_OF_AN_ANSWER + extra;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let long = head + &"x".repeat(length);
        let (ending, on) = two_calls(Then::Answer(long), LONG).await;
        assert_eq!(answered(&ending).body.len(), MOST_OF_AN_ANSWER);
        assert_eq!(on, expected, "{extra} bytes too long");
    }
}

#[tokio::test]
async fn a_request_that_asks_for_the_close_gets_it() {
    let mut server = Server::start(|_, _| Then::Answer(OK.to_owned())).await;
    let mut driver = server.driver();
    let mut request = get("/");
    request
        .headers
        .push(("connection".to_owned(), "close".to_owned()));
    for expected in 0..2 {
        let ending = driver.call(0, &request, LONG).await.unwrap();
        assert_eq!(answered(&ending).body, "ok");
        assert!(
            matches!(server.next().await, Saw::Request { connection, .. } if connection == expected)
        );
        assert!(
            matches!(server.next().await, Saw::End { connection, .. } if connection == expected)
        );
    }
}

#[tokio::test]
async fn one_that_the_service_closed_while_idle_is_replaced() {
    let mut server = Server::start(|_, _| Then::AnswerAndClose(OK)).await;
    let mut driver = server.driver();
    for _ in 0..20 {
        assert_eq!(
            answered(&driver.call(0, &get("/"), LONG).await.unwrap()).body,
            "ok"
        );
        assert!(matches!(server.next().await, Saw::Request { .. }));
        assert!(
            matches!(server.next().await, Saw::End { .. }),
            "closed before the next call"
        );
    }
}

#[tokio::test]
async fn one_that_is_closed_when_armed_is_replaced_and_armed_again() {
    // The service closes the second connection, which is armed and waits for its turn, before it
    // answers on the first.
    let (listener, url) = listen().await;
    let mut driver = Driver::new(&[url]).unwrap();
    let shots = [
        shot(get("/0"), Trigger::Barrier),
        shot(get("/1"), Trigger::Answered { of: 0 }),
    ];
    let race = tokio::spawn(async move { driver.race(&shots, LONG).await.unwrap() });
    let (mut first, _) = listener.accept().await.unwrap();
    let (mut second, _) = listener.accept().await.unwrap();
    let mut start = [0; 6];
    first.peek(&mut start).await.unwrap();
    if &start == b"GET /1" {
        std::mem::swap(&mut first, &mut second);
    }
    drop(second);
    first.write_all(OK.as_bytes()).await.unwrap();
    let (mut third, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        third.read_buf(&mut request).await.unwrap();
    }
    assert!(request.starts_with(b"GET /1 "));
    third.write_all(OK.as_bytes()).await.unwrap();
    let flights = race.await.unwrap();
    assert_eq!(answered(&flights[1].ending).body, "ok");
    assert!(flights[1].released_us >= flights[0].ended_us, "{flights:?}");
}

#[tokio::test]
async fn a_service_that_closes_every_unfinished_request_drops_the_call() {
    let (listener, url) = listen().await;
    let mut driver = Driver::new(&[url]).unwrap();
    let shots = [
        shot(get("/0"), Trigger::Barrier),
        shot(get("/1"), Trigger::Answered { of: 0 }),
    ];
    let race = tokio::spawn(async move { driver.race(&shots, LONG).await.unwrap() });
    let opened_again = AtomicBool::new(false);
    let serve = async {
        let mut kept = Vec::new();
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut start = [0; 6];
            stream.read_exact(&mut start).await.unwrap();
            if &start == b"GET /0" {
                kept.push(stream);
            } else {
                drop(stream);
            }
            if let (1, Some(first)) = (connection, kept.first_mut()) {
                first.write_all(OK.as_bytes()).await.unwrap();
            }
            opened_again.store(connection >= 2, Ordering::Relaxed);
        }
    };
    let flights = tokio::select! {
        flights = race => flights.unwrap(),
        () = serve => unreachable!("it accepts forever"),
    };
    assert_eq!(answered(&flights[0].ending).body, "ok");
    assert!(opened_again.into_inner(), "it was tried once more");
    dropped(&flights[1].ending);
}

#[tokio::test]
async fn one_that_was_idle_for_too_long_is_not_taken() {
    let server = Server::start(|_, _| Then::Nothing).await;
    let connector = Connector::new(&server.url, || unreachable!("it is not https")).unwrap();
    let mut idle = Idle::default();
    idle.keep(Instant::now(), connector.open().await.unwrap());
    assert!(idle.take().is_some());
    let Some(long_ago) = Instant::now().checked_sub(IDLE_WITHIN) else {
        return; // The machine has not been up for a second.
    };
    idle.keep(long_ago, connector.open().await.unwrap());
    assert!(idle.take().is_none());
}
