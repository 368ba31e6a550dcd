//! All that one-at-a-time rounds have told, for as long as a hunt runs.

use std::collections::HashMap;

use crate::model::scenario::Scenario;
use crate::oracle::outcome::knowledge::Knowledge;
use crate::oracle::outcome::known::Known;

/// With so many outcomes remembered, all are forgotten: to make some again costs little,
/// and a long run must not need ever more memory.
const MOST_REMEMBERED: usize = 5000;

/// What is known of places, and of the scenarios that were met of late.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is known of places.
    pub knowledge: Knowledge,
    known: HashMap<String, Known>,
    /// How often it was looked a second time at what a round left.
    pub second_looks: u32,
}

impl Memory {
    /// A memory of nothing but that.
    pub fn new(knowledge: Knowledge) -> Memory {
        Memory {
            knowledge,
            known: HashMap::new(),
            second_looks: 0,
        }
    }

    /// Takes out what is known of a scenario, to be put back.
    pub fn take(&mut self, scenario: &Scenario) -> Known {
        self.known.remove(&name(scenario)).unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&mut self, scenario: &Scenario, known: Known) {
        let remembered: usize = self.known.values().map(Known::rounds).sum();
        if remembered >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(name(scenario), known);
    }
}

/// What is the same for all races of the same calls, however they are raced.
fn name(scenario: &Scenario) -> String {
    let calls: Vec<_> = scenario
        .race
        .iter()
        .map(|call| {
            (
                &call.operation,
                &call.actor,
                &call.values,
                &call.key,
                &call.spoil,
            )
        })
        .collect();
    // Plain data, so this cannot fail.
    serde_json::to_string(&(&scenario.setup, calls, scenario.grown)).unwrap_or_default()
}
