//! From a failing scenario to one that a person would have written.
//!
//! What is simpler, in this order: no migration, fewer faults, fewer calls, then no hang-up and no retry
//! where a plain call does, then simpler values. A pass offers candidates and
//! is told whether each still fails; it knows `model` alone, and neither how a
//! candidate is tried nor how often. The last candidate that failed is the
//! result, so a pass can be stopped at any time.
//!
//! To add a pass: write its file, and name it in [`passes`].

mod calls;
mod faults;
mod migration;
mod roles;
mod tree;

use proptest::strategy::ValueTree;

use crate::model::scenario::Scenario;

/// A way to make a scenario simpler.
pub trait Pass {
    /// The next candidate for `smallest`, the smallest scenario known to fail;
    /// `None` if this pass has no more. `failed` tells how the candidate before
    /// ended; it is `true` at the first call.
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario>;
}

/// The passes over a scenario, in the order in which they run. `tree` is the
/// value tree that generated it, where it is at hand: it simplifies before
/// others, since only the scenario that it made can be simplified by it.
pub fn passes(tree: Option<Box<dyn ValueTree<Value = Scenario>>>) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(migration::DropMigration)];
    if let Some(tree) = tree {
        passes.push(Box::new(tree::Simplify::new(tree)));
    }
    passes.push(Box::new(faults::DropFaults::default()));
    passes.push(Box::new(calls::Halves::default()));
    passes.push(Box::new(calls::DropCalls::default()));
    passes.push(Box::new(roles::PlainRoles::default()));
    passes
}

/// Runs the passes with a test that needs no waiting: for tests and examples.
pub fn shrink(
    scenario: &Scenario,
    passes: &mut [Box<dyn Pass>],
    mut fails: impl FnMut(&Scenario) -> bool,
) -> Scenario {
    let mut smallest = scenario.clone();
    for pass in passes {
        let mut failed = true;
        while let Some(candidate) = pass.next(&smallest, failed) {
            failed = fails(&candidate);
            if failed {
                smallest = candidate;
            }
        }
    }
    smallest
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::model::scenario::{Call, Role, Scenario};

    pub(crate) fn scenario(calls: &[(&str, Role)]) -> Scenario {
        let race = calls
            .iter()
            .map(|(operation, role)| Call {
                operation: (*operation).to_owned(),
                role: role.clone(),
                ..Call::default()
            })
            .collect();
        Scenario {
            race,
            ..Scenario::default()
        }
    }

    pub(crate) fn names(scenario: &Scenario) -> Vec<&str> {
        scenario
            .race
            .iter()
            .map(|call| call.operation.as_str())
            .collect()
    }
}
