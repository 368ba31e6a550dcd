//! Every way in which a call can end.

use super::*;

/// One shot, and how it flew.
async fn fly(server: &Server, shot: Shot, limit: Duration) -> Flight {
    let mut flights = server.driver().race(&[shot], limit).await.unwrap();
    assert_eq!(flights.len(), 1);
    flights.remove(0)
}

#[tokio::test]
async fn half_of_the_body_goes_and_the_client_leaves() {
    let mut server = Server::start(|_, _| Then::Close).await;
    let shot = leaving(post("/pay", "0123456789"), HangUp::HalfWay);
    let flight = fly(&server, shot, LONG).await;
    assert_eq!(flight.ending, Ending::HungUp);
    assert_eq!(flight.released_us, None);
    assert!(flight.ended_us.is_some());
    match server.next().await {
        Saw::End { rest, .. } => {
            assert!(rest.ends_with("content-length: 10\r\n\r\n01234"), "{rest}");
        }
        saw @ Saw::Request { .. } => panic!("{saw:?}"),
    }
}

#[tokio::test]
async fn without_a_body_half_of_the_head_goes() {
    let mut server = Server::start(|_, _| Then::Close).await;
    let mut request = get("/0123456789");
    request.headers.push(("host".to_owned(), "x".to_owned()));
    let whole = "GET /0123456789 HTTP/1.1\r\nhost: x\r\n\r\n";
    let flight = fly(&server, leaving(request, HangUp::HalfWay), LONG).await;
    assert_eq!(flight.ending, Ending::HungUp);
    let rest = whole[..whole.len() / 2].to_owned();
    assert_eq!(
        server.next().await,
        Saw::End {
            connection: 0,
            rest
        }
    );
}

#[tokio::test]
async fn a_client_leaves_before_its_answer() {
    let mut server = Server::start(|_, _| Then::Nothing).await;
    let shot = leaving(get("/"), HangUp::BeforeAnswer { after_us: 1_500 });
    let flight = fly(&server, shot, LONG).await;
    assert_eq!(flight.ending, Ending::HungUp);
    assert!(
        flight.ended_us >= flight.released_us.map(|us| us + 1_500),
        "{flight:?}"
    );
    assert!(
        matches!(server.next().await, Saw::Request { .. }),
        "the whole request came"
    );
    let rest = String::new();
    assert_eq!(
        server.next().await,
        Saw::End {
            connection: 0,
            rest
        }
    );
}

#[tokio::test]
async fn no_answer_within_the_limit() {
    let mut server = Server::start(|_, _| Then::Nothing).await;
    let flight = fly(
        &server,
        shot(get("/"), Trigger::Barrier),
        Duration::from_millis(30),
    )
    .await;
    assert_eq!(flight.ending, Ending::NoAnswer { within_ms: 30 });
    assert!(
        flight.ended_us >= flight.released_us.map(|us| us + 30_000),
        "{flight:?}"
    );
    assert!(matches!(server.next().await, Saw::Request { .. }));
    assert!(
        matches!(server.next().await, Saw::End { .. }),
        "the client has left"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_none() {
    let unending = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let server = Server::start(move |_, _| Then::Answer(unending.to_owned())).await;
    let flight = fly(
        &server,
        shot(get("/"), Trigger::Barrier),
        Duration::from_millis(30),
    )
    .await;
    assert_eq!(flight.ending, Ending::NoAnswer { within_ms: 30 });
}

#[tokio::test]
async fn a_close_without_an_answer() {
    let server = Server::start(|_, _| Then::Close).await;
    let flight = fly(&server, shot(get("/"), Trigger::Barrier), LONG).await;
    let why = "the service closed the connection without an answer";
    assert_eq!(dropped(&flight.ending), why);
    assert!(flight.released_us.is_some());
}

#[tokio::test]
async fn nonsense_for_an_answer() {
    let server = Server::start(|_, _| Then::Answer("oops\r\n\r\n".to_owned())).await;
    let flight = fly(&server, shot(get("/"), Trigger::Barrier), LONG).await;
    let why = dropped(&flight.ending);
    assert!(why.starts_with("what came is no HTTP answer: "), "{why}");
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    let broken = "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\nabc";
    let server = Server::start(move |_, _| Then::AnswerAndClose(broken)).await;
    let flight = fly(&server, shot(get("/"), Trigger::Barrier), LONG).await;
    let why = dropped(&flight.ending);
    let start = "the answer (status 201) broke off after 3 bytes of its body: ";
    assert!(why.starts_with(start), "{why}");
}

#[tokio::test]
async fn an_answer_before_the_last_byte_is_an_answer_and_the_byte_stays() {
    let (listener, url) = listen().await;
    let mut driver = Driver::new(&[url]).unwrap();
    let shots = [
        shot(get("/first"), Trigger::Barrier),
        shot(post("/refused", "too much"), Trigger::Answered { of: 0 }),
    ];
    let race = tokio::spawn(async move { driver.race(&shots, LONG).await.unwrap() });
    let (mut first, _) = listener.accept().await.unwrap();
    let (mut second, _) = listener.accept().await.unwrap();
    let mut start = [0; 2];
    assert_eq!(first.peek(&mut start).await.unwrap(), 2);
    if &start == b"PO" {
        std::mem::swap(&mut first, &mut second);
    }
    let refusal = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    second.write_all(refusal.as_bytes()).await.unwrap();
    // The client closes when it has the answer: so it has it before the first is answered.
    let mut got = String::new();
    second.read_to_string(&mut got).await.unwrap();
    assert!(got.ends_with("\r\n\r\ntoo muc"), "{got}");
    first.write_all(OK.as_bytes()).await.unwrap();
    let flights = race.await.unwrap();
    assert_eq!(answered(&flights[1].ending).status, 413);
    assert_eq!(flights[1].released_us, None);
    assert!(flights[1].ended_us <= flights[0].ended_us, "{flights:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, url) = listen().await;
    drop(listener);
    let mut driver = Driver::new(std::slice::from_ref(&url)).unwrap();
    let error = driver.call(0, &get("/"), LONG).await.unwrap_err();
    assert!(
        matches!(&error, DriveError::Connect { url: at, .. } if *at == url),
        "{error}"
    );
    let told = error.to_string();
    assert!(
        told.starts_with(&format!("cannot connect to {url}: ")),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let refused = |url: &str| {
        Driver::new(&[Url::parse(url).unwrap()])
            .unwrap_err()
            .to_string()
    };
    let told = refused("ftp://shop.test/");
    assert!(told.contains("the scheme ftp is not HTTP"), "{told}");
    let told = refused("unix:/run/shop.sock");
    assert!(told.contains("it names no host"), "{told}");
    let mut driver = Driver::new(&[]).unwrap();
    let error = driver.call(0, &get("/"), LONG).await.unwrap_err();
    assert!(matches!(error, DriveError::Fault { .. }), "{error}");
}

#[tokio::test]
async fn a_led_client_leaves_when_it_is_told_and_one_that_is_not_told_stays() {
    let mut server = Server::start(|_, text| {
        if text.starts_with("GET /left") {
            Then::Nothing
        } else {
            Then::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())
        }
    })
    .await;
    let shots = ["/left", "/stays"].map(|path| shot(get(path), Trigger::Barrier));
    let mut driver = server.driver();
    let (mut lead, race) = driver.led(&shots, LONG);
    let leading = async {
        lead.ready.await.unwrap();
        let (stays, left) = (lead.go.pop().unwrap(), lead.go.pop().unwrap());
        left.send(()).unwrap();
        assert!(matches!(server.next().await, Saw::Request { .. }));
        drop(lead.leave.pop());
        lead.leave.pop().unwrap().send(()).unwrap();
        assert_eq!(lead.ended.recv().await, Some(0));
        stays.send(()).unwrap();
        assert_eq!(lead.ended.recv().await, Some(1));
    };
    let (flights, ()) = tokio::join!(race, leading);
    let flights = flights.unwrap();
    assert_eq!(flights[0].ending, Ending::HungUp);
    assert_eq!(answered(&flights[1].ending).status, 200);
}
