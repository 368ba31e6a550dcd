//! Who moved when, as data: the choices made at the gate in one round.

use serde::{Deserialize, Serialize};

use crate::model::step::{Action, Step};

/// The choices of a round, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule {
    /// Which call moved, and to do what.
    pub choices: Vec<Choice>,
}

impl Schedule {
    /// The choices that made these steps move, in this order.
    pub fn of(steps: &[Step]) -> Schedule {
        Schedule {
            choices: steps.iter().map(Choice::of).collect(),
        }
    }
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Index of the call in the scenario's race.
    pub call: usize,
    /// What it was let do, without its values: by this a replay knows whether the
    /// service still offers the choice.
    pub action: String,
}

impl Choice {
    /// The choice of a step.
    pub fn of(step: &Step) -> Choice {
        let action = match &step.action {
            Action::Begin => "begin".to_owned(),
            Action::Sql { statement, .. } => statement.clone(),
            Action::ThirdParty { stub, request } => format!("{stub}: {request}"),
        };
        Choice {
            call: step.call,
            action,
        }
    }

    /// Whether a step is what was chosen.
    pub fn is(&self, step: &Step) -> bool {
        *self == Choice::of(step)
    }
}
