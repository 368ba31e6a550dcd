//! One connection of a client, from its first packet to its end.
//!
//! Both directions are halves of one task, and each has a buffer: what is read is
//! looked through and written on, whole. The halves share what the server owes an
//! answer to. A client that hangs up has said what it said: everything it sent is
//! passed on (after its hold), then the server sees the end, and the session lasts
//! until the server has closed its side. So a hang-up does the same with a gate as
//! without.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::hold::{self, Hold};
use crate::wire::postgres::backend::{self, tag};
use crate::wire::postgres::frames::{Frame, Frames, HEADER};
use crate::wire::postgres::startup::{NOT_ENCRYPTED, Opening, opening};

use super::Shared;
use super::answers::{Answers, Expected, is_wanted};
use super::event::{Event, Statement, StepAnswer, TransactionStatus};
use super::front::{Batch, Front, Scanned};
use super::strike::{self, Strike, Struck};
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
    struck: Struck,
    /// What lasts of what was prepared, by its number.
    prepared: AtomicU64,
}

/// What became of a batch that was looked at.
enum Looked {
    /// It is no step.
    Passes,
    /// A step that was held, and perhaps struck.
    Step(Option<Strike>),
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

    /// The number of the last statement that was prepared to last and is still there.
    pub(super) fn prepared(&self) -> u64 {
        self.prepared.load(Ordering::Relaxed)
    }

    /// Waits until everything is answered.
    async fn settles(&self) {
        while !self.answers().is_settled() {
            self.settled.notified().await;
        }
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
        let mut struck = None;
        // What a refused batch ends with, of which not all has come.
        let mut end = None;
        loop {
            let hold = self.gate.holding.now();
            if self.talk.is_at_rest() {
                front.outside_transaction();
            }
            let mut scanned = front.scan(hold.on || struck.is_some())?;
            let prepared = front.prepared();
            self.talk.prepared.store(prepared, Ordering::Relaxed);
            if let Scanned::Batch(batch) = &mut scanned
                && let Looked::Step(strike) = self.held(std::mem::take(batch), hold).await
            {
                front.is_step();
                struck = strike;
            }
            match struck {
                Some(Strike::CutBefore) => {
                    self.cut(&mut server).await;
                    return Ok(());
                }
                Some(Strike::Refuse { state, rolls_back }) => {
                    end = front.take_expected().next_back().or(end);
                    // It goes nowhere.
                    front.passed();
                    if front.is_between()
                        && let Some(end) = end.take()
                    {
                        struck = None;
                        // What no BEGIN has begun, any error rolls back.
                        let rolls_back = rolls_back && !self.talk.answers().sync_commits();
                        let (messages, expected) = strike::instead(end, rolls_back);
                        self.talk.struck.refuse(state);
                        self.expect(expected.into_iter());
                        if server.write_all(&messages).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Some(Strike::CutAfter) | None => {
                    if struck.is_some() {
                        self.talk.struck.mute();
                    }
                    self.expect(front.take_expected());
                    if !front.ready().is_empty() {
                        if server.write_all(front.ready()).await.is_err() {
                            return Ok(());
                        }
                        front.passed();
                    }
                    if struck.is_some() && front.is_between() {
                        self.talk.settles().await;
                        self.cut(&mut server).await;
                        return Ok(());
                    }
                }
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

    /// Ends the session at the server, which rolls back; when it has, its end ends the
    /// client's side.
    async fn cut(&self, server: &mut Writing) {
        self.talk.struck.mute();
        let _ = server.shutdown().await;
    }

    fn expect(&self, expected: impl Iterator<Item = Expected>) {
        for expected in expected {
            let answer = self.talk.answers().expect(expected);
            self.tell_answer(answer);
        }
    }

    /// Holds a batch that is a step and matters, until it may go.
    async fn held(&self, batch: Batch, hold: Hold) -> Looked {
        let matters = &self.gate.matters;
        let statement = match batch.runs {
            Some(statement) if matters(&statement) => Some(statement),
            None if batch.may_commit => None,
            _ => {
                self.gate.stirred(Some(self.number), self.port);
                return Looked::Passes;
            }
        };
        let mut holding = self.gate.holding.clone();
        let mut released = std::pin::pin!(holding.released(hold));
        tokio::select! {
            biased;
            () = self.talk.settles() => {}
            () = &mut released => return Looked::Passes,
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
            None => return Looked::Passes,
        };
        let (go, gone) = hold::held();
        self.gate.tell(Event::Arrived {
            session: self.number,
            statement,
            in_transaction: status != TransactionStatus::Idle,
            go,
        });
        let strike = tokio::select! {
            biased;
            strike = gone.wait() => strike,
            () = &mut released => None,
        };
        Looked::Step(strike)
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
                    if frame.tag == tag::COPY_IN && self.talk.struck.is_mute() {
                        // The client would have to go on.
                        return Ok(());
                    }
                    let length = frame.body.len() + HEADER;
                    let instead = self.talk.struck.instead_of(frame.tag);
                    let own = instead.as_deref().and_then(|own| own.get(HEADER..));
                    let frame = own.map_or(frame, |body| Frame { body, ..frame });
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
                    let instead = instead.or(offer.flatten());
                    instead.map(|instead| (length, instead))
                };
                if let Some((length, instead)) = rewritten {
                    let end = frames.at();
                    frames.replaced(length, instead.len());
                    buffer.splice(end - length..end, instead);
                }
            }
            if self.talk.answers().is_settled() {
                self.talk.settled.notify_one();
            }
            let ready = frames.at();
            if !client_is_gone && !self.talk.struck.is_mute() {
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
        if self.talk.struck.is_mute() {
            return Ok(());
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
