//! Drivers against small servers that do exactly as a script says, and tell what they saw.

mod answers;
mod barrier;
mod endings;
mod reuse;
mod tls;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

use super::*;
use crate::model::history::Answer;

/// Far more than any test takes.
const LONG: Duration = Duration::from_secs(20);

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a server saw. Connections count from zero in the order in which they were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Saw {
    /// A request, whole.
    Request { connection: usize, text: String },
    /// The end of a connection, after this much of another request.
    End { connection: usize, rest: String },
}

impl Saw {
    fn connection(&self) -> usize {
        match self {
            Saw::Request { connection, .. } | Saw::End { connection, .. } => *connection,
        }
    }
}

/// What a server does with a request.
enum Then {
    Answer(String),
    AnswerAndClose(&'static str),
    Close,
    Nothing,
}

struct Server {
    url: Url,
    saw: mpsc::UnboundedReceiver<Saw>,
}

impl Server {
    /// A server that does with each request as the script says.
    async fn start(script: impl Fn(usize, &str) -> Then + Send + Sync + 'static) -> Server {
        let (listener, url) = listen().await;
        let (tell, saw) = mpsc::unbounded_channel();
        let script = Arc::new(script);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, script) = (tell.clone(), Arc::clone(&script));
                tokio::spawn(async move { serve(stream, connection, &*script, &tell).await });
            }
        });
        Server { url, saw }
    }

    async fn next(&mut self) -> Saw {
        let next = tokio::time::timeout(LONG, self.saw.recv()).await;
        next.expect("in time").expect("the server runs")
    }

    fn driver(&self) -> Driver {
        Driver::new(std::slice::from_ref(&self.url)).unwrap()
    }
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, Url::parse(&url).unwrap())
}

/// Serves one connection to its end.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    script: &(impl Fn(usize, &str) -> Then + ?Sized),
    tell: &mpsc::UnboundedSender<Saw>,
) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some(head) = text.find("\r\n\r\n") {
            let length: usize = text[..head]
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if text.len() >= head + 4 + length {
                assert_eq!(text.len(), head + 4 + length, "one request at a time");
                bytes.clear();
                let then = script(connection, &text);
                tell.send(Saw::Request { connection, text }).unwrap();
                let (answer, stay) = match then {
                    Then::Answer(answer) => (answer, true),
                    Then::AnswerAndClose(answer) => (answer.to_owned(), false),
                    Then::Close => (String::new(), false),
                    Then::Nothing => (String::new(), true),
                };
                // The client may leave before it has all.
                if stream.write_all(answer.as_bytes()).await.is_err() || !stay {
                    break;
                }
                continue;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            break;
        }
    }
    drop(stream);
    let rest = String::from_utf8(bytes).unwrap();
    // The test may have ended.
    let _ = tell.send(Saw::End { connection, rest });
}

fn get(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: String::new(),
    }
}

fn post(path: &str, body: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        body: body.to_owned(),
        ..get(path)
    }
}

fn shot(request: Request, trigger: Trigger) -> Shot {
    Shot {
        replica: 0,
        request,
        trigger,
        hang_up: None,
    }
}

fn leaving(request: Request, hang_up: HangUp) -> Shot {
    Shot {
        hang_up: Some(hang_up),
        ..shot(request, Trigger::Barrier)
    }
}

fn answered(ending: &Ending) -> &Answer {
    match ending {
        Ending::Answered(answer) => answer,
        other => panic!("no answer but {other:?}"),
    }
}

fn dropped(ending: &Ending) -> &str {
    match ending {
        Ending::Dropped(why) => why,
        other => panic!("not dropped but {other:?}"),
    }
}
