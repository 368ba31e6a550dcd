//! Answers of every shape are read as they are, and leave the connection usable.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::*;

#[tokio::test]
async fn chunked_and_bodiless_answers_on_one_connection() {
    let answer = |method: Method, axum::extract::Path(what): axum::extract::Path<String>| async move {
        match (method, what.as_str()) {
            (Method::HEAD, _) => ([(header::CONTENT_LENGTH, "7")], ()).into_response(),
            (_, "chunked") => {
                let chunks = ["one ", "two"].map(Ok::<_, std::io::Error>);
                Response::new(Body::from_stream(Chunks(chunks.into_iter())))
            }
            (_, "204") => StatusCode::NO_CONTENT.into_response(),
            _ => StatusCode::NOT_MODIFIED.into_response(),
        }
    };
    let (listener, url) = listen().await;
    let url = url.join("base/").unwrap();
    let router = axum::Router::new().route("/base/{what}", axum::routing::any(answer));
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Counted(listener, Arc::clone(&accepted));
    tokio::spawn(async move { axum::serve(counted, router).await });
    let mut driver = Driver::new(&[url]).unwrap();
    for _ in 0..2 {
        for (method, path, status, body) in [
            ("GET", "/chunked", 200, "one two"),
            ("HEAD", "/chunked", 200, ""),
            ("DELETE", "/204", 204, ""),
            ("GET", "/304", 304, ""),
        ] {
            let request = Request {
                method: method.to_owned(),
                ..get(path)
            };
            let ending = driver.call(0, &request, LONG).await.unwrap();
            let answer = answered(&ending);
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (status, body),
                "{method} {path}"
            );
            let chunked = ("transfer-encoding".to_owned(), "chunked".to_owned());
            assert_eq!(answer.headers.contains(&chunked), body == "one two");
        }
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}

/// Chunks as a stream: each is flushed as a chunk of its own.
struct Chunks<I>(I);

impl<I: Iterator + Unpin> futures_util::Stream for Chunks<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// Counts the connections.
struct Counted(TcpListener, Arc<AtomicUsize>);

impl axum::serve::Listener for Counted {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let accepted = self.0.accept().await.unwrap();
        self.1.fetch_add(1, Ordering::Relaxed);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

#[tokio::test]
async fn headers_keep_their_order_and_repeats_and_odd_bytes_are_replaced() {
    let raw = "HTTP/1.1 200 OK\r\nB: 2\r\nSet-Cookie: x\r\nA: 1\r\nset-cookie: y\r\n\
               Content-Length: 3\r\n\r\n";
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream.write_all(raw.as_bytes()).await.unwrap();
        stream.write_all(b"a\xffb").await.unwrap();
        stream.read_to_end(&mut request).await.unwrap();
    });
    let mut driver = Driver::new(&[url]).unwrap();
    let ending = driver.call(0, &get("/"), LONG).await.unwrap();
    let answer = answered(&ending);
    assert_eq!(answer.body, "a\u{fffd}b");
    let headers: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("b", "2"),
            ("set-cookie", "x"),
            ("set-cookie", "y"),
            ("a", "1"),
            ("content-length", "3")
        ]
    );
}
