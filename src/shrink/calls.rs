//! Dropping calls: first half of the race at once, then one call after another.

use crate::model::scenario::Scenario;
use crate::shrink::Pass;

/// Drops ever smaller runs of calls, as delta debugging does (Zeller and
/// Hildebrandt, TSE 2002). Cheap where much of a large race is noise.
#[derive(Debug, Default)]
pub struct Halves {
    /// Calls dropped at once; 0 before the first candidate.
    length: usize,
    /// The first call to drop.
    at: usize,
}

impl Pass for Halves {
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario> {
        let calls = smallest.race.len();
        if self.length == 0 {
            self.length = calls / 2;
        } else if !failed {
            self.at += self.length;
        }
        loop {
            if self.length < 2 {
                return None;
            }
            if self.at >= calls {
                self.length /= 2;
                self.at = 0;
                continue;
            }
            // From the last to the first, so that indices stay true.
            let last = calls.min(self.at + self.length);
            let candidate = (self.at..last)
                .rev()
                .try_fold(smallest.clone(), |left, index| left.without(index));
            if candidate.is_some() {
                return candidate;
            }
            self.at += self.length;
        }
    }
}

/// Drops one call after another until none can be spared.
#[derive(Debug, Default)]
pub struct DropCalls {
    /// How many calls, counted from the last, cannot be spared.
    kept: usize,
    started: bool,
}

impl Pass for DropCalls {
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario> {
        if self.started {
            // A call that could be dropped may make another one needless.
            self.kept = if failed { 0 } else { self.kept + 1 };
        }
        self.started = true;
        while self.kept < smallest.race.len() {
            let index = smallest.race.len() - 1 - self.kept;
            if let Some(candidate) = smallest.without(index) {
                return Some(candidate);
            }
            self.kept += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scenario::Role;
    use crate::shrink::shrink;
    use crate::shrink::testing::{names, scenario};

    #[test]
    fn only_the_calls_that_are_needed_are_left() {
        let all = ["x", "a", "x", "x", "b", "x", "x", "x"].map(|name| (name, Role::Original));
        let start = scenario(&all);
        let mut tries = 0;
        let mut passes: Vec<Box<dyn Pass>> =
            vec![Box::new(Halves::default()), Box::new(DropCalls::default())];
        let smallest = shrink(&start, &mut passes, |candidate| {
            tries += 1;
            names(candidate).contains(&"a") && names(candidate).contains(&"b")
        });
        assert_eq!(names(&smallest), ["a", "b"]);
        assert!(tries < 30, "{tries}");
    }

    #[test]
    fn a_race_of_two_has_nothing_to_drop() {
        let start = scenario(&[("a", Role::Original), ("b", Role::Original)]);
        assert_eq!(DropCalls::default().next(&start, true), None);
        assert_eq!(Halves::default().next(&start, true), None);
    }
}
