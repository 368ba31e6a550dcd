//! What happened in a round, as the clients saw it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Row;
use crate::model::step::Step;

/// A request as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in the order in which they were sent.
    pub headers: Vec<(String, String)>,
    /// The body's text; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header names and values as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body as text; bytes that are no UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// How a call ended for its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It was answered.
    Answered(Answer),
    /// The client left, as the scenario asked.
    HungUp,
    /// No answer came within the limit.
    NoAnswer {
        /// The limit in milliseconds.
        within_ms: u64,
    },
    /// The service closed the connection without an answer.
    Dropped(String),
}

/// Statuses that say "not now", unless the target file names others: conflict, locked,
/// too early, too many requests, unavailable.
pub const REFUSALS: [u16; 5] = [409, 423, 425, 429, 503];

/// What the target file expects of an operation's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The statuses it may answer; empty means any below 500.
    pub answers: Vec<u16>,
    /// The statuses that say that nothing was done, and to try again.
    pub refusals: Vec<u16>,
    /// The most statements that it may need.
    pub max_statements: Option<usize>,
    /// Where the file says who may call it: what its caller is allowed.
    pub access: Option<Access>,
    /// What is known of a request that was spoiled on purpose.
    pub spoiled: Option<Spoiled>,
}

/// What the target file allows a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who calls: an actor's name.
    pub actor: String,
    /// Whether it was allowed when the race began.
    pub before: bool,
    /// Whether it was when the race was over.
    pub after: bool,
    /// The statuses that deny.
    pub denied: Vec<u16>,
    /// The rows that its answer shows and that its caller may not see.
    pub strangers: Vec<Value>,
    /// The fields of the row that it is denied.
    pub secrets: Row,
}

impl Access {
    /// Whether it was allowed at no time of the race.
    pub fn is_denied(&self) -> bool {
        !self.before && !self.after
    }
}

/// What is known of a request that was spoiled on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoiled {
    /// Where, and what stands there.
    pub what: String,
    /// Whether the contract allows the request as it is; `None` if it does not say.
    pub allowed: Option<bool>,
}

impl Default for Expected {
    fn default() -> Self {
        Expected {
            answers: Vec::new(),
            refusals: REFUSALS.to_vec(),
            max_statements: None,
            access: None,
            spoiled: None,
        }
    }
}

/// One call of the race, made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The operation's name.
    pub operation: String,
    /// The idempotency key that it carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was sent.
    pub request: Request,
    /// From the race's start to the release of the last byte, in microseconds;
    /// `None` if it was never released.
    pub released_us: Option<u64>,
    /// From the race's start to the end, in microseconds.
    pub ended_us: Option<u64>,
    /// How it ended.
    pub ending: Ending,
    /// Whether the answer says that it was done, by the target file's rule.
    pub succeeded: bool,
    /// Whether a replica of the service's next version was called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub next: bool,
    /// Whether a fault of the scenario has struck it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub struck: bool,
    /// What the target file expects.
    #[serde(default, skip)]
    pub expected: Expected,
}

impl Made {
    /// The answer, if one came.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.ending {
            Ending::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether it was refused for now: it has to count as one that did not happen.
    pub fn is_refused(&self) -> bool {
        let refused = |answer: &Answer| self.expected.refusals.contains(&answer.status);
        !self.succeeded && self.answer().is_some_and(refused)
    }

    /// Whether its client cannot know what was done: nothing, all of it, or (which must
    /// not be) a part.
    pub fn is_in_doubt(&self) -> bool {
        let failed = |answer: &Answer| answer.status >= 500;
        let by_fault = self.struck && !self.succeeded;
        by_fault || !self.is_refused() && self.answer().is_none_or(failed)
    }

    /// From release to answer.
    pub fn latency(&self) -> Option<Duration> {
        self.answer()?;
        let micros = self.ended_us?.checked_sub(self.released_us?)?;
        Some(Duration::from_micros(micros))
    }
}

/// What happened in a race: what its clients saw and, where a gate stood between
/// service and database, what its calls did there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The calls, in the order of the scenario.
    pub calls: Vec<Made>,
    /// The steps in the order in which they moved; none for a free race.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What died of a fault, without being killed, or of a migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Died>,
    /// The pages that a call was read by, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Walk>,
    /// The migration that ran among the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migrated>,
}

/// The rows of a list that was read page by page three times: before, while and after
/// other calls were made. Each row as the text of what tells it apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The operation's name.
    pub operation: String,
    /// The pages before.
    pub before: Vec<Vec<String>>,
    /// The pages with a call after each, as long as there were any.
    pub during: Vec<Vec<String>>,
    /// The pages afterwards.
    pub after: Vec<Vec<String>>,
    /// The rows that all pages together show, by the target file, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<[Vec<String>; 2]>,
    /// Whether there was no end of pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
}

/// How a migration ended that ran among calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// Its name in the target file.
    pub name: String,
    /// Which statement failed, and why; `None` if all were done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it lost against others who lock the same: whoever runs it tries again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// A replica of the service that ended by itself after a fault had struck, or while a
/// migration ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Died {
    /// The operation of the call that the fault struck, or else of the first.
    pub operation: String,
    /// Which replica, how it ended, and what it said.
    pub why: String,
}
