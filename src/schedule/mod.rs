//! Who moves next: a file per scheduler, and all answer this one question.
//!
//! A round is a sequence of choices. At each, every call of the race waits with
//! its next step, is stuck (in a database's lock queue, at a mutex of the
//! service, in a pool's queue), or is done; whoever carries the round out asks
//! the scheduler which of those that wait goes on, and lets it. A scheduler knows
//! steps and what they touch, and neither database, nor HTTP, nor time: the same
//! answers lead it to the same choices.
//!
//! What makes the orders of two steps different is [`Step::conflicts`], and all
//! that is claimed here is claimed under it: where a step's accesses say less
//! than it touches, a schedule that matters can be left out. (The first statement
//! of a REPEATABLE READ transaction, which takes the snapshot, touches all that the
//! transaction reads later.)
//!
//! To add a scheduler: write its file, saying what it guarantees, and name it here.

mod conflict;
mod exhaustive;
mod follow;
mod halfway;
mod order;
mod pct;
mod plan;
mod random;
mod repeat;
mod replay;
pub mod simpler;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::model::schedule::Choice;
use crate::model::step::Step;

pub use conflict::Conflict;
pub use exhaustive::Exhaustive;
pub use follow::Follow;
pub use halfway::Halfway;
pub use pct::Pct;
pub use random::Random;
pub use repeat::Repeat;
pub use replay::Replay;

/// Decides, choice by choice and round by round.
///
/// For each round the caller asks [`next_round`](Scheduler::next_round) and, when
/// told `true`, begins it: [`choose`](Scheduler::choose) as long as a call waits,
/// and [`round_ended`](Scheduler::round_ended) when none waits and none is stuck. A
/// round that breaks off (a divergence, or a failure that is not the scheduler's)
/// is given up without `round_ended`: the next `next_round` notices.
pub trait Scheduler: Send {
    /// Makes ready for the next round; `false` when there is none left to make.
    fn next_round(&mut self) -> bool;

    /// The index, in [`Point::waiting`], of the step to let go.
    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged>;

    /// The round is over, and this is what moved, in order. An error where more
    /// should have.
    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged>;

    /// What can be said of the rounds made so far, for a reader of the report.
    fn says(&self) -> Option<String> {
        None
    }
}

/// Where a round stands when a choice is due.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// What has moved, in order, each as far as is known by now. A statement that
    /// failed has undone its transaction, and touches all that the ROLLBACK after it
    /// does.
    pub past: &'a [Step],
    /// The next steps of the calls that can go on, in order of their calls; never
    /// empty, and one at most for a call.
    pub waiting: &'a [Step],
    /// The calls whose last step was let go and has not come back: they wait for a
    /// lock or for something else that another call has to let go of first.
    pub stuck: &'a [usize],
}

impl Point<'_> {
    /// The index among those waiting of a call's step.
    pub(crate) fn index_of(&self, call: usize) -> Option<usize> {
        self.waiting.iter().position(|step| step.call == call)
    }

    /// The call that moved last.
    pub(crate) fn last(&self) -> Option<usize> {
        self.past.last().map(|step| step.call)
    }

    /// The index of the step to let go by one who does not care: the call that
    /// moved last goes on, or else the first that can.
    pub(crate) fn stay(&self) -> usize {
        self.last()
            .and_then(|call| self.index_of(call))
            .unwrap_or(0)
    }

    /// That this was not to be expected here.
    pub(crate) fn diverged(&self, expected: Option<Choice>) -> Diverged {
        Diverged {
            choice: self.past.len(),
            expected,
            offered: self.waiting.iter().map(Choice::of).collect(),
        }
    }
}

/// The service did not offer what it offered when the schedule was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diverged {
    /// Index of the choice.
    pub choice: usize,
    /// What was recorded; `None` if the round was over by then.
    pub expected: Option<Choice>,
    /// What was offered; nothing if the round was over.
    pub offered: Vec<Choice>,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at choice {}: ", self.choice + 1)?;
        match &self.expected {
            Some(expected) => write!(f, "expected {}", Shown(expected))?,
            None => f.write_str("expected the end of the round")?,
        }
        if self.offered.is_empty() {
            return f.write_str(", but the round was over");
        }
        for (index, offered) in self.offered.iter().enumerate() {
            let before = if index == 0 { ", was offered " } else { " or " };
            write!(f, "{before}{}", Shown(offered))?;
        }
        Ok(())
    }
}

/// What a report says of rounds that came to no end, after what it says of the others.
fn broken_off(rounds: u64) -> String {
    match rounds {
        0 => String::new(),
        rounds => format!("; {rounds} more could not be run to the end"),
    }
}

/// A choice in an error's words, calls counted from one.
struct Shown<'a>(&'a Choice);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}'s `{}`", self.0.call + 1, self.0.action)
    }
}
