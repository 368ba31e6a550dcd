//! Stand-ins for the third parties that a service calls.
//!
//! Each listens on a loopback port of its own, answers as the target file says,
//! and remembers every call until the round is over. Like a real provider, it
//! answers a repeated `Idempotency-Key` as it did the first time. Knows the
//! target file and nothing of who calls, or why.

mod answer;
mod memory;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::model::Row;
use crate::model::history::Request;
use crate::model::observed::StubCall;
use crate::target::error::TargetError;
use crate::target::file::OnceSection;
use crate::target::{Target, request_line};

use answer::Answers;
use memory::Memory;

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
    /// The target file asks for an answer that cannot be given.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The stand-ins of a target. They end when this is dropped.
#[derive(Debug)]
pub struct Stubs {
    addresses: Vec<(String, SocketAddr)>,
    memory: Memory,
    _servers: JoinSet<()>,
}

impl Stubs {
    /// Puts all of them up.
    pub async fn start(target: &Target) -> Result<Stubs, StubError> {
        let memory = Memory::default();
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
            });
            servers.spawn(stub.serve(listener));
        }
        Ok(Stubs {
            addresses,
            memory,
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

    /// Forgets what was called so far: a round begins.
    pub fn forget(&self) {
        self.memory.forget();
    }

    /// What was called since [`forget`](Stubs::forget), in order of arrival.
    pub fn calls(&self) -> Vec<StubCall> {
        self.memory.calls()
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
            async move { Ok::<_, Infallible>(stub.answer(request).await) }
        });
        // A caller that breaks off is the caller's affair.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MOST_BODY).collect().await else {
            let mut answer = hyper::Response::new(Full::default());
            *answer.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            return answer;
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
        let number = self.memory.remember(&self.name, &request);
        self.answers.to(&request, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
        let target = Target::parse(Path::new("t.toml"), Path::new("/"), TARGET.to_owned()).unwrap();
        let stubs = Stubs::start(&target).await.unwrap();
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
}
