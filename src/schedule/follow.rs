//! A schedule that nobody recorded, as far as the service goes along.
//!
//! Shrinking edits schedules, and an edit can change what the calls read and
//! thereby what they do. This one follows the turns that a schedule means, and
//! makes up the rest: a step that the schedule does not know goes with the call
//! whose turn it is, a step that no longer comes is left out, and at the end the
//! call that moved last goes on. What was done in fact is what moved, and is to be
//! recorded from that.
//!
//! Guarantees: never diverges; and a schedule that was recorded, followed by a
//! service that repeats itself, is replayed.

use crate::model::schedule::{Choice, Schedule};
use crate::model::step::Step;
use crate::schedule::{Diverged, Point, Scheduler};

/// Makes one round: about the given one.
#[derive(Debug)]
pub struct Follow {
    /// The choices not yet taken.
    left: Vec<Choice>,
    made: bool,
}

impl Follow {
    /// Follows a schedule.
    pub fn new(schedule: Schedule) -> Follow {
        Follow {
            left: schedule.choices,
            made: false,
        }
    }
}

impl Scheduler for Follow {
    fn next_round(&mut self) -> bool {
        !std::mem::replace(&mut self.made, true)
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        let mut turn = 0;
        while let Some(choice) = self.left.get(turn) {
            let Some(index) = at.index_of(choice.call) else {
                // Stuck or done: its turn has to wait.
                turn += 1;
                continue;
            };
            let step = &at.waiting[index];
            let Some(later) = self.left.iter().position(|choice| choice.is(step)) else {
                return Ok(index);
            };
            if later == turn {
                self.left.remove(turn);
                return Ok(index);
            }
            // What the call was to do before is not coming any more.
            self.left.remove(turn);
        }
        Ok(at.stay())
    }

    fn round_ended(&mut self, _past: &[Step]) -> Result<(), Diverged> {
        Ok(())
    }
}
