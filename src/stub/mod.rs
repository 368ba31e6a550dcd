//! Stand-ins for the third parties that a service calls.
//!
//! Each listens on a loopback port of its own, answers as the target file says,
//! and remembers every call until the round is over. Like a real provider, it
//! answers a repeated `Idempotency-Key` as it did the first time. While it is told
//! to, it holds each request until that is let go, or struck by a fault. What an answer
//! causes, it calls the service for. Knows the target file and nothing of who calls, or
//! why.

mod answer;
mod door;
mod memory;
mod webhook;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use url::Url;

use crate::hold::{Switch, switch};
use crate::model::Row;
use crate::model::history::Request;
use crate::model::observed::StubCall;
use crate::target::error::TargetError;
use crate::target::file::OnceSection;
use crate::target::{Target, request_line};

use answer::Answers;
use door::{Door, Passing};
use memory::Memory;
use webhook::Webhooks;

pub use door::{Event, Strike};
pub use webhook::Delivery;

/// The most bytes of a request's body that a stand-in reads; what is longer is
/// answered 413. Calls to providers are small, and a round remembers them all.
const MOST_BODY: usize = 1 << 20;

/// Why the stand-ins cannot be put up.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// There is no port to listen on.
    #[error("cannot put up the stand-in `{name}`: listening on 127.0.0.1 failed: {source}")]
    Listen {
        /// The stand-in.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The service could not be called from here.
    #[error("cannot set up an HTTP client for webhooks: {0}")]
    Client(#[source] reqwest::Error),
    /// The target file asks for an answer that cannot be given.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The stand-ins of a target. They end when this is dropped.
#[derive(Debug)]
pub struct Stubs {
    addresses: Vec<(String, SocketAddr)>,
    memory: Memory,
    holding: Switch,
    webhooks: Arc<Webhooks>,
    _servers: JoinSet<()>,
}

impl Stubs {
    /// Puts all of them up. Nothing is held at first; while it is, `events` tells.
    pub async fn start(
        target: &Arc<Target>,
        events: UnboundedSender<Event>,
    ) -> Result<Stubs, StubError> {
        let memory = Memory::default();
        let (holding, held) = switch();
        let webhooks = Webhooks::new(Arc::clone(target), held.clone(), events.clone())?;
        let webhooks = Arc::new(webhooks);
        let door = Arc::new(Door::new(held, events));
        let mut addresses = Vec::new();
        let mut servers = JoinSet::new();
        for (name, section) in &target.file.stubs {
            let answers = Answers::new(target, section)?;
            let failed = |source| StubError::Listen {
                name: name.clone(),
                source,
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
            addresses.push((name.clone(), listener.local_addr().map_err(failed)?));
            let stub = Arc::new(Stub {
                name: name.clone(),
                answers,
                memory: memory.clone(),
                door: Arc::clone(&door),
                webhooks: Arc::clone(&webhooks),
            });
            servers.spawn(stub.serve(listener));
        }
        Ok(Stubs {
            addresses,
            memory,
            holding,
            webhooks,
            _servers: servers,
        })
    }

    /// What templates see as `stubs`: each with its `url`.
    pub fn context(&self) -> Value {
        let urls: Row = self
            .addresses
            .iter()
            .map(|(name, address)| (name.clone(), json!({ "url": format!("http://{address}") })))
            .collect();
        Value::Object(urls)
    }

    /// Whether requests are held until they are let go, each once it was read whole.
    /// Turning this off lets go whatever is held at that moment.
    pub fn hold(&self, on: bool) {
        self.holding.turn(on);
    }

    /// Where the service is called: webhooks go there from now on.
    pub fn call_at(&self, url: Url) {
        self.webhooks.call_at(url);
    }

    /// Whether webhooks wait: one call is made at a time, and what it causes comes after
    /// its answer.
    pub fn delay_webhooks(&self, on: bool) {
        self.webhooks.wait(on);
    }

    /// Forgets what was called so far, and the webhooks that are left of it: a round
    /// begins.
    pub fn forget(&self) {
        self.webhooks.forget();
        self.memory.forget();
    }

    /// Waits until each webhook was taken by the service, or given up; answers whether
    /// there were any. To be called once the service has answered whoever called it: what
    /// it has refused so far is sent again now.
    pub async fn settle(&self) -> Result<bool, TargetError> {
        self.webhooks.settle().await
    }

    /// What was called since [`forget`](Stubs::forget), in the order in which it was
    /// answered.
    pub fn calls(&self) -> Vec<StubCall> {
        self.memory.calls()
    }
}

/// The requests that ask for something to be done, those with one `Idempotency-Key` once.
pub fn asked(calls: &[StubCall]) -> Vec<&StubCall> {
    let mut known = BTreeSet::new();
    let does = |call: &&StubCall| !matches!(call.request.method.as_str(), "GET" | "HEAD");
    let is_new = |call: &&StubCall| {
        let key = call.idempotency_key();
        key.is_none_or(|key| known.insert((call.stub.clone(), key.to_owned())))
    };
    calls.iter().filter(does).filter(is_new).collect()
}

impl Drop for Stubs {
    fn drop(&mut self) {
        // They hold what they are held by.
        self.webhooks.forget();
    }
}

/// The side effects of a key at a stand-in, one row each: requests that mention
/// the key, those with one `Idempotency-Key` counted once.
pub fn effects(calls: &[StubCall], once: &OnceSection, key: &str) -> Vec<Row> {
    let Some(stub) = once.stub.as_ref().map(toml::Spanned::get_ref) else {
        return Vec::new();
    };
    let asked = once
        .request
        .as_ref()
        .and_then(|line| request_line(line).ok());
    let mut known = BTreeSet::new();
    calls
        .iter()
        .filter(|call| call.stub == *stub && call.mentions(key))
        .filter(|call| {
            asked.as_ref().is_none_or(|(method, path)| {
                call.request.method == *method && fits(path, &call.request.path)
            })
        })
        .filter(|call| {
            call.idempotency_key()
                .is_none_or(|repeated| known.insert(repeated.to_owned()))
        })
        .map(|call| {
            let mut row = Row::new();
            row.insert("stand_in".to_owned(), json!(stub));
            let line = format!("{} {}", call.request.method, call.request.path);
            row.insert("request".to_owned(), json!(line));
            row.insert("body".to_owned(), json!(call.request.body));
            row
        })
        .collect()
}

/// Whether a request goes to a path of the target file, which may end in `*`.
fn fits(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    }
}

/// One stand-in.
#[derive(Debug)]
struct Stub {
    name: String,
    answers: Answers,
    memory: Memory,
    door: Arc<Door>,
    webhooks: Arc<Webhooks>,
}

impl Stub {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        // An error here is a connection lost before it was taken: its caller
        // sees it, and the others are still to be served.
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&self).converse(stream));
            }
            while connections.try_join_next().is_some() {}
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let stub = Arc::clone(&self);
            async move { stub.answer(request).await }
        });
        // A caller that breaks off is the caller's affair, and what it asked for is
        // done: a provider does not take it back either.
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    /// `Err` where the connection is to be closed without an answer.
    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, HungUp> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MOST_BODY).collect().await else {
            let mut answer = hyper::Response::new(Full::default());
            *answer.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(answer);
        };
        let path = head.uri.path_and_query();
        let request = Request {
            method: head.method.to_string(),
            path: path.map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.to_string(), value.into_owned())
                })
                .collect(),
            body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        };
        let call = StubCall {
            stub: self.name.clone(),
            request,
        };
        let line = self.answers.line(&call.request);
        let passing = self.door.pass(&call, line).await;
        let strike = passing.as_ref().and_then(Passing::strike);
        let answer = if strike == Some(Strike::ServerError) {
            answer::server_error()
        } else {
            self.does(&call, strike).await
        };
        let Some(passing) = passing else {
            return Ok(answer);
        };
        match strike {
            Some(Strike::NeverAnswers) => {
                passing.never_answered().await;
                return Err(HungUp);
            }
            Some(Strike::HangsUp) => return Err(HungUp),
            Some(Strike::Slow(by)) => tokio::time::sleep(by).await,
            Some(Strike::ServerError | Strike::Webhook(_)) | None => {}
        }
        passing.answered();
        Ok(answer)
    }

    /// Does what is asked, with what it causes; returns the answer.
    async fn does(&self, call: &StubCall, strike: Option<Strike>) -> hyper::Response<Full<Bytes>> {
        let known = self.memory.remember(call);
        let given = self.answers.to(&call.request, known.number);
        // What happened once is told once, however often it is asked for.
        if let Some(webhook) = given.webhook.filter(|_| !known.repeats) {
            let own = || format!("{}-{}", self.name, known.number);
            let cause = call.idempotency_key().map_or_else(own, str::to_owned);
            let delivery = match strike {
                Some(Strike::Webhook(delivery)) => delivery,
                _ => Delivery::default(),
            };
            self.webhooks.send(webhook, &cause, delivery).await;
        }
        given.response
    }
}

/// A stand-in closes a connection instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in hangs up")]
struct HungUp;

#[cfg(test)]
mod tests;
