//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and
//! Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding
//! bugs", ASPLOS 2010).
//!
//! Each call gets a random priority, and of those that wait the highest moves. At
//! d-1 random steps of the round the call about to move falls below all others.
//!
//! Guarantees: a bug of depth d (one that shows whenever d steps come in some
//! order) among n calls that take k steps together is met with a probability of at
//! least 1/(n k^(d-1)) in each round. Departs from the paper in that k is not
//! known beforehand: it starts as what it is given, and grows to the longest round
//! seen; the bound holds for rounds no longer than that.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::model::step::Step;
use crate::schedule::{Diverged, Point, Scheduler};

/// Chooses by priorities, from a seed.
#[derive(Debug)]
pub struct Pct {
    seeds: StdRng,
    depth: usize,
    calls: usize,
    steps: usize,
    /// For each call; the higher moves. Those of the start are at least `depth`.
    priorities: Vec<usize>,
    /// For each priority below `depth` but 0, the choice at which a call falls to it.
    changes: Vec<usize>,
}

impl Pct {
    /// The schedules of a seed, for bugs of a depth (at least 1) among so many
    /// calls that take about so many steps together.
    pub fn new(seed: u64, depth: usize, calls: usize, steps: usize) -> Pct {
        Pct {
            seeds: StdRng::seed_from_u64(seed),
            depth: depth.max(1),
            calls,
            steps: steps.max(1),
            priorities: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn highest(&self, waiting: &[Step]) -> usize {
        let priority = |index: &usize| self.priorities.get(waiting[*index].call);
        (0..waiting.len()).max_by_key(priority).unwrap_or(0)
    }
}

impl Scheduler for Pct {
    fn next_round(&mut self) -> bool {
        // Its own stream, for the same reason as a random schedule's.
        let mut random = StdRng::seed_from_u64(self.seeds.random());
        self.priorities = (self.depth..self.depth + self.calls).collect();
        self.priorities.shuffle(&mut random);
        self.changes = (1..self.depth)
            .map(|_| random.random_range(0..self.steps))
            .collect();
        true
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        let mut index = self.highest(at.waiting);
        for change in 0..self.changes.len() {
            if self.changes[change] == at.past.len() {
                if let Some(priority) = self.priorities.get_mut(at.waiting[index].call) {
                    *priority = change + 1;
                }
                index = self.highest(at.waiting);
            }
        }
        Ok(index)
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        self.steps = self.steps.max(past.len());
        Ok(())
    }

    fn says(&self) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let one_in = self.calls as f64 * (self.steps as f64).powf(self.depth as f64 - 1.0);
        let depth = self.depth;
        Some(format!(
            "each round meets a bug of depth {depth} with a chance of at least 1 in {one_in:.0}"
        ))
    }
}
