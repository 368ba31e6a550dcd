//! A finding: all that a person needs to see it and to see it again.

use serde::{Deserialize, Serialize};

use crate::model::engine::Engine;
use crate::model::history::History;
use crate::model::scenario::Scenario;
use crate::model::schedule::Schedule;
use crate::model::verdict::Violation;

/// The version of the finding's shape on disk.
pub const FORMAT: u32 = 1;

/// One cause, found, shrunk and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// [`FORMAT`] of the deadheat that wrote it.
    pub format: u32,
    /// The version of the deadheat that wrote it.
    pub deadheat: String,
    /// The target's name.
    pub target: String,
    /// The folder of the target as it was given on the command line.
    pub target_folder: String,
    /// The engine it was found on.
    pub engine: Engine,
    /// The service's variables that the command line overrode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// The oracle of the first violation.
    pub oracle: String,
    /// The rule of the first violation.
    pub name: String,
    /// What must not be, in the business's words.
    pub says: String,
    /// The seed of the round that first showed it, as a decimal text: it has
    /// 64 bits, and JSON's numbers lose some of them in many readers.
    pub seed: String,
    /// The fewest and most calls of a race, as the generator was asked.
    pub calls: (usize, usize),
    /// The shrunk scenario.
    pub scenario: Scenario,
    /// The choices made at the gate; `None` for a free race.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Everything that the last failing try violated.
    pub violations: Vec<Violation>,
    /// What the clients of the last failing try saw.
    pub history: History,
    /// How often the shrunk scenario fails.
    pub rate: Rate,
    /// Where the service left the schedule, if it did in one of the tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// Rounds until it was first seen.
    pub found_after_rounds: u64,
    /// Seconds until it was first seen.
    pub found_after_s: f64,
    /// Calls in the scenario before it was shrunk.
    pub calls_before_shrinking: usize,
    /// Whether it was in the corpus before this run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    /// Where it is kept; not part of the kept file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How often something failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Tries that failed.
    pub hits: u32,
    /// Tries made.
    pub tries: u32,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.hits, self.tries)
    }
}
