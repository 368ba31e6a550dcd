//! Webhooks as a service meets them: when they come, how often, and what ends them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::stub::webhook::Webhook;

const TARGET: &str = "
    [service]
    start = 'x'
    [database]
    engines = ['sqlite']
    [actors.provider]
    headers = { X-From = 'provider' }
    [operations.captured]
    request = 'POST /hooks'
    body = { charge = '{{ charge }}', sequence = '{{ sequence }}' }
    headers = { X-Signature = \"{{ body | hmac_sha256('s') }}\" }
    idempotency = { field = 'id' }
    race = false
    [operations.race]
    request = 'GET /'
    [[stubs.provider.answers]]
    request = 'POST /charges'
    status = 201
    body = { id = 'ch_{{ n }}' }
    webhook = { operation = 'captured', values = { charge = '{{ answer.id }}', sequence = 2 } }
";

/// A service that answers its webhooks with these statuses, and then with 200.
struct Service {
    statuses: Mutex<VecDeque<u16>>,
    heard: UnboundedSender<(HeaderMap, String)>,
}

async fn hear(State(service): State<Arc<Service>>, headers: HeaderMap, body: String) -> StatusCode {
    let status = service.statuses.lock().unwrap().pop_front().unwrap_or(200);
    service.heard.send((headers, body)).unwrap();
    StatusCode::from_u16(status).unwrap()
}

struct Stage {
    stubs: Stubs,
    url: String,
    hooks: UnboundedReceiver<(HeaderMap, String)>,
    events: UnboundedReceiver<Event>,
}

async fn stage(statuses: &[u16]) -> Stage {
    let (heard, hooks) = unbounded_channel();
    let service = Arc::new(Service {
        statuses: Mutex::new(statuses.iter().copied().collect()),
        heard,
    });
    let router = Router::new()
        .route("/hooks", post(hear))
        .with_state(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (tell, events) = unbounded_channel();
    let stubs = Stubs::start(&target(TARGET), tell).await.unwrap();
    stubs.call_at(Url::parse(&format!("http://{address}")).unwrap());
    let url = stubs.context()["provider"]["url"].clone();
    Stage {
        stubs,
        url: url.as_str().unwrap().to_owned(),
        hooks,
        events,
    }
}

impl Stage {
    /// How many came that were not received yet.
    fn more(&mut self) -> usize {
        std::iter::from_fn(|| self.hooks.try_recv().ok()).count()
    }

    fn send(&self, delivery: Delivery) -> tokio::task::JoinHandle<()> {
        let webhooks = Arc::clone(&self.stubs.webhooks);
        let values = json!({ "charge": "ch", "sequence": 1 });
        let webhook = Webhook {
            operation: "captured".to_owned(),
            values: values.as_object().unwrap().clone(),
        };
        tokio::spawn(async move { webhooks.send(webhook, "k", delivery).await })
    }
}

#[tokio::test]
async fn it_is_the_operations_request_and_every_delivery_of_it_is_the_same() {
    let mut stage = stage(&[404, 500]).await;
    assert_eq!(charge(&stage.url, Some("k")).await.0, 201);
    let (headers, body) = stage.hooks.recv().await.unwrap();
    assert_eq!(body, r#"{"charge":"ch_1","sequence":2,"id":"evt_k"}"#);
    let signature = "{{ body | hmac_sha256('s') }}";
    let templates = crate::target::template::Templates::default();
    let signature = templates.text(signature, &json!({ "body": body })).unwrap();
    assert_eq!(headers["x-signature"], signature.as_str());
    assert_eq!(headers["x-from"], "provider");
    assert!(stage.stubs.settle().await.unwrap());
    let mut again = Vec::new();
    while let Ok((_, body)) = stage.hooks.try_recv() {
        again.push(body);
    }
    assert_eq!(again, [body.clone(), body], "until it was taken");
    assert!(!stage.stubs.settle().await.unwrap(), "none is left");
}

#[tokio::test]
async fn what_is_repeated_is_told_once_and_what_is_not_is_told_by_its_number() {
    let mut stage = stage(&[]).await;
    for key in [Some("k"), Some("k"), None] {
        charge(&stage.url, key).await;
    }
    stage.stubs.settle().await.unwrap();
    let mut bodies: Vec<String> =
        std::iter::from_fn(|| stage.hooks.try_recv().ok().map(|(_, body)| body)).collect();
    bodies.sort();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].contains("evt_k") && bodies[1].contains("evt_provider-2"));
}

#[tokio::test]
async fn one_that_is_never_taken_is_given_up_and_some_deliveries_wait_for_the_end() {
    let mut stage = stage(&[404; 9]).await;
    charge(&stage.url, None).await;
    for _ in 0..3 {
        stage.hooks.recv().await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_millis(200), stage.hooks.recv());
    assert!(more.await.is_err(), "two are kept for the end of the round");
    assert!(stage.stubs.settle().await.unwrap());
    assert_eq!(stage.more(), 2);
}

#[tokio::test]
async fn twice_is_two_deliveries_and_before_is_before_the_answer() {
    let mut stage = stage(&[]).await;
    stage.send(Delivery::Twice).await.unwrap();
    stage.stubs.settle().await.unwrap();
    assert_eq!(stage.more(), 2);
    stage.send(Delivery::Before).await.unwrap();
    assert_eq!(stage.more(), 1, "the answer may be given only now");
}

#[tokio::test]
async fn while_calls_are_held_it_waits_but_for_one_that_comes_before_the_answer() {
    let mut stage = stage(&[404]).await;
    stage.stubs.hold(true);
    stage.send(Delivery::After).await.unwrap();
    let early = stage.send(Delivery::Before);
    let Some(Event::Calling { go }) = stage.events.recv().await else {
        panic!("not told");
    };
    assert_eq!(stage.more(), 0);
    go.run();
    early.await.unwrap();
    assert!(matches!(stage.events.recv().await, Some(Event::Called)));
    assert_eq!(stage.more(), 1, "and the other waits");
    stage.stubs.hold(false);
    stage.stubs.settle().await.unwrap();
    assert_eq!(stage.more(), 2, "the other, and the one that was refused");
}

#[tokio::test]
async fn none_outlives_its_round() {
    let mut stage = stage(&[404; 9]).await;
    charge(&stage.url, None).await;
    stage.hooks.recv().await.unwrap();
    stage.stubs.forget();
    assert!(
        stage.stubs.settle().await.is_ok(),
        "what was forgotten is not waited for"
    );
    let heard = stage.more();
    let more = tokio::time::timeout(Duration::from_millis(100), stage.hooks.recv());
    assert!(more.await.is_err(), "after {heard}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_no_reason_to_wait_for_ever() {
    let stage = stage(&[]).await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nowhere.local_addr().unwrap();
    drop(nowhere);
    let url = Url::parse(&format!("http://{address}")).unwrap();
    stage.stubs.call_at(url);
    charge(&stage.url, None).await;
    assert!(stage.stubs.settle().await.unwrap());
}
