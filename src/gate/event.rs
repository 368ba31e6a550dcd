//! What a gate tells.

use crate::hold::Go;

use super::strike::Strike;

/// What happened at the gate. Of one session, events come in the order in which
/// things happened; every [`Arrived`](Event::Arrived) is followed by an
/// [`Answered`](Event::Answered) or by the session's [`Closed`](Event::Closed).
#[derive(Debug)]
pub enum Event {
    /// The server has let a session in.
    Opened {
        /// Its number, counted from 1.
        session: u64,
        /// The gate's port that it came to.
        port: u16,
        /// The server process that serves it, if the server said which.
        backend_pid: Option<i32>,
    },
    /// While steps are held: something went through that is none, or a client has
    /// connected. A sign of life, told at once.
    Stirred {
        /// Whose; `None` before the server has let it in.
        session: Option<u64>,
        /// The gate's port that it came to.
        port: u16,
    },
    /// A step waits to be let go. Everything that came before it in this session is
    /// answered.
    Arrived {
        /// Whose.
        session: u64,
        /// What it is about to run.
        statement: Statement,
        /// Whether the session is inside a transaction.
        in_transaction: bool,
        /// Lets it go, or strikes it.
        go: Go<Strike>,
    },
    /// A step that had arrived has run. Told before the client has the answer.
    Answered {
        /// Whose.
        session: u64,
        /// The answer.
        answer: StepAnswer,
    },
    /// A session that was opened has ended, at the server's side too. What it held
    /// or ran has no answer.
    Closed {
        /// Which.
        session: u64,
    },
}

/// What a step runs: several statements are joined by `; `, their parameters in a
/// row and numbered on. Longer than 256 KiB, it is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The SQL, prepared names resolved. The end of the transaction that statements
    /// run in when there was no BEGIN is `COMMIT`, where it comes as a step of its
    /// own; a call outside SQL is `CALL function 1234`.
    pub sql: String,
    /// In readable form; `None` is NULL.
    pub parameters: Vec<Option<String>>,
}

/// How a step was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepAnswer {
    /// Rows affected or returned, all statements together; `None` where none counts
    /// rows.
    pub rows: Option<u64>,
    /// What the server refused, if it did.
    pub error: Option<SqlError>,
    /// Where the session stands now.
    pub status: TransactionStatus,
}

/// An error of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// The SQLSTATE: five characters.
    pub code: String,
    /// In the server's words.
    pub message: String,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside a transaction.
    #[default]
    Idle,
    /// Inside one.
    InTransaction,
    /// Inside one that can only be rolled back.
    Failed,
}
