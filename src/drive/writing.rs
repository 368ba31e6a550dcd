//! Knows when a request is written, all of it.
//!
//! [`Watched`] lies between HTTP and TLS (or HTTP and the [`Wire`], without TLS) and sees what the
//! HTTP library writes and flushes; [`Whole`] is a request's body, which notes that it has been
//! handed out. A request is *armed* when its body was handed out and a flush after that has gone
//! through every layer with exactly its last byte held. An answer that comes without waiting for that
//! byte is noted too. For a client that leaves half-way, the
//! whole request is caught here instead, and half of it sent.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::held::Wire;

/// How much of a request is sent before the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// All but the last byte.
    AllButOne,
    /// Half, and never the rest.
    Half,
}

/// The progress of the request that is being written to a connection.
#[derive(Debug)]
pub(super) struct Writing {
    wire: Arc<Wire>,
    state: Mutex<State>,
    armed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the HTTP library has taken the whole body.
    handed_out: bool,
    /// Whether anything of the request has been written.
    begun: bool,
    /// Whether anything of an answer has been read.
    answering: bool,
    half: Option<Half>,
}

/// A request that is caught whole, to be sent by half.
#[derive(Debug)]
struct Half {
    body: usize,
    caught: Vec<u8>,
    sent: usize,
}

impl Half {
    /// Half-way into the body: a server reads the head, calls the handler, and the body breaks off.
    /// Half of all bytes would lie within the head of most requests, where no service ever hears
    /// of them. A request without a body is cut in the middle of its head.
    fn cut(&self) -> usize {
        let total = self.caught.len();
        if self.body == 0 {
            total / 2
        } else {
            total - self.body.div_ceil(2)
        }
    }
}

impl Writing {
    pub(super) fn new(wire: Arc<Wire>) -> Arc<Writing> {
        Arc::new(Writing {
            wire,
            state: Mutex::default(),
            armed: watch::Sender::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with a body of so many bytes will be written next.
    pub(super) fn begin(&self, body: usize, plan: Plan) {
        let half = match plan {
            Plan::AllButOne => {
                self.wire.hold_back();
                None
            }
            Plan::Half => Some(Half {
                body,
                caught: Vec::new(),
                sent: 0,
            }),
        };
        *self.state() = State {
            handed_out: body == 0,
            begun: false,
            answering: false,
            half,
        };
        self.armed.send_replace(false);
    }

    /// Whether an answer has begun to come.
    pub(super) fn is_answering(&self) -> bool {
        self.state().answering
    }

    /// Waits until everything that goes before the barrier is on the wire.
    pub(super) async fn armed(&self) {
        // The sender is part of `self`, so the channel cannot close meanwhile.
        let _ = self.armed.subscribe().wait_for(|armed| *armed).await;
    }
}

/// A stream that tells [`Writing`] what passes through it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) inner: S,
    pub(super) writing: Arc<Writing>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.writing.state().answering = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.writing.state();
        state.begun = true;
        if let Some(half) = &mut state.half {
            half.caught.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut state = this.writing.state();
        let written = state.begun && state.handed_out;
        if written && let Some(half) = &mut state.half {
            let cut = half.cut();
            while half.sent < cut {
                let rest = &half.caught[half.sent..cut];
                half.sent += match ready!(Pin::new(&mut this.inner).poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    sent => sent,
                };
            }
        }
        // The HTTP library flushes only when it has nothing more buffered, so what lies above is
        // written; this flush sees to what lies beneath.
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if written && (state.half.is_some() || this.writing.wire.seal()) {
            this.writing.armed.send_replace(true);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A request's body, handed out in one piece.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    writing: Arc<Writing>,
}

impl Whole {
    pub(super) fn new(bytes: Bytes, writing: Arc<Writing>) -> Self {
        Whole { bytes, writing }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        self.writing.state().handed_out = true;
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::drive::held::Held;

    async fn pair() -> (Watched<Held>, Arc<Writing>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire::new(client.unwrap()).unwrap();
        let writing = Writing::new(Arc::clone(&wire));
        let watched = Watched {
            inner: Held(wire),
            writing: Arc::clone(&writing),
        };
        (watched, writing, server.unwrap().0)
    }

    fn is_armed(writing: &Writing) -> bool {
        *writing.armed.borrow()
    }

    #[tokio::test]
    async fn a_request_is_armed_by_the_flush_after_its_body() {
        let (mut stream, writing, mut server) = pair().await;
        writing.begin(4, Plan::AllButOne);
        stream.flush().await.unwrap();
        stream.write_all(b"head").await.unwrap();
        stream.flush().await.unwrap();
        assert!(!is_armed(&writing), "its body is still to come");
        writing.state().handed_out = true;
        stream.write_all(b"body").await.unwrap();
        assert!(!is_armed(&writing), "it may be buffered somewhere");
        stream.flush().await.unwrap();
        assert!(is_armed(&writing));
        let mut got = [0; 7];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"headbod");
    }

    #[tokio::test]
    async fn a_flush_before_a_request_without_a_body_arms_nothing() {
        let (mut stream, writing, _server) = pair().await;
        writing.begin(0, Plan::AllButOne);
        stream.flush().await.unwrap();
        assert!(!is_armed(&writing));
        stream.write_all(b"head").await.unwrap();
        stream.flush().await.unwrap();
        assert!(is_armed(&writing));
        writing.begin(0, Plan::AllButOne);
        assert!(!is_armed(&writing), "the next one is not");
    }

    #[tokio::test]
    async fn half_is_cut_within_the_body_and_never_the_whole() {
        for (body, sent) in [
            ("", "HE"),
            ("b", "HEAD"),
            ("body", "HEADbo"),
            ("odd", "HEADo"),
        ] {
            let (mut stream, writing, mut server) = pair().await;
            writing.begin(body.len(), Plan::Half);
            stream.flush().await.unwrap();
            assert!(!is_armed(&writing), "there is nothing to cut yet");
            stream.write_all(b"HEAD").await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
            writing.state().handed_out = true;
            stream.flush().await.unwrap();
            assert!(is_armed(&writing));
            writing.wire.close();
            let mut got = String::new();
            server.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, sent);
        }
    }

    #[tokio::test]
    async fn the_first_byte_read_is_an_answer_that_has_begun() {
        let (mut stream, writing, mut server) = pair().await;
        writing.begin(0, Plan::AllButOne);
        assert!(!writing.is_answering());
        server.write_all(b"H").await.unwrap();
        stream.read_u8().await.unwrap();
        assert!(writing.is_answering());
        writing.begin(0, Plan::AllButOne);
        assert!(!writing.is_answering(), "not the next one's");
    }
}
