//! The one stream of events that a hunt emits, and what listens to it.
//!
//! The hunt knows none of its listeners. A listener names even the events that
//! it ignores, so that a new event is met by each of them on purpose.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::model::allowance::Allowance;
use crate::model::coverage::{Cell, HeldTo};
use crate::model::engine::Engine;
use crate::model::fault::FaultsTried;
use crate::model::finding::{Finding, Rate};
use crate::model::verdict::Violation;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step of the preparation, for a person who waits.
    Preparing(String),
    /// Everything stands; rounds begin.
    RunStarted {
        /// The target's name.
        target: String,
        /// The engine.
        engine: Engine,
        /// The run's seed.
        seed: u64,
        /// How many rounds at most.
        rounds: Option<u64>,
        /// How long at most.
        budget: Option<Duration>,
    },
    /// A finding of the corpus was tried again.
    CorpusTried {
        /// Its file.
        file: String,
        /// How often it failed now.
        rate: Rate,
        /// Whether the service no longer offers its schedule, so that others of the
        /// same calls were tried.
        not_offered: bool,
    },
    /// A round of the search has been judged.
    RoundDone {
        /// Rounds so far, this one included.
        rounds: u64,
        /// From the start of the first round.
        elapsed: Duration,
        /// Findings so far.
        findings: usize,
    },
    /// A round violated something that no finding explains yet.
    Violated {
        /// The round's seed.
        seed: u64,
        /// What it violated.
        violations: Vec<Violation>,
        /// The calls in its race.
        calls: usize,
    },
    /// A candidate has been tried in shrinking.
    Shrinking {
        /// Candidates tried so far.
        candidates: u32,
        /// Calls in the smallest race that still fails.
        calls: usize,
    },
    /// A finding, shrunk and measured.
    Found(Box<Finding>),
    /// Something that a person should know and that is no finding.
    Warning(String),
    /// The run is over.
    RunEnded(Box<Summary>),
}

/// What a run did, whole.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The version of deadheat.
    pub deadheat: String,
    /// The target's name.
    pub target: String,
    /// The engine.
    pub engine: Engine,
    /// The run's seed, as a decimal text.
    pub seed: String,
    /// Rounds of the search.
    pub rounds: u64,
    /// Those of them in which it was decided at the gate who moves when.
    pub gated_rounds: u64,
    /// Those of them in which a migration ran among the calls.
    pub mixed_rounds: u64,
    /// Rounds made to shrink, to measure rates and to try the corpus.
    pub extra_rounds: u64,
    /// What came of asking for one-at-a-time orders.
    pub outcomes: Outcomes,
    /// Rounds that could not be judged.
    pub inconclusive: u64,
    /// Why they could not, and how many each.
    pub inconclusive_why: BTreeMap<String, u64>,
    /// Seconds from the first round to the end.
    pub elapsed_s: f64,
    /// Whether it was stopped before its budget was used.
    pub interrupted: bool,
    /// What ended it before its budget was used, if the environment did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The findings.
    pub findings: Vec<Finding>,
    /// How many rounds violated something that a finding explains already.
    pub explained_rounds: u64,
    /// The calls that were to be made one at a time, before any race, and for which the
    /// budget did not suffice.
    pub checks_left_out: usize,
    /// What faults were tried, and what they came to; `None` if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultsTried>,
    /// Answer times by operation.
    pub latency: BTreeMap<String, Latency>,
    /// Every operation under every concern, operations in the order of the file.
    pub coverage: Vec<Cell>,
    /// What the run is held to, if it is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub held_to: Option<HeldTo>,
}

/// What came of asking, round by round, whether some one-at-a-time order of the calls
/// explains what they have left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcomes {
    /// Rounds that an order explains.
    pub explained: u64,
    /// Rounds that none does.
    pub unexplained: u64,
    /// Rounds of which it could not be told, by the reason.
    pub unclear: BTreeMap<String, u64>,
    /// One-at-a-time rounds that were made for it.
    pub one_by_one: u64,
    /// What the target file lets depart from every order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<Allowance>,
}

/// Percentiles of an operation's answer times in the races.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Answers measured.
    pub answers: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile, in milliseconds.
    pub p90_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// The slowest, in milliseconds.
    pub max_ms: f64,
}

/// What wants to know what happens in a run.
pub trait Listener {
    /// Called for each event, in order, on the task of the hunt: it must not
    /// take long.
    fn on(&mut self, event: &Event);
}
