//! What an oracle answers.

use serde::{Deserialize, Serialize};

use crate::model::Row;

/// The answer of an oracle to one round.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing is wrong.
    Holds,
    /// Something is.
    Violated(Vec<Violation>),
    /// The round cannot be judged, and why. Counted, and never a pass.
    Inconclusive(String),
}

/// One thing that must not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The oracle that saw it.
    pub oracle: String,
    /// The rule's name: an invariant's, or an operation's.
    pub name: String,
    /// What was violated, in the business's words.
    pub says: String,
    /// The rows or facts that show it.
    pub rows: Vec<Row>,
}

impl Violation {
    /// Whether both tell of the same rule.
    pub fn same_rule(&self, other: &Violation) -> bool {
        self.oracle == other.oracle && self.name == other.name
    }
}
