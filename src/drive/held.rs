//! A TCP connection that can keep back the last byte it was given.
//!
//! [`Held`] lies beneath TLS and HTTP. While it holds, everything written to it goes to the wire at
//! once but for the very last byte; when more is written, the byte kept back goes before it. So a
//! server has all of a request but its end, whatever the layers above made of it: a head without a
//! body, a long body, a TLS record. It knows neither HTTP nor TLS.
//!
//! Two own a connection: the task that speaks HTTP has [`Held`], whoever fires the race has
//! [`Wire`]. Both write to the same socket, under one lock.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket, and the byte that is kept back.
#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    /// The same socket, for what tokio offers only to a sole owner or only after its reactor has
    /// been told: looking for the peer's FIN, and closing now.
    raw: std::net::TcpStream,
    hold: Mutex<Hold>,
}

#[derive(Debug, Default)]
struct Hold {
    stage: Stage,
    /// Written by the layers above, and not on the wire.
    last: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// What is written goes out.
    #[default]
    Open,
    /// What is written goes out but for its last byte.
    Holding,
    /// The request is written. Anything more would push its last byte out before its time, so
    /// that is refused, and breaks the connection instead.
    Sealed,
}

impl Wire {
    /// Takes a connection over, and turns off the batching of small writes (Nagle's algorithm).
    pub(super) fn new(tcp: TcpStream) -> io::Result<Arc<Wire>> {
        tcp.set_nodelay(true)?;
        let raw = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
        Ok(Arc::new(Wire {
            tcp,
            raw,
            hold: Mutex::default(),
        }))
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, the last byte stays.
    pub(super) fn hold_back(&self) {
        self.hold().stage = Stage::Holding;
    }

    /// Nothing more will be written before the release. Tells whether exactly one byte is held.
    pub(super) fn seal(&self) -> bool {
        let mut hold = self.hold();
        let sealed = hold.stage == Stage::Holding && hold.last.is_some();
        if sealed {
            hold.stage = Stage::Sealed;
        }
        sealed
    }

    /// Lets the held byte go, without waiting and without waking anybody. `false` if the socket
    /// takes none now; then [`Wire::finish_release`] is due.
    pub(super) fn release(&self) -> io::Result<bool> {
        let mut hold = self.hold();
        hold.stage = Stage::Open;
        let Some(last) = hold.last else {
            return Ok(true);
        };
        match self.tcp.try_write(&[last]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {
                hold.last = None;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the socket has taken the held byte.
    pub(super) async fn finish_release(&self) -> io::Result<()> {
        while !self.release()? {
            self.tcp.writable().await?;
        }
        Ok(())
    }

    /// Whether the peer has closed its side (or reset the connection) and all it sent before has
    /// been read. Asks the kernel, so it is true even before the reactor has heard of it.
    pub(super) fn is_ended(&self) -> bool {
        match self.raw.peek(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// Leaves, as the kernel does for a client that died: FIN after all that was sent, a reset for
    /// whatever the server still sends. The held byte is never sent.
    ///
    /// A reset (`SO_LINGER` 0) would say the same sooner, but lets some systems throw away what
    /// the server has not read yet; after FIN it has read exactly what was sent.
    pub(super) fn close(&self) {
        self.hold().stage = Stage::Sealed;
        // It fails only if the peer closed first, and then there is nothing left to do.
        let _ = self.raw.shutdown(Shutdown::Both);
    }

    /// Writes as much as the socket takes now. Tells how many bytes of `bytes` are taken.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut hold = self.hold();
        match hold.stage {
            Stage::Sealed => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "written to after the whole request and before its release",
            )),
            Stage::Holding => {
                let Some((last, front)) = bytes.split_last() else {
                    return Ok(0);
                };
                let taken = match hold.last {
                    None if front.is_empty() => {
                        hold.last = Some(*last);
                        return Ok(1);
                    }
                    None => self.tcp.try_write(front)?,
                    Some(before) => self.write_after(before, front)?,
                };
                // The next byte takes the place of the one held, so that nothing but one byte
                // ever waits here, also when the socket took less than it was given.
                hold.last = bytes.get(taken).copied();
                Ok(taken + 1)
            }
            Stage::Open => {
                if let Some(before) = hold.last {
                    let taken = self.write_after(before, bytes)?;
                    hold.last = None;
                    if taken > 0 {
                        return Ok(taken);
                    }
                }
                self.tcp.try_write(bytes)
            }
        }
    }

    /// Writes the held byte and what follows it. Tells how many of those that follow are taken.
    fn write_after(&self, before: u8, bytes: &[u8]) -> io::Result<usize> {
        let parts = [
            IoSlice::new(std::slice::from_ref(&before)),
            IoSlice::new(bytes),
        ];
        match self.tcp.try_write_vectored(&parts)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written - 1),
        }
    }
}

/// The writing and reading end of a [`Wire`], for TLS or HTTP to speak over.
#[derive(Debug)]
pub(super) struct Held(pub(super) Arc<Wire>);

impl AsyncRead for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.tcp.poll_read_ready(cx))?;
            match self.0.tcp.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.tcp.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is buffered here: what was taken is on the wire, but for the held byte.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.raw.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Held, Arc<Wire>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire::new(client.unwrap()).unwrap();
        (Held(Arc::clone(&wire)), wire, server.unwrap().0)
    }

    async fn next(server: &mut TcpStream, count: usize) -> String {
        let mut bytes = vec![0; count];
        server.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn nothing_more(server: &TcpStream) -> bool {
        matches!(server.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    #[tokio::test]
    async fn the_last_byte_stays_and_goes_before_the_next_write() {
        let (mut held, wire, mut server) = pair().await;
        wire.hold_back();
        held.write_all(b"a").await.unwrap();
        assert!(nothing_more(&server), "the only byte is held");
        held.write_all(b"bcd").await.unwrap();
        assert_eq!(next(&mut server, 3).await, "abc");
        assert!(nothing_more(&server));
        held.write_all(b"e").await.unwrap();
        assert_eq!(next(&mut server, 1).await, "d");
        assert!(wire.seal());
        assert!(nothing_more(&server));
        assert!(wire.release().unwrap());
        assert_eq!(next(&mut server, 1).await, "e");
        held.write_all(b"fg").await.unwrap();
        assert_eq!(next(&mut server, 2).await, "fg", "held no longer");
    }

    #[tokio::test]
    async fn more_than_the_socket_takes_keeps_its_order() {
        let (mut held, wire, mut server) = pair().await;
        wire.hold_back();
        let sent: Vec<u8> = (0u32..12_000_000).map(|n| (n % 251) as u8).collect();
        let mut got = vec![0; sent.len() - 1];
        let (written, read) = tokio::join!(held.write_all(&sent), server.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(nothing_more(&server));
        assert!(sent[..sent.len() - 1] == got[..], "in order and whole");
        assert!(wire.release().unwrap());
        assert_eq!(server.read_u8().await.unwrap(), sent[sent.len() - 1]);
    }

    #[tokio::test]
    async fn a_sealed_request_is_not_pushed_out_by_what_follows() {
        let (mut held, wire, mut server) = pair().await;
        wire.hold_back();
        assert!(!wire.seal(), "there is no byte to hold yet");
        held.write_all(b"xy").await.unwrap();
        assert!(wire.seal());
        let refused = held.write_all(b"z").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(next(&mut server, 1).await, "x");
        assert!(nothing_more(&server));
    }

    #[tokio::test]
    async fn closing_sends_no_held_byte() {
        let (mut held, wire, mut server) = pair().await;
        wire.hold_back();
        held.write_all(b"xyz").await.unwrap();
        wire.close();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"xy");
    }

    #[tokio::test]
    async fn a_close_by_the_peer_is_known_without_reading() {
        let (_held, wire, mut server) = pair().await;
        assert!(!wire.is_ended());
        server.write_all(b"!").await.unwrap();
        drop(server);
        assert!(!wire.is_ended(), "there is something to read first");
        let mut held = Held(Arc::clone(&wire));
        assert_eq!(held.read_u8().await.unwrap(), b'!');
        assert!(wire.is_ended());
    }
}
