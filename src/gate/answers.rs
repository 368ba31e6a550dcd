//! Which of the server's answers belongs to which message of the client.
//!
//! A server answers in order. So each message that asks for an answer waits in a
//! queue, and what the server says takes it from there. After an error the server
//! skips what is not simple SQL up to the next Sync; while it copies in, it skips
//! Sync and Flush.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::wire::postgres::backend::{self, tag};
use crate::wire::postgres::frames::Frame;

use super::event::{SqlError, StepAnswer, TransactionStatus};
use super::names::Prepared;

/// A message that was passed to the server and has no answer yet. `step` says that
/// its end is the end of a step that had arrived.
#[derive(Debug)]
pub(super) enum Expected {
    /// A Parse, Bind or Close: one short message.
    Reply,
    /// A Describe, of a statement or of a portal.
    Describe(Option<Arc<Prepared>>),
    Execute,
    Flush {
        step: bool,
    },
    Sync {
        step: bool,
    },
    /// A Query or a function call, which end with the server ready.
    Simple {
        step: bool,
    },
    /// The client's end of copying in. Has no answer of its own.
    CopyEnd,
}

impl Expected {
    /// Its end is the end of a step.
    pub(super) fn is_step(&mut self) {
        if let Expected::Flush { step } | Expected::Sync { step } | Expected::Simple { step } = self
        {
            *step = true;
        }
    }
}

/// What the server does with what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Answering,
    /// After an error it skips all up to the next Sync.
    Skipping,
    /// It copies in, until the client ends that.
    Copying,
}

/// The answers of one session.
#[derive(Debug, Default)]
pub(super) struct Answers {
    expected: VecDeque<Expected>,
    /// As the server said when it was last ready, or by command tags since.
    status: TransactionStatus,
    /// Statements have run outside a transaction block, and no Sync has ended them.
    implicit: bool,
    phase: Phase,
    /// A step whose Sync the server has taken for part of a copy.
    overtaken: bool,
    rows: Option<u64>,
    /// Rows sent by the portal that is running.
    sent: u64,
    error: Option<SqlError>,
}

/// Whether the server's message has a body that matters here.
pub(super) fn is_wanted(tag: u8) -> bool {
    matches!(
        tag,
        tag::COMMAND_COMPLETE | tag::ERROR | tag::READY | tag::PARAMETERS | tag::KEY_DATA
    )
}

impl Answers {
    pub(super) fn is_settled(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn status(&self) -> TransactionStatus {
        if self.phase == Phase::Skipping
            && (self.implicit || self.status != TransactionStatus::Idle)
        {
            TransactionStatus::Failed
        } else if self.implicit && self.status == TransactionStatus::Idle {
            TransactionStatus::InTransaction
        } else {
            self.status
        }
    }

    /// Whether a Sync would commit what ran outside a transaction block.
    pub(super) fn sync_commits(&self) -> bool {
        self.implicit && self.phase != Phase::Skipping && self.status == TransactionStatus::Idle
    }

    /// A message is about to be passed on. Gives the answer of a step that the
    /// server is going to skip.
    pub(super) fn expect(&mut self, expected: Expected) -> Option<StepAnswer> {
        if self.phase == Phase::Copying {
            match expected {
                Expected::CopyEnd => self.phase = Phase::Answering,
                Expected::Sync { step } | Expected::Flush { step } => {
                    self.overtaken |= step;
                    return None;
                }
                _ => {}
            }
        }
        self.expected.push_back(expected);
        self.pass_silent()
    }

    /// The server has said something.
    pub(super) fn told(&mut self, frame: Frame<'_>) -> Option<StepAnswer> {
        match frame.tag {
            tag::DATA_ROW => self.sent += 1,
            tag::COMMAND_COMPLETE => self.completed(frame.body),
            tag::EMPTY_QUERY => self.executed(),
            tag::PORTAL_SUSPENDED => {
                self.rows = Some(self.rows.unwrap_or(0) + self.sent);
                self.ran();
                self.executed();
            }
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE => {
                self.pop_if(|expected| matches!(expected, Expected::Reply));
            }
            tag::PARAMETERS => {
                if let Some(Expected::Describe(Some(prepared))) = self.expected.front() {
                    // Described a second time, it is the same.
                    let _ = prepared.described.set(backend::parameter_types(frame));
                }
            }
            tag::ROW_DESCRIPTION | tag::NO_DATA => {
                self.pop_if(|expected| matches!(expected, Expected::Describe(_)));
            }
            tag::COPY_IN => self.copies_in(),
            tag::ERROR => self.failed(frame),
            tag::READY => return self.ready(frame.body),
            _ => return None,
        }
        self.pass_silent()
    }

    fn pop_if(&mut self, is_it: impl Fn(&Expected) -> bool) {
        if self.expected.front().is_some_and(is_it) {
            self.expected.pop_front();
        }
    }

    fn completed(&mut self, body: &[u8]) {
        let (command, count) = backend::completed(body);
        if let Some(count) = count {
            self.rows = Some(self.rows.unwrap_or(0) + count);
        }
        match command {
            b"BEGIN" | b"START" => self.status = TransactionStatus::InTransaction,
            // ROLLBACK may have been to a savepoint; READY says more.
            b"COMMIT" | b"ROLLBACK" => {
                self.status = TransactionStatus::Idle;
                self.implicit = false;
                self.executed();
                return;
            }
            _ => {}
        }
        self.ran();
        self.executed();
    }

    /// A statement has run that a Sync has yet to commit, unless in a block.
    fn ran(&mut self) {
        if matches!(self.expected.front(), Some(Expected::Execute)) {
            self.implicit = self.status == TransactionStatus::Idle;
        }
    }

    fn executed(&mut self) {
        self.sent = 0;
        self.pop_if(|expected| matches!(expected, Expected::Execute));
    }

    /// Takes what has no answer of its own from the front of the queue, and what the
    /// server skips.
    fn pass_silent(&mut self) -> Option<StepAnswer> {
        let skips = self.phase == Phase::Skipping;
        let mut answer = None;
        while let Some(front) = self.expected.front() {
            let step = match front {
                Expected::CopyEnd => false,
                Expected::Flush { step } => *step,
                Expected::Sync { .. } => break,
                Expected::Simple { step } if skips => *step,
                _ if skips => false,
                _ => break,
            };
            let is_end = matches!(front, Expected::Flush { .. } | Expected::Simple { .. });
            self.expected.pop_front();
            if is_end {
                answer = self.end(step).or(answer);
            }
        }
        answer
    }

    /// Something ends here, perhaps a step.
    fn end(&mut self, step: bool) -> Option<StepAnswer> {
        let step = step || std::mem::take(&mut self.overtaken);
        let answer = StepAnswer {
            rows: self.rows.take(),
            error: self.error.take(),
            status: self.status(),
        };
        step.then_some(answer)
    }

    /// The Syncs that follow, up to the end of the copy, go unanswered.
    fn copies_in(&mut self) {
        if !matches!(self.expected.front(), Some(Expected::Execute)) {
            return;
        }
        let mut left = VecDeque::new();
        let mut ended = false;
        for expected in self.expected.drain(..) {
            match expected {
                Expected::CopyEnd => ended = true,
                Expected::Sync { step } | Expected::Flush { step } if !ended => {
                    self.overtaken |= step;
                    continue;
                }
                _ => {}
            }
            left.push_back(expected);
        }
        self.expected = left;
        if !ended {
            self.phase = Phase::Copying;
        }
    }

    fn failed(&mut self, frame: Frame<'_>) {
        let Some(front) = self.expected.front() else {
            // Of no message: the server ends the session.
            return;
        };
        // At a Sync, what fails is the commit, and the server is ready next.
        self.phase = match front {
            Expected::Sync { .. } | Expected::Simple { .. } => Phase::Answering,
            _ => Phase::Skipping,
        };
        self.sent = 0;
        let error = backend::error(frame);
        self.error = Some(SqlError {
            code: error.code,
            message: error.message,
        });
    }

    fn ready(&mut self, body: &[u8]) -> Option<StepAnswer> {
        self.status = match body.first() {
            Some(b'T') => TransactionStatus::InTransaction,
            Some(b'E') => TransactionStatus::Failed,
            _ => TransactionStatus::Idle,
        };
        (self.implicit, self.phase) = (false, Phase::Answering);
        self.sent = 0;
        let mut step = false;
        while let Some(expected) = self.expected.pop_front() {
            match expected {
                Expected::Sync { step: own } | Expected::Simple { step: own } => {
                    step |= own;
                    break;
                }
                Expected::Flush { step: own } => step |= own,
                _ => {}
            }
        }
        let answer = self.end(step);
        self.pass_silent().or(answer)
    }
}
