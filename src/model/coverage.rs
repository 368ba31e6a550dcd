//! What a run has covered: operations by concerns, and why the rest is not.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Something that can go wrong with an operation, and that a test of it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// It does what it is for.
    Success,
    /// A request that is wrong is refused.
    ValidationFailure,
    /// Who may not call it is denied.
    Authorization,
    /// What it leaves in the database is right.
    Persistence,
    /// What breaks in the middle leaves nothing half done.
    Rollback,
    /// The same request twice does no more than once.
    Duplicate,
    /// Others at the same time do it no harm.
    Concurrency,
    /// Its answers look as they were agreed.
    Contract,
    /// It needs no more statements than it should.
    StatementBudget,
}

impl Concern {
    /// Every concern, in the order of the matrix.
    pub const ALL: [Concern; 9] = [
        Concern::Success,
        Concern::ValidationFailure,
        Concern::Authorization,
        Concern::Persistence,
        Concern::Rollback,
        Concern::Duplicate,
        Concern::Concurrency,
        Concern::Contract,
        Concern::StatementBudget,
    ];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Concern::Success => "success",
            Concern::ValidationFailure => "validation-failure",
            Concern::Authorization => "authorization",
            Concern::Persistence => "persistence",
            Concern::Rollback => "rollback",
            Concern::Duplicate => "duplicate",
            Concern::Concurrency => "concurrency",
            Concern::Contract => "contract",
            Concern::StatementBudget => "statement-budget",
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Concern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A name that is no concern's.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no concern")]
pub struct UnknownConcern(String);

impl FromStr for Concern {
    type Err = UnknownConcern;

    fn from_str(name: &str) -> Result<Self, UnknownConcern> {
        Concern::ALL
            .into_iter()
            .find(|concern| concern.name() == name)
            .ok_or_else(|| UnknownConcern(name.to_owned()))
    }
}

/// What became of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Rounds looked at it, and found nothing.
    Covered,
    /// A finding is of it.
    Found,
    /// No round looked at it.
    NotCovered,
    /// There is nothing to look at: an operation that only reads leaves nothing.
    NotApplicable,
}

/// One operation under one concern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The operation's name in the target file.
    pub operation: String,
    /// The concern.
    pub concern: Concern,
    /// Rounds of the search that looked at it and were judged.
    pub rounds: u64,
    /// Findings of the run that are of it.
    pub findings: u64,
    /// What became of it.
    pub state: State,
    /// Why it is not covered, and what to do where that is no line in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The line that covers it, with the table of the target file that it goes to:
    /// `[operations.pay] max_statements = 20`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
}

/// What a run is held to, and where it falls short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldTo {
    /// The concerns that every operation has to be covered for.
    pub required: Vec<Concern>,
    /// The cells of these that are not.
    pub missing: Vec<Cell>,
}

impl HeldTo {
    /// Holds a run to these concerns.
    pub fn new(required: &[Concern], cells: &[Cell]) -> HeldTo {
        let is_missing =
            |cell: &&Cell| cell.state == State::NotCovered && required.contains(&cell.concern);
        HeldTo {
            required: required.to_vec(),
            missing: cells.iter().filter(is_missing).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for concern in Concern::ALL {
            assert_eq!(concern.name().parse::<Concern>().unwrap(), concern);
            assert_eq!(serde_json::to_value(concern).unwrap(), concern.name());
        }
        assert!("concurency".parse::<Concern>().is_err());
    }

    #[test]
    fn only_what_is_required_and_could_be_covered_is_missing() {
        let cell = |concern, state| Cell {
            operation: "pay".to_owned(),
            concern,
            rounds: 0,
            findings: 0,
            state,
            why: None,
            add: None,
        };
        let cells = [
            cell(Concern::Rollback, State::NotCovered),
            cell(Concern::Duplicate, State::Covered),
            cell(Concern::Persistence, State::NotApplicable),
            cell(Concern::Contract, State::NotCovered),
        ];
        let required = [Concern::Rollback, Concern::Duplicate, Concern::Persistence];
        let held = HeldTo::new(&required, &cells);
        assert_eq!(held.missing, [cells[0].clone()]);
    }
}
