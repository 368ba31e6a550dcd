//! What happened before what in a round: the partial order that its conflicting
//! steps make, which is all of the schedule that the outcome depends on (Mazurkiewicz,
//! 1977). Two schedules with one such order are one schedule.
//!
//! Kept as vector clocks. Knows what moved and who was stuck meanwhile, and not
//! why a scheduler wanted it so.
//!
//! A step that waits for a lock is in the past where it was let go, and takes
//! effect where the holder lets go of the lock: in the middle of another call's
//! step. That step is therefore taken to touch what the freed one touches as well;
//! which is all of its transaction, if the database broke a deadlock by it.

use std::collections::{HashMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use crate::model::schedule::Choice;
use crate::model::step::{Action, Step};
use crate::schedule::Point;

/// The most states that counting interleavings may take; beyond it the number
/// would tell a reader nothing anyway.
const MOST_STATES: usize = 100_000;

/// Watches the choices of a round for calls that get stuck.
#[derive(Debug, Default)]
pub(super) struct Watch {
    stuck: Vec<usize>,
    /// For each step that moved, the calls that it freed, and whether its own got
    /// stuck by it.
    freed: Vec<Vec<usize>>,
    got_stuck: Vec<bool>,
}

impl Watch {
    /// To be told of each choice.
    pub(super) fn see(&mut self, at: &Point<'_>) {
        self.free(at.past.len(), |call| !at.stuck.contains(call));
        self.stuck = at.stuck.to_vec();
        self.got_stuck.resize(at.past.len(), false);
        if let (Some(got_stuck), Some(call)) = (self.got_stuck.last_mut(), at.last()) {
            *got_stuck = at.stuck.contains(&call);
        }
    }

    /// The step that moved last.
    pub(super) fn last(&self, past: &[Step]) -> Option<Moved> {
        let mut step = past.last()?.clone();
        let freed = self.freed.last()?;
        take_effect(&mut step, past, freed);
        let got_stuck = self.got_stuck.last() == Some(&true);
        Some(Moved { step, got_stuck })
    }

    /// The round is over: what moved in it. Ready for the next.
    pub(super) fn end(&mut self, past: &[Step]) -> Events {
        self.free(past.len(), |_| true);
        self.got_stuck.resize(past.len(), false);
        let events = Events::new(past, &self.freed, &self.got_stuck);
        self.forget();
        events
    }

    /// Forgets the round.
    pub(super) fn forget(&mut self) {
        *self = Watch::default();
    }

    fn free(&mut self, moved: usize, is_free: impl Fn(&usize) -> bool) {
        self.freed.resize(moved, Vec::new());
        if let Some(last) = self.freed.last_mut() {
            last.extend(self.stuck.iter().copied().filter(is_free));
        }
    }
}

/// A step that moved.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// With all that took effect in it.
    pub step: Step,
    /// Whether its call was stuck after it.
    pub got_stuck: bool,
}

impl Moved {
    /// Whether it can matter which of two steps moves first, where both may. Two
    /// that both get stuck can close a circle: the database breaks it, and whom it
    /// aborts depends on who came last.
    pub(super) fn depends(&self, other: &Moved) -> bool {
        self.step.conflicts(&other.step) || self.got_stuck && other.got_stuck
    }
}

/// The steps of a round, each with all that took effect in it.
#[derive(Debug)]
pub(super) struct Events {
    /// In the order in which they moved.
    pub steps: Vec<Step>,
    /// For each step, the calls that it freed.
    pub freed: Vec<Vec<usize>>,
    got_stuck: Vec<bool>,
    /// Whether some call was stuck for a reason that no access explains.
    pub unexplained: bool,
}

impl Events {
    fn new(past: &[Step], freed: &[Vec<usize>], got_stuck: &[bool]) -> Events {
        let mut steps = past.to_vec();
        let mut unexplained = false;
        for (index, freed) in freed.iter().enumerate() {
            unexplained |= !take_effect(&mut steps[index], &past[..=index], freed);
        }
        Events {
            steps,
            freed: freed.to_vec(),
            got_stuck: got_stuck.to_vec(),
            unexplained,
        }
    }

    /// One of them.
    pub(super) fn moved(&self, index: usize) -> Moved {
        Moved {
            step: self.steps[index].clone(),
            got_stuck: self.got_stuck.get(index) == Some(&true),
        }
    }

    /// The steps of calls that none has raced yet, one call after the other.
    pub(super) fn alone(solo: &[Vec<Step>]) -> Events {
        Events::new(&solo.concat(), &[], &[])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// How many calls there are.
    pub(super) fn calls(&self) -> usize {
        self.steps
            .iter()
            .map(|step| step.call + 1)
            .max()
            .unwrap_or(0)
    }

    /// Which pairs depend on each other by what they touch.
    pub(super) fn conflicts(&self) -> Relation {
        Relation::new(self.len(), |one, two| {
            let (one, two) = (&self.steps[one], &self.steps[two]);
            one.call != two.call && one.conflicts(two)
        })
    }
}

/// Adds to the last of these steps what took effect in it of the calls that it freed.
/// Tells whether what any step touches explains that they were stuck.
fn take_effect(step: &mut Step, past: &[Step], freed: &[usize]) -> bool {
    let mut explained = true;
    for &call in freed {
        let Some(stuck) = past.iter().rfind(|step| step.call == call) else {
            continue;
        };
        explained &= past
            .iter()
            .any(|other| other.call != call && other.conflicts(stuck));
        for access in &stuck.accesses {
            if !step.accesses.contains(access) {
                step.accesses.push(access.clone());
            }
        }
    }
    explained
}

/// A symmetric relation of the steps of a round.
#[derive(Debug)]
pub(super) struct Relation {
    size: usize,
    holds: Vec<bool>,
}

impl Relation {
    pub(super) fn new(size: usize, holds: impl Fn(usize, usize) -> bool) -> Relation {
        let mut relation = Relation {
            size,
            holds: vec![false; size * size],
        };
        for one in 0..size {
            for two in one + 1..size {
                let holds = holds(one, two);
                relation.holds[one * size + two] = holds;
                relation.holds[two * size + one] = holds;
            }
        }
        relation
    }

    pub(super) fn holds(&self, one: usize, two: usize) -> bool {
        self.holds[one * self.size + two]
    }
}

/// The order of the steps of a round.
#[derive(Debug)]
pub(super) struct Order {
    /// For each step, by its place in the events: of each call, how many steps
    /// are before it or are it.
    clocks: Vec<Vec<usize>>,
    calls: Vec<usize>,
}

impl Order {
    /// The order that a sequence of events makes. Whom an event freed is known of
    /// the first `known` of the sequence.
    pub(super) fn new(
        events: &Events,
        relation: &Relation,
        sequence: &[usize],
        known: usize,
    ) -> Order {
        let calls: Vec<usize> = events.steps.iter().map(|step| step.call).collect();
        let mut clocks = vec![vec![0; events.calls()]; events.len()];
        let frees = |place: usize, earlier: usize, call: usize| {
            let freed = events.freed.get(earlier);
            place < known && freed.is_some_and(|freed| freed.contains(&call))
        };
        for (place, &event) in sequence.iter().enumerate() {
            let call = calls[event];
            let mut clock = vec![0; events.calls()];
            for (before, &earlier) in sequence[..place].iter().enumerate() {
                if calls[earlier] == call
                    || relation.holds(earlier, event)
                    || frees(before, earlier, call)
                {
                    for (own, others) in clock.iter_mut().zip(&clocks[earlier]) {
                        *own = (*own).max(*others);
                    }
                }
            }
            clock[call] += 1;
            clocks[event] = clock;
        }
        Order { clocks, calls }
    }

    /// Whether an event that came earlier in the sequence had to.
    pub(super) fn before(&self, earlier: usize, later: usize) -> bool {
        let call = self.calls[earlier];
        self.clocks[earlier][call] <= self.clocks[later][call]
    }

    /// The canonical form, as a number: the same for all sequences of this order.
    pub(super) fn hash(&self, events: &Events) -> u64 {
        let mut sorted: Vec<usize> = (0..self.calls.len()).collect();
        sorted.sort_by_key(|&event| (self.calls[event], self.clocks[event][self.calls[event]]));
        let mut hasher = DefaultHasher::new();
        for event in sorted {
            let choice = Choice::of(&events.steps[event]);
            (choice.call, choice.action, &self.clocks[event]).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// How many sequences have this order; `None` if it is too many to count.
    /// Those that differ in no more than where a request was let go are one,
    /// unless `begins` count.
    pub(super) fn sequences(&self, events: &Events, begins: bool) -> Option<u128> {
        let mut chains: Vec<Vec<usize>> = vec![Vec::new(); events.calls()];
        let mut taken = vec![0; events.calls()];
        for event in 0..events.len() {
            if events.steps[event].action == Action::Begin && !begins {
                taken[self.calls[event]] += 1;
            }
            chains[self.calls[event]].push(event);
        }
        let left = events.len() - taken.iter().sum::<usize>();
        let mut ways = HashMap::from([(taken, 1_u128)]);
        let mut states = 0;
        for _ in 0..left {
            let mut next: HashMap<Vec<usize>, u128> = HashMap::new();
            states += ways.len();
            if states > MOST_STATES {
                return None;
            }
            for (taken, ways) in ways {
                for (call, chain) in chains.iter().enumerate() {
                    let Some(&event) = chain.get(taken[call]) else {
                        continue;
                    };
                    let mut after = taken.clone();
                    after[call] += 1;
                    let needs = self.clocks[event].iter().zip(&after);
                    if { needs }.all(|(needed, taken)| needed <= taken) {
                        let sum = next.entry(after).or_default();
                        *sum = sum.checked_add(ways)?;
                    }
                }
            }
            ways = next;
        }
        ways.into_values().next()
    }
}
