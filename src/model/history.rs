//! What happened in a round, as the clients saw it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The statuses it may answer; empty means any below 500.
    pub answers: Vec<u16>,
    /// The statuses that say that nothing was done, and to try again.
    pub refusals: Vec<u16>,
}

impl Default for Expected {
    fn default() -> Self {
        Expected {
            answers: Vec::new(),
            refusals: REFUSALS.to_vec(),
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
    /// What died of a fault, without being killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Died>,
}

/// A replica of the service that ended by itself after a fault had struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Died {
    /// The operation of the call that the fault struck.
    pub operation: String,
    /// Which replica, how it ended, and what it said.
    pub why: String,
}
