//! One request and its answer on one connection.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::connect::{Connection, Connector};
use super::error::DriveError;
use super::request::{Message, says_close};
use super::writing::Plan;
use crate::model::history::{Answer, Ending};

/// The most bytes of an answer's body that are kept; the rest is neither read nor judged. A race
/// keeps all its answers in memory, and an API's answers are far shorter.
pub const MOST_OF_AN_ANSWER: usize = 1024 * 1024;

/// How long it may take to write a request up to its last byte. It takes longer only when the
/// service stops reading, as with a body longer than the system's buffers sent to a service that
/// takes one request at a time; then the rest is left to flow after the release.
const ARM_WITHIN: Duration = Duration::from_secs(5);

/// A request on the wire up to what stays for the release.
#[derive(Debug)]
pub(super) struct Armed {
    connection: Connection,
    closes: bool,
    outcome: Came,
    _reading: Reading,
}

/// The task that reads the answer; it ends with this.
#[derive(Debug)]
struct Reading(AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
enum Came {
    NotYet(oneshot::Receiver<Outcome>),
    Already(Outcome),
}

/// How an exchange ended when nobody cut it short.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) at: Instant,
    pub(super) ending: Ending,
    /// Whether the connection may carry another request.
    reusable: bool,
}

impl Outcome {
    /// The exchange was cut short, now.
    pub(super) fn cut(ending: Ending) -> Self {
        Outcome {
            at: Instant::now(),
            ending,
            reusable: false,
        }
    }
}

impl Armed {
    /// Arms the request on the connection if that holds out, else on a fresh one. The result may
    /// have ended already, by an answer ([`Armed::is_answering`]) or a loss ([`Armed::is_lost`]).
    pub(super) async fn arm(
        connector: &Connector,
        connection: Connection,
        message: &Message,
        plan: Plan,
    ) -> Result<Armed, DriveError> {
        let mut armed = Armed::on(connection, message, plan).await;
        armed.hold_out(connector, message, plan).await?;
        Ok(armed)
    }

    /// Arms once more, on a fresh connection, if this one is lost.
    ///
    /// A service that closes the fresh one too does not want the request; then it stays lost.
    pub(super) async fn hold_out(
        &mut self,
        connector: &Connector,
        message: &Message,
        plan: Plan,
    ) -> Result<(), DriveError> {
        if self.is_lost() {
            *self = Armed::on(connector.open().await?, message, plan).await;
        }
        Ok(())
    }

    async fn on(mut connection: Connection, message: &Message, plan: Plan) -> Armed {
        let (tell, told) = oneshot::channel();
        let within = tokio::time::sleep(ARM_WITHIN);
        tokio::pin!(within);
        // A connection that was used before may still be finishing with its last answer.
        tokio::select! {
            _ = connection.sender.ready() => {}
            () = &mut within => {}
        }
        connection.writing.begin(message.body(), plan);
        let response = connection
            .sender
            .send_request(message.to_http(&connection.writing));
        let reading = tokio::spawn(async move {
            // Nobody listens any more when the client has left.
            let _ = tell.send(read(response).await);
        });
        let mut armed = Armed {
            connection,
            closes: message.closes(),
            outcome: Came::NotYet(told),
            _reading: Reading(reading.abort_handle()),
        };
        let writing = Arc::clone(&armed.connection.writing);
        tokio::select! {
            () = writing.armed() => {}
            _ = armed.outcome() => {}
            () = &mut within => {}
        }
        armed
    }

    /// Whether an answer has begun to come.
    pub(super) fn is_answering(&self) -> bool {
        self.connection.writing.is_answering()
    }

    /// Whether the connection has ended and no answer has begun to come. Asked before the release:
    /// then the request was not made, and can be made on another connection.
    pub(super) fn is_lost(&mut self) -> bool {
        if self.is_answering() {
            return false;
        }
        if let Came::NotYet(told) = &mut self.outcome {
            match told.try_recv() {
                Ok(outcome) => self.outcome = Came::Already(outcome),
                Err(oneshot::error::TryRecvError::Empty) => return self.connection.wire.is_ended(),
                Err(oneshot::error::TryRecvError::Closed) => return true,
            }
        }
        matches!(&self.outcome, Came::Already(outcome) if !matches!(outcome.ending, Ending::Answered(_)))
    }

    /// Lets the last byte go. `false` if the socket takes none now; then
    /// [`Armed::finish_release`] is due. After an error the byte will never go, and the exchange
    /// ends by itself.
    pub(super) fn release(&self) -> io::Result<bool> {
        self.connection.wire.release()
    }

    /// Waits until the socket has taken the last byte.
    pub(super) async fn finish_release(&self) -> io::Result<()> {
        self.connection.wire.finish_release().await
    }

    /// Closes the connection now, without sending what is held.
    pub(super) fn leave(&self) {
        self.connection.wire.close();
    }

    /// Waits for the end of the exchange. May be dropped and called again.
    pub(super) async fn outcome(&mut self) -> Outcome {
        let outcome = match &mut self.outcome {
            Came::Already(outcome) => return outcome.clone(),
            Came::NotYet(told) => told.await.unwrap_or_else(|_| {
                Outcome::cut(Ending::Dropped(
                    "the connection's task has ended".to_owned(),
                ))
            }),
        };
        self.outcome = Came::Already(outcome.clone());
        outcome
    }

    /// The connection, and since when it is idle, if it may carry another request. Only for a
    /// request that was released.
    pub(super) fn into_reusable(self) -> Option<(Instant, Connection)> {
        match self.outcome {
            Came::Already(outcome) if outcome.reusable && !self.closes => {
                Some((outcome.at, self.connection))
            }
            _ => None,
        }
    }
}

/// Reads an answer, whole or up to [`MOST_OF_AN_ANSWER`].
async fn read(response: impl Future<Output = hyper::Result<Response<Incoming>>>) -> Outcome {
    let dropped = |why: String| Outcome::cut(Ending::Dropped(why));
    let (head, mut incoming) = match response.await {
        Ok(response) => response.into_parts(),
        Err(error) => return dropped(why_no_answer(&error)),
    };
    let mut body = Vec::new();
    let mut whole = true;
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                let room = MOST_OF_AN_ANSWER - body.len();
                body.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    whole = false;
                    break;
                }
            }
            Err(error) => {
                return dropped(format!(
                    "the answer (status {}) broke off after {} bytes of its body: {}",
                    head.status.as_u16(),
                    body.len(),
                    chain(&error)
                ));
            }
        }
    }
    let at = Instant::now();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    Outcome {
        at,
        ending: Ending::Answered(Answer {
            status: head.status.as_u16(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }),
        reusable: whole && !says_close(&head.headers),
    }
}

fn why_no_answer(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("what came is no HTTP answer: {}", chain(error))
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "the service closed the connection without an answer".to_owned()
    } else {
        format!(
            "the connection broke before an answer came: {}",
            chain(error)
        )
    }
}

/// The error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(told, ": {cause}");
        source = cause.source();
    }
    told
}
