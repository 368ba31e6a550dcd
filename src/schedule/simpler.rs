//! From a failing schedule to one with fewer switches between calls.
//!
//! What is simpler, in this order: fewer switches; then switches that come later,
//! so that each call is seen to go as far as it can before another one has to be
//! told of. A pass offers candidates and is told whether each still fails; it knows
//! schedules alone, and neither how a candidate is tried (by
//! [`Follow`](super::Follow), which makes do where it changes what the calls do)
//! nor how often. The last candidate that failed is the result, best recorded as
//! what it made in fact, so a pass can be stopped at any time.

use crate::model::schedule::{Choice, Schedule};

/// A way to make a schedule simpler.
pub trait Pass {
    /// The next candidate for `smallest`, the simplest schedule known to fail;
    /// `None` if this pass has no more. `failed` tells how the candidate before
    /// ended; it is `true` at the first call.
    fn next(&mut self, smallest: &Schedule, failed: bool) -> Option<Schedule>;
}

/// The passes over a schedule, in the order in which they run.
pub fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(Merge::default()),
        Box::new(Sooner::default()),
        Box::new(Later::default()),
    ]
}

/// How often the call that moves changes.
pub fn switches(schedule: &Schedule) -> usize {
    let pairs = schedule.choices.windows(2);
    pairs.filter(|pair| pair[0].call != pair[1].call).count()
}

/// Whether one schedule is simpler than another. What a candidate made in fact is
/// to be kept only if it is: this is what makes the passes come to an end.
pub fn is_simpler(one: &Schedule, other: &Schedule) -> bool {
    let lengths = |schedule| turns(schedule).into_iter().map(|turn| turn.len());
    switches(one)
        .cmp(&switches(other))
        .then_with(|| lengths(other).cmp(lengths(one)))
        .is_lt()
}

/// Lets a call go on instead of coming back to it: joins two of its turns, at the
/// place of the first or of the second.
#[derive(Debug, Default)]
pub struct Merge {
    /// The place to try next: twice the turn that is to have its call's next turn
    /// joined, and one more if it is to be joined to that.
    at: usize,
    started: bool,
}

impl Pass for Merge {
    fn next(&mut self, smallest: &Schedule, failed: bool) -> Option<Schedule> {
        if self.started && failed {
            // Fewer turns: what could not be joined before perhaps can be now.
            self.at = 0;
        } else if self.started {
            self.at += 1;
        }
        self.started = true;
        let turns = turns(smallest);
        while self.at < 2 * turns.len() {
            let first = self.at / 2;
            if let Some(second) = comes_back(&turns, first) {
                let mut joined = turns.clone();
                let (from, to) = if self.at.is_multiple_of(2) {
                    (second, first)
                } else {
                    (first, second)
                };
                let moved = std::mem::take(&mut joined[from]);
                if from < to {
                    joined[to].splice(0..0, moved);
                } else {
                    joined[to].extend(moved);
                }
                let candidate = schedule(&joined);
                if switches(&candidate) < switches(smallest) {
                    return Some(candidate);
                }
            }
            self.at += 1;
        }
        None
    }
}

/// Interrupts a call sooner, so that those that interrupt it need not be interrupted
/// themselves: a call that has come as far as to hold a lock makes the others stop
/// at it, and one that has not lets them through in one turn.
#[derive(Debug, Default)]
pub struct Sooner {
    /// The turn that is to be shorter.
    turn: usize,
    /// By how many steps; 0 before the first try at this turn.
    by: usize,
    started: bool,
}

impl Pass for Sooner {
    fn next(&mut self, smallest: &Schedule, failed: bool) -> Option<Schedule> {
        if self.started && failed {
            (self.turn, self.by) = (0, 0);
        }
        self.started = true;
        let turns = turns(smallest);
        while self.turn < turns.len() {
            self.by += 1;
            let back = comes_back(&turns, self.turn);
            let Some(back) = back.filter(|_| self.by < turns[self.turn].len()) else {
                (self.turn, self.by) = (self.turn + 1, 0);
                continue;
            };
            let mut sooner = turns.clone();
            let left = sooner[self.turn].len() - self.by;
            let rest = sooner[self.turn].split_off(left);
            sooner[back].splice(0..0, rest);
            for between in self.turn + 1..back {
                if let Some(next) = comes_back(&sooner, between).filter(|next| *next > back) {
                    let moved = std::mem::take(&mut sooner[next]);
                    sooner[between].extend(moved);
                }
            }
            let candidate = schedule(&sooner);
            if switches(&candidate) < switches(smallest) {
                return Some(candidate);
            }
            // However much sooner, it would join as little.
            (self.turn, self.by) = (self.turn + 1, 0);
        }
        None
    }
}

/// Puts a switch off: moves the first half of a call's next turn to the end of the
/// one before, then half of that, down to one step.
#[derive(Debug, Default)]
pub struct Later {
    /// The turn that is to be longer.
    turn: usize,
    /// By how many steps; 0 before the first try at this turn.
    by: usize,
    started: bool,
}

impl Pass for Later {
    fn next(&mut self, smallest: &Schedule, failed: bool) -> Option<Schedule> {
        let turns = turns(smallest);
        if self.started && !failed {
            self.by /= 2;
            if self.by == 0 {
                self.turn += 1;
            }
        }
        self.started = true;
        while self.turn < turns.len() {
            let back = comes_back(&turns, self.turn);
            // Never the whole turn: that is joining, and has been tried.
            let most = back.map_or(0, |back| turns[back].len() - 1);
            self.by = match self.by {
                0 => most.div_ceil(2),
                by => by.min(most),
            };
            let Some(back) = back.filter(|_| self.by > 0) else {
                self.turn += 1;
                self.by = 0;
                continue;
            };
            let mut longer = turns.clone();
            let moved: Vec<Choice> = longer[back].drain(..self.by).collect();
            longer[self.turn].extend(moved);
            return Some(schedule(&longer));
        }
        None
    }
}

/// What each call does until another one moves.
fn turns(schedule: &Schedule) -> Vec<Vec<Choice>> {
    let same = schedule.choices.chunk_by(|one, next| one.call == next.call);
    same.map(<[Choice]>::to_vec).collect()
}

fn schedule(turns: &[Vec<Choice>]) -> Schedule {
    Schedule {
        choices: turns.concat(),
    }
}

/// The next turn of the call whose turn it is.
fn comes_back(turns: &[Vec<Choice>], turn: usize) -> Option<usize> {
    let call = |index: usize| turns[index].first().map(|choice| choice.call);
    (turn + 1..turns.len()).find(|&later| call(later) == call(turn))
}

/// Runs the passes with a test that needs no waiting, and that tells what a
/// candidate made in fact, if it failed: for tests and examples.
pub fn simplify(
    schedule: &Schedule,
    passes: &mut [Box<dyn Pass>],
    mut fails: impl FnMut(&Schedule) -> Option<Schedule>,
) -> Schedule {
    let mut smallest = schedule.clone();
    for pass in passes {
        let mut failed = true;
        while let Some(candidate) = pass.next(&smallest, failed) {
            let made = fails(&candidate).filter(|made| is_simpler(made, &smallest));
            failed = made.is_some();
            smallest = made.unwrap_or(smallest);
        }
    }
    smallest
}
