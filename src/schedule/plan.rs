//! A schedule as a person would tell it: in this order, but this call is interrupted
//! here. What [`conflict`](super::conflict) enumerates, and how it is carried out
//! among calls that are stuck or do other things than was thought.

use crate::model::step::Step;

/// Which calls run in which order, and where one is interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The calls, in the order in which they run.
    pub order: Vec<usize>,
    /// In the order in which they come.
    pub preemptions: Vec<Preemption>,
}

/// A call is interrupted though it could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preemption {
    pub call: usize,
    /// Before which of its steps, counted from 0.
    pub step: usize,
    /// How many other calls go first.
    pub places: usize,
}

/// Carries out a plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// The calls that are not done, in the order in which they are to run.
    pub queue: Vec<usize>,
    /// How many preemptions have been made.
    pub made: usize,
}

impl Turns {
    pub(super) fn of(plan: &Plan) -> Turns {
        Turns {
            queue: plan.order.clone(),
            made: 0,
        }
    }

    /// The call to move, of those that wait. A call that could go on but for a
    /// preemption goes on; one that is stuck or done makes room for free.
    pub(super) fn next(
        &mut self,
        plan: &Plan,
        past: &[Step],
        waiting: &[usize],
        stuck: &[usize],
    ) -> Option<usize> {
        self.queue
            .retain(|call| waiting.contains(call) || stuck.contains(call));
        if let Some(last) = past.last().map(|step| step.call)
            && waiting.contains(&last)
        {
            let taken = past.iter().filter(|step| step.call == last).count();
            let due = plan.preemptions.get(self.made);
            match due.filter(|due| due.call == last && due.step == taken) {
                Some(due) => {
                    self.made += 1;
                    self.put_back(last, due.places);
                }
                None => return Some(last),
            }
        }
        let first = self.queue.iter().find(|call| waiting.contains(call));
        first.or(waiting.first()).copied()
    }

    /// Lets others go first.
    pub(super) fn put_back(&mut self, call: usize, places: usize) {
        if let Some(at) = self.queue.iter().position(|other| *other == call) {
            self.queue.remove(at);
            let at = self.queue.len().min(at + places);
            self.queue.insert(at, call);
        }
    }
}

/// The next permutation in the order of a dictionary; `false` after the last.
pub(super) fn next_permutation(order: &mut [usize]) -> bool {
    let Some(pivot) = order.windows(2).rposition(|pair| pair[0] < pair[1]) else {
        return false;
    };
    let Some(larger) = order.iter().rposition(|call| *call > order[pivot]) else {
        return false;
    };
    order.swap(pivot, larger);
    order[pivot + 1..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_come_once() {
        let mut order = vec![0, 1, 2];
        let mut all = vec![order.clone()];
        while next_permutation(&mut order) {
            all.push(order.clone());
        }
        assert_eq!(all.len(), 6);
        all.dedup();
        assert_eq!((all.len(), all[5].as_slice()), (6, [2, 1, 0].as_slice()));
    }
}
