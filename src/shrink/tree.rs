//! proptest's own simplification: the value tree that made the scenario drops
//! calls and moves each value towards its simplest.

use proptest::strategy::ValueTree;

use crate::model::scenario::Scenario;
use crate::shrink::Pass;

/// A bound on the steps that lead to a scenario seen before: several draws can
/// make one scenario, and a tree may take many of them to reach another.
const MOST_IDLE_STEPS: u32 = 200;

/// Follows a value tree.
pub struct Simplify {
    tree: Box<dyn ValueTree<Value = Scenario>>,
    started: bool,
}

impl Simplify {
    /// Follows the tree whose current scenario failed.
    pub fn new(tree: Box<dyn ValueTree<Value = Scenario>>) -> Self {
        Simplify {
            tree,
            started: false,
        }
    }
}

impl Pass for Simplify {
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario> {
        let mut simpler = failed || !self.started;
        self.started = true;
        for _ in 0..MOST_IDLE_STEPS {
            let moved = if simpler {
                self.tree.simplify()
            } else {
                self.tree.complicate()
            };
            if !moved {
                return None;
            }
            // The tree knows of no faults and no migration; they stay where they are.
            let mut candidate = self.tree.current();
            candidate.faults.clone_from(&smallest.faults);
            candidate.migration.clone_from(&smallest.migration);
            if candidate.race.len() >= 2 && candidate != *smallest {
                return Some(candidate);
            }
            // The same scenario fails as it did before; fewer than two calls
            // are no race and cannot fail.
            simpler = candidate == *smallest;
        }
        None
    }
}
