//! Faults that strike a step: what goes to the server in its place, and what the
//! client is told.
//!
//! Whatever the client is made to believe is true. A connection that is cut is ended
//! on both sides, the server's first, so that it has rolled back before the client
//! looks elsewhere. Of a refused step the server sees nothing; it is given another
//! that it refuses itself, and of its answers only the error's text is exchanged. So
//! server and client agree about the transaction in every protocol, and so does the
//! account of answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::fault::SqlState;
use crate::wire::postgres::backend;
use crate::wire::postgres::frontend::{self, message};

use super::answers::Expected;

/// What a held step can be struck with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Its connection is cut, and it never runs.
    CutBefore,
    /// It runs, and its connection is cut when the server has answered all of it.
    CutAfter,
    /// It is refused.
    Refuse {
        /// With what.
        state: SqlState,
        /// Whether that rolls its transaction back, as when a COMMIT is refused.
        rolls_back: bool,
    },
}

/// How a session is struck, as far as its downward half has to know.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// The client hears no more.
    mute: AtomicBool,
    /// The refusal that the server's next error stands for.
    refusal: Mutex<Option<SqlState>>,
}

impl Struck {
    pub(super) fn mute(&self) {
        self.mute.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::Relaxed)
    }

    pub(super) fn refuse(&self, state: SqlState) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// What the client is told in place of a message of this kind; nothing, if it
    /// answers what the client never asked.
    pub(super) fn instead_of(&self, kind: u8) -> Option<Vec<u8>> {
        use backend::tag;
        let is_over = match kind {
            tag::ERROR => true,
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::CLOSE_COMPLETE
            | tag::COMMAND_COMPLETE => false,
            _ => return None,
        };
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let state = (*refusal)?;
        if !is_over {
            return Some(Vec::new());
        }
        *refusal = None;
        Some(backend::refusal(state.code(), state.message()))
    }
}

/// Raises, wherever it stands: it is no SQL.
const RAISES: &str = "deadheat refuses this";
/// Raises when it runs, so that what stands before it in one query has run.
const RAISES_LATE: &str = "SELECT deadheat.refuses";
const ROLLBACK: &str = "ROLLBACK";

/// The name of what is prepared on the way, which no client uses.
const NAME: &str = "deadheat";

/// What the server is sent in place of a refused batch with this end, and what it is
/// going to answer.
pub(super) fn instead(end: Expected, rolls_back: bool) -> (Vec<u8>, Vec<Expected>) {
    use frontend::tag;
    if let Expected::Simple { .. } = end {
        let sql = if rolls_back {
            format!("{ROLLBACK}; {RAISES_LATE}\0")
        } else {
            format!("{RAISES}\0")
        };
        return (message(tag::QUERY, sql.as_bytes()), vec![end]);
    }
    let parse = |sql: &str| message(tag::PARSE, format!("{NAME}\0{sql}\0\0\0").as_bytes());
    let mut messages = Vec::new();
    let mut expected = Vec::new();
    if rolls_back {
        messages.push(parse(ROLLBACK));
        // No formats, no parameters, no formats of columns.
        let bind = format!("{NAME}\0{NAME}\0\0\0\0\0\0\0");
        messages.push(message(tag::BIND, bind.as_bytes()));
        // All rows.
        let execute = format!("{NAME}\0\0\0\0\0");
        messages.push(message(tag::EXECUTE, execute.as_bytes()));
        let close = format!("S{NAME}\0");
        messages.push(message(tag::CLOSE, close.as_bytes()));
        expected.extend([Expected::Reply, Expected::Reply]);
        expected.extend([Expected::Execute, Expected::Reply]);
    }
    messages.push(parse(RAISES));
    expected.push(Expected::Reply);
    let kind = match end {
        Expected::Flush { .. } => tag::FLUSH,
        _ => tag::SYNC,
    };
    messages.push(message(kind, &[]));
    expected.push(end);
    (messages.concat(), expected)
}
