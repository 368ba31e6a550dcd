//! What goes wrong on purpose, and where: faults as data.
//!
//! A fault strikes one step of one call. It stands in the scenario, so it is kept,
//! shrunk and replayed like the calls themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::schedule::Choice;
use crate::model::step::Step;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Index of the call in the scenario's race.
    pub call: usize,
    /// Which of the call's steps it strikes: 0 is the request itself, then every step
    /// of the call that is held, in order.
    pub step: usize,
    /// What that step does, without its values: by this a replay knows whether the
    /// service still offers it.
    pub action: String,
    /// What goes wrong there.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection to the database is cut before the step runs.
    CutBefore,
    /// It is cut when the step has run, before the answer: a commit in doubt.
    CutAfter,
    /// The database refuses the step.
    Refused(SqlState),
    /// The third party answers 500, and has done nothing.
    ServerError,
    /// The third party does it, and answers late.
    Slow {
        /// By so many milliseconds.
        ms: u64,
    },
    /// The third party does it, and never answers.
    NeverAnswers,
    /// The third party does it, and closes the connection without an answer.
    HangsUp,
    /// The third party does it, and sends its webhook twice.
    WebhookTwice,
    /// The third party does it, and sends its webhook before it answers.
    WebhookBefore,
    /// The client sends half of its request, and leaves.
    HangUpHalfWay,
    /// The client leaves before the step runs. Then it runs.
    HangUp,
    /// The process that serves the call is killed before the step runs, and started
    /// again. What was asked of a third party by then, that does.
    Killed,
}

/// With what a database refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SqlState {
    /// The transaction does not fit others that ran at the same time.
    SerializationFailure,
    /// The server has broken a deadlock.
    DeadlockDetected,
    /// A lock was waited for too long.
    LockNotAvailable,
    /// There is no room left.
    DiskFull,
    /// The server takes no more connections.
    TooManyConnections,
}

impl SqlState {
    /// Every one of them.
    pub const ALL: [SqlState; 5] = [
        SqlState::SerializationFailure,
        SqlState::DeadlockDetected,
        SqlState::LockNotAvailable,
        SqlState::DiskFull,
        SqlState::TooManyConnections,
    ];

    /// The five characters that stand for it.
    pub fn code(self) -> &'static str {
        match self {
            SqlState::SerializationFailure => "40001",
            SqlState::DeadlockDetected => "40P01",
            SqlState::LockNotAvailable => "55P03",
            SqlState::DiskFull => "53100",
            SqlState::TooManyConnections => "53300",
        }
    }

    /// As the server says it.
    pub fn message(self) -> &'static str {
        match self {
            SqlState::SerializationFailure => "could not serialize access due to concurrent update",
            SqlState::DeadlockDetected => "deadlock detected",
            SqlState::LockNotAvailable => "canceling statement due to lock timeout",
            SqlState::DiskFull => {
                "could not extend file \"base/16384/16385\": No space left on device"
            }
            SqlState::TooManyConnections => "sorry, too many clients already",
        }
    }
}

/// What the faults of a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FaultsTried {
    /// Rounds with one fault, of one operation at a time.
    pub tried: u64,
    /// Seconds that they took.
    pub elapsed_s: f64,
    /// Rounds of a race with a fault that struck.
    pub in_races: u64,
    /// Rounds of a race whose fault did not, for the call moved otherwise.
    pub not_in_races: u64,
    /// The steps that were struck, in the order of their operations.
    pub steps: Vec<StepTried>,
}

/// What the faults at one step of an operation came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTried {
    /// The operation's name in the target file.
    pub operation: String,
    /// Which of the call's steps; see [`Fault::step`].
    pub step: usize,
    /// The step in a few words.
    pub action: String,
    /// Each fault that was tried.
    pub tried: Vec<Tried>,
}

/// One fault that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// What went wrong.
    pub kind: FaultKind,
    /// What became of it.
    pub came_to: CameTo,
    /// Milliseconds that the round took.
    pub took_ms: u64,
}

/// What a round with a fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameTo {
    /// The service survived it.
    Fine,
    /// Something that must not be was.
    Violated,
    /// The fault did not strike: the service moved otherwise.
    NotStruck,
    /// It could not be judged.
    Unjudged,
}

impl FaultKind {
    /// Whether it is the client that goes away.
    pub fn leaves(self) -> bool {
        matches!(self, FaultKind::HangUp | FaultKind::HangUpHalfWay)
    }

    /// What befalls a step of this name.
    pub fn befalls(self, step: &str) -> String {
        match self {
            FaultKind::CutBefore => format!("cut off before `{step}` ran"),
            FaultKind::CutAfter => format!("cut off after `{step}` ran, before its answer"),
            FaultKind::Refused(state) => {
                format!("`{step}` refused: {} {}", state.code(), state.message())
            }
            FaultKind::ServerError => format!("`{step}` answered 500, and not done"),
            FaultKind::Slow { ms } => format!("`{step}` done, and answered {ms} ms late"),
            FaultKind::NeverAnswers => format!("`{step}` done, and never answered"),
            FaultKind::HangsUp => format!("`{step}` done, and hung up on instead of answered"),
            FaultKind::WebhookTwice => format!("the webhook of `{step}` sent twice"),
            FaultKind::WebhookBefore => format!("the webhook of `{step}` sent before its answer"),
            FaultKind::HangUpHalfWay => "the client left half-way through its request".to_owned(),
            FaultKind::HangUp => format!("the client left before `{step}` ran"),
            FaultKind::Killed => format!("the service killed before `{step}` ran"),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::CutBefore => f.write_str("cut before"),
            FaultKind::CutAfter => f.write_str("cut after"),
            FaultKind::Refused(state) => write!(f, "refused {}", state.code()),
            FaultKind::ServerError => f.write_str("answers 500"),
            FaultKind::Slow { ms } => write!(f, "answers {ms} ms late"),
            FaultKind::NeverAnswers => f.write_str("never answers"),
            FaultKind::HangsUp => f.write_str("hangs up"),
            FaultKind::WebhookTwice => f.write_str("webhook twice"),
            FaultKind::WebhookBefore => f.write_str("webhook before the answer"),
            FaultKind::HangUpHalfWay => f.write_str("client leaves half-way"),
            FaultKind::HangUp => f.write_str("client leaves"),
            FaultKind::Killed => f.write_str("killed"),
        }
    }
}

impl Fault {
    /// A fault at one of a call's steps, which is the `number`th of them.
    pub fn at(number: usize, step: &Step, kind: FaultKind) -> Fault {
        let Choice { call, action } = Choice::of(step);
        Fault {
            call,
            step: number,
            action,
            kind,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.befalls(&self.action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_is_readable_as_data_and_in_words() {
        let fault = |kind| Fault {
            call: 0,
            step: 3,
            action: "COMMIT".to_owned(),
            kind,
        };
        let cut = fault(FaultKind::CutAfter);
        let kept = json!({"call": 0, "step": 3, "action": "COMMIT", "kind": "cut-after"});
        assert_eq!(serde_json::to_value(&cut).unwrap(), kept);
        assert_eq!(serde_json::from_value::<Fault>(kept).unwrap(), cut);
        assert_eq!(
            cut.to_string(),
            "cut off after `COMMIT` ran, before its answer"
        );
        let refused = fault(FaultKind::Refused(SqlState::DeadlockDetected));
        let kind = serde_json::to_value(refused.kind).unwrap();
        assert_eq!(kind, json!({"refused": "deadlock-detected"}));
        assert_eq!(
            refused.to_string(),
            "`COMMIT` refused: 40P01 deadlock detected"
        );
        assert_eq!(refused.kind.to_string(), "refused 40P01");
    }
}
