//! One connection of a client, from its first packet to its end.
//!
//! Both directions are halves of one task, and each has a buffer: what is read is
//! looked through and written on, whole. The halves share what the server owes an
//! answer to. A client that hangs up has said what it said: everything it sent is
//! passed on (after its hold), then the server sees the end, and the session lasts
//! until the server has closed its side. So a hang-up does the same with a gate as
//! without.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::hold::{self, Hold};
use crate::wire::postgres::backend::{self, tag};
use crate::wire::postgres::frames::Frames;
use crate::wire::postgres::startup::{NOT_ENCRYPTED, Opening, opening};

use super::Shared;
use super::answers::{Answers, Expected, is_wanted};
use super::event::{Event, Statement, StepAnswer, TransactionStatus};
use super::front::{Batch, Front, Scanned};
use super::upstream::{Connection, Reading, Writing};

/// What is read at once of a client and of a server, at most.
const READ_OF_CLIENT: usize = 16 * 1024;
const READ_OF_SERVER: usize = 64 * 1024;

/// A buffer that has grown beyond this for one long message is given back.
const KEPT: usize = 128 * 1024;

/// A client may ask for TLS, then for GSSAPI encryption, and then has to begin.
const MOST_OPENINGS: usize = 3;

/// What the server owes, and who waits for it to owe nothing.
#[derive(Debug, Default)]
pub(super) struct Talk {
    answers: Mutex<Answers>,
    settled: Notify,
}

impl Talk {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Outside a transaction, with nothing under way.
    pub(super) fn is_at_rest(&self) -> bool {
        let answers = self.answers();
        answers.is_settled() && answers.status() == TransactionStatus::Idle
    }
}

/// Serves a connection to its end. Errors end it, as they would without a gate;
/// there is nobody else to tell.
pub(super) async fn serve(
    gate: Arc<Shared>,
    port: u16,
    mut reading: Reading,
    mut writing: Writing,
) {
    let mut buffer = Vec::with_capacity(READ_OF_CLIENT);
    for _ in 0..MOST_OPENINGS {
        let Some((what, length)) = read_opening(&mut reading, &mut buffer).await else {
            return;
        };
        match what {
            Opening::Tls | Opening::Gss => {
                if writing.write_all(&[NOT_ENCRYPTED]).await.is_err() {
                    return;
                }
                buffer.drain(..length);
            }
            Opening::Cancel => {
                let _ = cancel(&gate, &buffer[..length]).await;
                return;
            }
            Opening::Session => {
                let startup = buffer.drain(..length).collect::<Vec<u8>>();
                serve_session(gate, port, &startup, Front::new(buffer), reading, writing).await;
                return;
            }
        }
    }
}

/// `None` at the end of the connection, or where it is not PostgreSQL's.
async fn read_opening(reading: &mut Reading, buffer: &mut Vec<u8>) -> Option<(Opening, usize)> {
    loop {
        if let Some(found) = opening(buffer).ok()? {
            return Some(found);
        }
        if reading.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Passes a cancel request on. The client waits for the connection's end as a sign
/// that it has been acted on, so the server's end is waited for.
async fn cancel(gate: &Shared, request: &[u8]) -> io::Result<()> {
    let mut server = gate.upstream.connect().await?;
    server.writing.write_all(request).await?;
    while server.reading.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

async fn serve_session(
    gate: Arc<Shared>,
    port: u16,
    startup: &[u8],
    front: Front,
    reading: Reading,
    mut writing: Writing,
) {
    gate.stirred(None, port);
    let server = async {
        let mut server = gate.upstream.connect().await?;
        server.writing.write_all(startup).await?;
        io::Result::Ok(server)
    };
    let server = match server.await {
        Ok(server) => server,
        Err(error) => {
            let place = gate.upstream.describe();
            let why = format!("deadheat's gate cannot connect to the database at {place}: {error}");
            // The client may be gone as well.
            let _ = writing.write_all(&backend::fatal("08001", &why)).await;
            return;
        }
    };
    let session = Session {
        number: gate.next_session(),
        port,
        talk: Arc::default(),
        opened: Mutex::new(false),
        gate,
    };
    let Connection {
        reading: from_server,
        writing: to_server,
        is_encrypted,
    } = server;
    let upward = async {
        let passed = session.upward(front, reading, to_server).await;
        if passed.is_ok() {
            // The server's side is yet to end.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = upward => {}
        _ = session.downward(from_server, writing, is_encrypted) => {}
    }
}

struct Session {
    gate: Arc<Shared>,
    number: u64,
    port: u16,
    talk: Arc<Talk>,
    opened: Mutex<bool>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_open() {
            self.gate.forget(self.number);
            let session = self.number;
            self.gate.tell(Event::Closed { session });
        }
    }
}

impl Session {
    fn is_open(&self) -> bool {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, backend_pid: Option<i32>) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.remember(self.number, Arc::clone(&self.talk));
        self.gate.tell(Event::Opened {
            session: self.number,
            port: self.port,
            backend_pid,
        });
    }

    fn tell_answer(&self, answer: Option<StepAnswer>) {
        if let Some(answer) = answer {
            let session = self.number;
            self.gate.tell(Event::Answered { session, answer });
        }
    }

    /// Client to server, to the client's end. An error is of the client's making;
    /// how the server ends is seen on the way down.
    async fn upward(
        &self,
        mut front: Front,
        mut client: Reading,
        mut server: Writing,
    ) -> Result<(), crate::wire::postgres::Invalid> {
        loop {
            let hold = self.gate.holding.now();
            if self.talk.is_at_rest() {
                front.outside_transaction();
            }
            let mut scanned = front.scan(hold.on)?;
            if let Scanned::Batch(batch) = &mut scanned
                && self.held(std::mem::take(batch), hold).await
            {
                front.is_step();
            }
            self.expect(front.take_expected());
            if !front.ready().is_empty() {
                if server.write_all(front.ready()).await.is_err() {
                    return Ok(());
                }
                front.passed();
            }
            if scanned == Scanned::More {
                make_room(&mut front.buffer, READ_OF_CLIENT);
                // A reset is an end as well.
                if client.read_buf(&mut front.buffer).await.unwrap_or(0) == 0 {
                    let _ = server.shutdown().await;
                    return Ok(());
                }
            }
        }
    }

    fn expect(&self, expected: impl Iterator<Item = Expected>) {
        for expected in expected {
            let answer = self.talk.answers().expect(expected);
            self.tell_answer(answer);
        }
    }

    /// Holds a batch that is a step and matters, until it may go. Tells whether it
    /// was one.
    async fn held(&self, batch: Batch, hold: Hold) -> bool {
        let matters = &self.gate.matters;
        let statement = match batch.runs {
            Some(statement) if matters(&statement) => Some(statement),
            None if batch.may_commit => None,
            _ => {
                self.gate.stirred(Some(self.number), self.port);
                return false;
            }
        };
        let mut holding = self.gate.holding.clone();
        let mut released = std::pin::pin!(holding.released(hold));
        while !self.talk.answers().is_settled() {
            tokio::select! {
                () = self.talk.settled.notified() => {}
                () = &mut released => return false,
            }
        }
        let (status, commits) = {
            let answers = self.talk.answers();
            (answers.status(), answers.sync_commits())
        };
        let statement = match statement {
            Some(statement) => statement,
            None if commits => Statement {
                sql: "COMMIT".to_owned(),
                parameters: Vec::new(),
            },
            None => return false,
        };
        let (go, gone) = hold::held();
        self.gate.tell(Event::Arrived {
            session: self.number,
            statement,
            in_transaction: status != TransactionStatus::Idle,
            go,
        });
        tokio::select! {
            () = gone.wait() => {}
            () = &mut released => {}
        }
        true
    }

    /// Server to client, to the server's end.
    async fn downward(
        &self,
        mut server: Reading,
        mut client: Writing,
        is_encrypted: bool,
    ) -> io::Result<()> {
        let mut frames = Frames::default();
        let mut buffer = Vec::with_capacity(READ_OF_SERVER);
        let mut backend_pid = None;
        let mut is_open = false;
        let mut client_is_gone = false;
        loop {
            make_room(&mut buffer, READ_OF_SERVER);
            if server.read_buf(&mut buffer).await? == 0 {
                break;
            }
            loop {
                let rewritten = {
                    let wanted =
                        |kind| is_wanted(kind) || (!is_open && kind == tag::AUTHENTICATION);
                    let frame = frames.next(&buffer, wanted).map_err(io::Error::other)?;
                    let Some(frame) = frame else { break };
                    let answer = self.talk.answers().told(frame);
                    self.tell_answer(answer);
                    match frame.tag {
                        tag::KEY_DATA => backend_pid = backend::process_id(frame),
                        tag::READY if !is_open => {
                            is_open = true;
                            self.open(backend_pid);
                        }
                        _ => {}
                    }
                    let is_offer = is_encrypted && !is_open && frame.tag == tag::AUTHENTICATION;
                    let offer = is_offer.then(|| backend::without_channel_binding(frame.body));
                    offer.flatten().map(|offer| (frame.body.len() + 5, offer))
                };
                if let Some((length, offer)) = rewritten {
                    let end = frames.at();
                    frames.taken(length - offer.len());
                    buffer.splice(end - length..end, offer);
                }
            }
            if self.talk.answers().is_settled() {
                self.talk.settled.notify_one();
            }
            let ready = frames.at();
            if !client_is_gone {
                // What a server does for a client that is gone, it does to the end.
                client_is_gone = client.write_all(&buffer[..ready]).await.is_err();
            }
            frames.taken(ready);
            if ready == buffer.len() {
                buffer.clear();
            } else {
                buffer.drain(..ready);
            }
        }
        // What is left is a message that was cut.
        client.write_all(&buffer).await?;
        client.shutdown().await
    }
}

/// Room for a read at the end of a buffer. One that has grown is given back once it
/// is empty.
fn make_room(buffer: &mut Vec<u8>, room: usize) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
    buffer.reserve(room);
}
