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

/// What the target file expects of an operation's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The statuses it may answer; empty means any below 500.
    pub answers: Vec<u16>,
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
}
