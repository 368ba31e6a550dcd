//! A recorded schedule, to the letter.
//!
//! Guarantees: the round that it lets end made the recorded choices, all of them
//! and no other. Where the service does not offer the recorded one, it says so;
//! to do something like it is [`Follow`](super::Follow)'s.

use crate::model::schedule::Schedule;
use crate::model::step::Step;
use crate::schedule::{Diverged, Point, Scheduler};

/// Makes one round: the recorded one.
#[derive(Debug)]
pub struct Replay {
    schedule: Schedule,
    made: bool,
}

impl Replay {
    /// A replay of a schedule.
    pub fn new(schedule: Schedule) -> Replay {
        Replay {
            schedule,
            made: false,
        }
    }
}

impl Scheduler for Replay {
    fn next_round(&mut self) -> bool {
        !std::mem::replace(&mut self.made, true)
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        let expected = self.schedule.choices.get(at.past.len());
        at.waiting
            .iter()
            .position(|step| expected.is_some_and(|choice| choice.is(step)))
            .ok_or_else(|| at.diverged(expected.cloned()))
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        match self.schedule.choices.get(past.len()) {
            None => Ok(()),
            Some(expected) => Err(Diverged {
                choice: past.len(),
                expected: Some(expected.clone()),
                offered: Vec::new(),
            }),
        }
    }
}
