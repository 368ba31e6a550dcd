//! The same schedule twice: whether a service repeats itself.
//!
//! Searching and replaying need a service that does the same when it is let do the
//! same, but for the values that it makes up. This makes one round as another
//! scheduler wants it, then that round again, and tells the first step that
//! differs.
//!
//! Guarantees nothing of a third time; what comes of chance can agree twice.

use crate::model::schedule::{Choice, Schedule};
use crate::model::step::Step;
use crate::schedule::replay::Replay;
use crate::schedule::{Diverged, Point, Scheduler};

/// Makes two rounds, the second like the first.
pub struct Repeat {
    first: Box<dyn Scheduler>,
    past: Option<Vec<Step>>,
    second: Option<Replay>,
    /// The first step, by its place, that did the same with other values: a
    /// generated id, a time.
    values: Option<usize>,
}

impl Repeat {
    /// Repeats the next round of a scheduler.
    pub fn new(first: Box<dyn Scheduler>) -> Repeat {
        Repeat {
            first,
            past: None,
            second: None,
            values: None,
        }
    }
}

impl Scheduler for Repeat {
    fn next_round(&mut self) -> bool {
        if self.second.is_some() {
            return false;
        }
        let Some(past) = &self.past else {
            return self.first.next_round();
        };
        let second = self.second.insert(Replay::new(Schedule::of(past)));
        second.next_round()
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        match &mut self.second {
            Some(second) => second.choose(at),
            None => self.first.choose(at),
        }
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        let Some(second) = &mut self.second else {
            self.past = Some(past.to_vec());
            return self.first.round_ended(past);
        };
        second.round_ended(past)?;
        let first = self.past.iter().flatten();
        self.values = first
            .zip(past)
            .position(|(one, two)| one.action != two.action);
        Ok(())
    }

    fn says(&self) -> Option<String> {
        let place = self.values?;
        let step = self.past.as_ref()?.get(place)?;
        Some(format!(
            "the same schedule twice: the same steps, with other values from step {} on, call {}'s `{}`",
            place + 1,
            step.call + 1,
            Choice::of(step).action
        ))
    }
}
