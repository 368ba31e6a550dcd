//! Any of those that wait, each as likely.
//!
//! Guarantees nothing, and needs to be told nothing: what the cleverer schedulers
//! are measured by. An interleaving in which each of k choices among n calls has
//! to be right comes up with a probability of n^-k a round.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::step::Step;
use crate::schedule::{Diverged, Point, Scheduler};

/// Chooses uniformly, from a seed; each round by a stream of its own, so that what
/// a round does has no say in the next.
#[derive(Debug)]
pub struct Random {
    seeds: StdRng,
    choices: StdRng,
}

impl Random {
    /// The random schedules of a seed.
    pub fn new(seed: u64) -> Random {
        Random {
            seeds: StdRng::seed_from_u64(seed),
            choices: StdRng::seed_from_u64(seed),
        }
    }
}

impl Scheduler for Random {
    fn next_round(&mut self) -> bool {
        self.choices = StdRng::seed_from_u64(self.seeds.random());
        true
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        Ok(self.choices.random_range(0..at.waiting.len()))
    }

    fn round_ended(&mut self, _past: &[Step]) -> Result<(), Diverged> {
        Ok(())
    }
}
