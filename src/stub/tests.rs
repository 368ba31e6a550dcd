//! Stand-ins as a service meets them, and as one who holds them does.

use super::*;

mod webhooks;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::hold::Go;

const TARGET: &str = "
    [service]
    start = 'x'
    [database]
    engines = ['sqlite']
    [operations.a]
    request = 'GET /'
    idempotency = { header = 'Key' }
    once = { stub = 'provider', request = 'POST /charges' }
    [stubs.provider]
    answers = [
        { request = 'POST /charges', status = 201, body = { id = 'ch_{{ n }}', of = '{{ request.body.order }}' } },
        { request = 'GET /charges/*', body = 'plain' },
    ]
";

fn target(text: &str) -> Arc<Target> {
    let target = Target::parse(Path::new("t.toml"), Path::new("/"), text.to_owned());
    Arc::new(target.unwrap())
}

async fn charge(url: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new()
        .post(format!("{url}/charges"))
        .json(&json!({ "order": 7 }));
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_stand_in_answers_remembers_and_honours_idempotency_keys() {
    let target = target(TARGET);
    let stubs = Stubs::start(&target, unbounded_channel().0).await.unwrap();
    let url = stubs.context()["provider"]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = json!({ "id": "ch_1", "of": 7 });
    assert_eq!(charge(&url, Some("k")).await, (201, first.clone()));
    assert_eq!(
        charge(&url, Some("k")).await,
        (201, first.clone()),
        "told again"
    );
    assert_eq!(charge(&url, None).await.1["id"], "ch_2");
    let got = reqwest::get(format!("{url}/charges/9")).await.unwrap();
    assert_eq!(got.text().await.unwrap(), "plain");
    let other = reqwest::get(format!("{url}/refunds")).await.unwrap();
    assert_eq!(other.status(), 404);
    assert_eq!(
        stubs.calls().len(),
        5,
        "what is answered 404 is remembered too"
    );
    let once = &target.operations["a"].section.once;
    let once = once.as_ref().unwrap().get_ref();
    assert_eq!(
        effects(&stubs.calls(), once, "7").len(),
        2,
        "one for k, one without"
    );
    assert!(effects(&stubs.calls(), once, "another").is_empty());
    stubs.forget();
    assert!(stubs.calls().is_empty());
    assert_eq!(charge(&url, Some("k")).await.1["id"], "ch_1", "a new round");
}

#[tokio::test]
async fn while_held_a_request_is_told_and_waits_and_its_order_is_that_of_letting_go() {
    let (stubs, url, mut events) = held().await;
    let ask = |order: u64| {
        let url = url.clone();
        tokio::spawn(async move { charge(&url, Some(&order.to_string())).await })
    };
    let first = ask(1);
    let (one, call, line, go_first) = arrived(&mut events).await;
    assert_eq!((one, line.as_str()), (1, "POST /charges"));
    assert_eq!(call.idempotency_key(), Some("1"));
    let second = ask(2);
    let (two, _, _, go_second) = arrived(&mut events).await;
    assert!(stubs.calls().is_empty(), "neither has happened");
    go_second.run();
    assert!(matches!(events.recv().await, Some(Event::Answered { exchange }) if exchange == two));
    assert_eq!(second.await.unwrap().1["id"], "ch_1");
    assert!(!first.is_finished());
    drop(go_first);
    assert!(matches!(events.recv().await, Some(Event::Answered { exchange }) if exchange == one));
    assert_eq!(first.await.unwrap().1["id"], "ch_2");
    let unknown = tokio::spawn(reqwest::get(format!("{url}/charges/7?full=1")));
    let (_, _, line, _) = arrived(&mut events).await;
    assert_eq!(line, "GET /charges/*");
    assert_eq!(unknown.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_held_goes_when_holding_ends_and_nothing_is_told_afterwards() {
    let (stubs, url, mut events) = held().await;
    let asked = {
        let url = url.clone();
        tokio::spawn(async move { charge(&url, None).await })
    };
    let (_, _, _, go) = arrived(&mut events).await;
    stubs.hold(false);
    assert_eq!(asked.await.unwrap().0, 201);
    assert!(matches!(events.recv().await, Some(Event::Answered { .. })));
    go.run();
    charge(&url, None).await;
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn who_hangs_up_while_held_has_asked_all_the_same() {
    use tokio::io::AsyncWriteExt;
    let (stubs, url, mut events) = held().await;
    let address = url.strip_prefix("http://").unwrap();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let request =
        format!("POST /charges HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n{{}}");
    caller.write_all(request.as_bytes()).await.unwrap();
    let (_, _, _, go) = arrived(&mut events).await;
    drop(caller);
    go.run();
    assert!(matches!(events.recv().await, Some(Event::Answered { .. })));
    assert_eq!(stubs.calls().len(), 1);
}

async fn held() -> (Stubs, String, UnboundedReceiver<Event>) {
    let target = target(TARGET);
    let (tell, events) = unbounded_channel();
    let stubs = Stubs::start(&target, tell).await.unwrap();
    stubs.hold(true);
    let url = stubs.context()["provider"]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    (stubs, url, events)
}

async fn arrived(events: &mut UnboundedReceiver<Event>) -> (u64, StubCall, String, Go<Strike>) {
    match events.recv().await {
        Some(Event::Arrived {
            exchange,
            call,
            line,
            go,
        }) => (exchange, call, line, go),
        other => panic!("not an arrival: {other:?}"),
    }
}

#[tokio::test]
async fn a_struck_request_fails_as_its_fault_says_and_is_remembered_if_it_was_done() {
    let (stubs, url, mut events) = held().await;
    let strike = async |strike, events: &mut UnboundedReceiver<Event>| {
        let body = json!({ "order": 7 });
        let asked = reqwest::Client::new()
            .post(format!("{url}/charges"))
            .json(&body);
        let asked = tokio::spawn(asked.send());
        let (exchange, _, _, go) = arrived(events).await;
        go.strike(strike);
        let told = match events.recv().await {
            Some(Event::Answered { exchange }) => (true, exchange),
            Some(Event::Closed { exchange }) => (false, exchange),
            other => panic!("{other:?}"),
        };
        assert_eq!(told.1, exchange);
        (told.0, asked)
    };
    let (told, asked) = strike(Strike::ServerError, &mut events).await;
    assert_eq!(asked.await.unwrap().unwrap().status(), 500);
    assert!(told && stubs.calls().is_empty(), "nothing is done");

    let (late, begun) = (Duration::from_millis(50), Instant::now());
    let (told, asked) = strike(Strike::Slow(late), &mut events).await;
    assert_eq!(asked.await.unwrap().unwrap().status(), 201);
    assert!(told && begun.elapsed() >= late);

    let (told, asked) = strike(Strike::HangsUp, &mut events).await;
    assert!(asked.await.unwrap().is_err() && !told);

    let (told, asked) = strike(Strike::NeverAnswers, &mut events).await;
    assert!(!told && !asked.is_finished());
    assert_eq!(stubs.calls().len(), 3, "all but the first are done");
    stubs.hold(false);
    assert!(asked.await.unwrap().is_err(), "it is over");
}
