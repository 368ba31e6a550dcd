//! Fewer faults: what fails without one is no matter of that fault.

use crate::model::scenario::Scenario;
use crate::shrink::Pass;

/// Drops one fault after another.
#[derive(Debug, Default)]
pub struct DropFaults {
    at: usize,
    started: bool,
}

impl Pass for DropFaults {
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario> {
        if self.started && !failed {
            self.at += 1;
        }
        self.started = true;
        if self.at >= smallest.faults.len() {
            return None;
        }
        let mut candidate = smallest.clone();
        candidate.faults.remove(self.at);
        Some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Fault, FaultKind};
    use crate::model::scenario::Role;
    use crate::shrink::shrink;
    use crate::shrink::testing::scenario;

    #[test]
    fn only_the_faults_that_are_needed_are_left() {
        let mut start = scenario(&[("a", Role::Original)]);
        let fault = |step| Fault {
            call: 0,
            step,
            action: "COMMIT".to_owned(),
            kind: FaultKind::CutAfter,
        };
        start.faults = (0..3).map(fault).collect();
        let fails = |candidate: &Scenario| candidate.faults.contains(&fault(1));
        let smallest = shrink(&start, &mut [Box::new(DropFaults::default())], fails);
        assert_eq!(smallest.faults, [fault(1)]);
    }
}
