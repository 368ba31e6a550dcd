//! One call goes so far, then all others run, one after the other, and then the rest of it.
//!
//! What a migration half-way is to those who find it so. A call that is stuck makes room
//! for the next one, and the first call for nobody but where all others are stuck.
//!
//! Guarantees: as long as no lock is waited for, all others run after exactly so many
//! steps of the first call, in the order given.

use crate::model::step::{Action, Step};
use crate::schedule::{Diverged, Point, Scheduler};

/// Makes one round.
#[derive(Clone, Debug)]
pub struct Halfway {
    call: usize,
    steps: usize,
    others: Vec<usize>,
    made: bool,
}

impl Halfway {
    /// This call goes first, and so many steps far, its beginning not counted; then the
    /// others, in this order.
    pub fn new(call: usize, steps: usize, others: Vec<usize>) -> Halfway {
        Halfway {
            call,
            steps,
            others,
            made: false,
        }
    }
}

impl Scheduler for Halfway {
    fn next_round(&mut self) -> bool {
        !std::mem::replace(&mut self.made, true)
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        let is_own = |step: &&Step| step.call == self.call && step.action != Action::Begin;
        let taken = at.past.iter().filter(is_own).count();
        let first = (taken < self.steps).then_some(&self.call);
        let mut turns = first.into_iter().chain(&self.others);
        Ok(turns.find_map(|call| at.index_of(*call)).unwrap_or(0))
    }

    fn round_ended(&mut self, _past: &[Step]) -> Result<(), Diverged> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(call: usize, action: Option<&str>) -> Step {
        let sql = |statement: &str| Action::Sql {
            statement: statement.to_owned(),
            parameters: Vec::new(),
            short: statement.to_owned(),
        };
        Step {
            call,
            action: action.map_or(Action::Begin, sql),
            accesses: Vec::new(),
        }
    }

    /// Who moves when each call begins and then takes so many steps; `stuck` cannot move
    /// before `free` is done.
    fn order(steps: &[usize], mut halfway: Halfway, stuck: Option<(usize, usize)>) -> Vec<usize> {
        let mut past: Vec<Step> = Vec::new();
        assert!(halfway.next_round());
        loop {
            let taken = |call: usize| past.iter().filter(|step| step.call == call).count();
            let is_left = |call: &usize| taken(*call) <= steps[*call];
            let waits = |call: &usize| {
                stuck.is_some_and(|(own, free)| own == *call && taken(own) > 1 && is_left(&free))
            };
            let all = (0..steps.len()).filter(is_left);
            let waiting: Vec<Step> = all
                .filter(|call| !waits(call))
                .map(|call| step(call, (taken(call) > 0).then_some("x")))
                .collect();
            if waiting.is_empty() {
                return past.iter().map(|step| step.call).collect();
            }
            let at = Point {
                past: &past,
                waiting: &waiting,
                stuck: &[],
            };
            let chosen = halfway.choose(&at).unwrap();
            past.push(waiting[chosen].clone());
        }
    }

    #[test]
    fn the_others_run_after_so_many_steps_of_the_first() {
        let run = |steps, others| order(&[1, 1, 2], Halfway::new(2, steps, others), None);
        assert_eq!(run(0, vec![0, 1]), [0, 0, 1, 1, 2, 2, 2]);
        assert_eq!(run(1, vec![0, 1]), [2, 2, 0, 0, 1, 1, 2]);
        assert_eq!(run(2, vec![1, 0]), [2, 2, 2, 1, 1, 0, 0]);
    }

    #[test]
    fn who_is_stuck_makes_room() {
        let run = |stuck| order(&[2, 1, 2], Halfway::new(2, 1, vec![0, 1]), Some(stuck));
        assert_eq!(run((0, 1)), [2, 2, 0, 0, 1, 1, 0, 2], "for the next");
        assert_eq!(run((0, 2)), [2, 2, 0, 0, 1, 1, 2, 0], "for the first");
    }
}
