//! Every schedule that can matter, once.
//!
//! Stateless search with dynamic partial-order reduction: source sets (Abdulla,
//! Aronis, Jonsson and Sagonas, "Optimal dynamic partial order reduction", POPL
//! 2014, the algorithm Source-DPOR), which refine the persistent sets of Flanagan
//! and Godefroid (POPL 2005), with sleep sets (Godefroid, 1996).
//!
//! Guarantees, of a service that repeats itself and whose steps say what they
//! touch: when there is no next round, each order of conflicting steps that the
//! calls can come to has been run. Some may have been begun a second time (sleep
//! sets notice late): such rounds count as run.
//!
//! Calls may get stuck and may branch on what they read. That a step is stuck
//! is part of the order (see [`order`](super::order)); what is held, once
//! offered, stays offered, so no step takes another's turn away. Where a call is
//! stuck and no access explains it (a mutex in the service, a pool that is used
//! up), nothing is known of what orders the calls: the search starts anew, and
//! takes any two steps to conflict. A busy machine looks the same, so this, and a
//! round that breaks off, is believed once it has come three times in a row.

use std::collections::{BTreeSet, HashSet};

use crate::model::schedule::Choice;
use crate::model::step::Step;
use crate::schedule::order::{Events, Moved, Order, Relation, Watch};
use crate::schedule::{self, Diverged, Point, Scheduler};

/// How often a round is made once more that broke off or cannot be explained.
const MOST_AGAIN: u32 = 2;

/// A search through all schedules.
#[derive(Debug)]
pub struct Exhaustive {
    /// Whether two steps of different calls depend on each other, always.
    blind: bool,
    /// The choices of the round, as far as they have alternatives to keep.
    nodes: Vec<Node>,
    /// From this choice on, the round is one that was not made before.
    new_from: usize,
    /// From this choice on, whatever the round does has been done in another.
    asleep_from: Option<usize>,
    watch: Watch,
    state: State,
    /// How often this round has been made once more.
    again: u32,
    /// The orders that have been run.
    orders: HashSet<u64>,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not begun, or to begin anew.
    Fresh,
    /// In the middle of a round, or it broke off.
    Running,
    /// About to make the same round once more.
    Again,
    /// Between two rounds.
    Ended,
    /// No more rounds.
    Finished,
}

#[derive(Debug)]
struct Counts {
    rounds: u64,
    broken_off: u64,
    calls: usize,
    /// How many interleavings the rounds stand for; `None` if too many to count.
    interleavings: Option<u128>,
}

/// A choice and its alternatives.
#[derive(Debug)]
struct Node {
    waiting: Vec<Step>,
    /// The call that moves here in this round.
    call: usize,
    /// What its step was, once the round is over.
    moved: Option<Moved>,
    /// The calls to be tried here, or tried.
    todo: BTreeSet<usize>,
    tried: BTreeSet<usize>,
    /// Steps that need not be taken here: the schedules that begin so have been
    /// run, until a step that depends on them.
    sleep: Vec<Moved>,
}

impl Exhaustive {
    /// A search with the reduction.
    pub fn new() -> Exhaustive {
        Exhaustive {
            blind: false,
            nodes: Vec::new(),
            new_from: 0,
            asleep_from: None,
            watch: Watch::default(),
            state: State::Fresh,
            again: 0,
            orders: HashSet::new(),
            counts: Counts {
                rounds: 0,
                broken_off: 0,
                calls: 0,
                interleavings: Some(0),
            },
        }
    }

    /// A search through every sequence of choices, as if any two steps conflicted.
    /// To measure the reduction by.
    pub fn unreduced() -> Exhaustive {
        Exhaustive {
            blind: true,
            ..Exhaustive::new()
        }
    }

    /// How many rounds were made.
    pub fn rounds(&self) -> u64 {
        self.counts.rounds
    }

    /// How many interleavings the rounds made so far stand for, where they can be
    /// counted: each order of the conflicting steps, in each way in which the
    /// other steps can lie.
    pub fn interleavings(&self) -> Option<u128> {
        self.counts.interleavings
    }

    fn depend(&self, one: &Step, two: &Step) -> bool {
        one.call != two.call && (self.blind || one.conflicts(two))
    }

    /// Whether the round is to be made once more: what was new in it is forgotten.
    fn once_more(&mut self) -> bool {
        self.nodes.truncate(self.new_from + 1);
        self.watch.forget();
        self.again += 1;
        self.again <= MOST_AGAIN
    }

    /// A choice that no round came to before.
    fn reach(&self, at: &Point<'_>) -> Option<Node> {
        let mut sleep = Vec::new();
        if let Some(parent) = self.nodes.last().filter(|_| !self.blind)
            && let Some(moved) = self.watch.last(at.past)
        {
            let independent =
                |other: &&Moved| other.step.call != moved.step.call && !other.depends(&moved);
            sleep.extend(parent.sleep.iter().filter(independent).cloned());
        }
        let awake = |step: &Step| sleep.iter().all(|other| other.step.call != step.call);
        let stay = &at.waiting[at.stay()];
        let first = if awake(stay) {
            stay
        } else {
            at.waiting.iter().find(|step| awake(step))?
        };
        Some(Node {
            waiting: at.waiting.to_vec(),
            call: first.call,
            moved: None,
            todo: BTreeSet::from([first.call]),
            tried: BTreeSet::new(),
            sleep,
        })
    }

    /// Has the races of the new steps up to `end` tried the other way round.
    fn reverse_races(&mut self, order: &Order, relation: &Relation, events: &Events, end: usize) {
        for later in self.new_from..end {
            let call = events.steps[later].call;
            for earlier in 0..later {
                let is_race = events.steps[earlier].call != call
                    && relation.holds(earlier, later)
                    && !(earlier + 1..later)
                        .any(|mid| order.before(earlier, mid) && order.before(mid, later));
                let was_stuck = events.freed[earlier].contains(&call)
                    && !events.steps[earlier + 1..later]
                        .iter()
                        .any(|step| step.call == call);
                if is_race && !was_stuck {
                    let initials = initials(order, events, earlier, later);
                    self.nodes[earlier].add(&initials);
                }
            }
        }
    }
}

/// Which calls can move first where all that does not come after `earlier`, and
/// then `later`, is to move instead of it.
fn initials(order: &Order, events: &Events, earlier: usize, later: usize) -> Vec<usize> {
    let mut moved: Vec<usize> = Vec::new();
    let mut initials = Vec::new();
    let instead = (earlier + 1..later).filter(|&event| !order.before(earlier, event));
    for event in instead.chain([later]) {
        if !moved.iter().any(|&before| order.before(before, event)) {
            initials.push(events.steps[event].call);
        }
        moved.push(event);
    }
    initials
}

impl Node {
    /// Has one of these calls tried, unless one is already.
    fn add(&mut self, initials: &[usize]) {
        if initials.iter().any(|call| self.todo.contains(call)) {
            return;
        }
        let mut offered = self.waiting.iter().map(|step| step.call);
        match offered.find(|call| initials.contains(call)) {
            Some(call) => {
                self.todo.insert(call);
            }
            // Not to be, of a service that repeats itself; all of them is never wrong.
            None => self.todo.extend(self.waiting.iter().map(|step| step.call)),
        }
    }

    /// Goes on to a call that is yet to be tried; `false` if there is none.
    fn advance(&mut self) -> bool {
        self.tried.insert(self.call);
        // A round that broke off has shown nothing: its step is not put to sleep.
        self.sleep.extend(self.moved.take());
        let mut left = self.todo.difference(&self.tried);
        let asleep = |call: &usize| self.sleep.iter().any(|moved| moved.step.call == *call);
        match left.find(|call| !asleep(call)) {
            Some(&call) => {
                self.call = call;
                true
            }
            None => false,
        }
    }
}

impl Default for Exhaustive {
    fn default() -> Self {
        Exhaustive::new()
    }
}

impl Scheduler for Exhaustive {
    fn next_round(&mut self) -> bool {
        if self.state == State::Running && self.once_more() {
            self.state = State::Again;
        }
        match self.state {
            State::Finished => return false,
            State::Fresh | State::Again => {}
            State::Running | State::Ended => {
                if self.state == State::Running {
                    self.counts.broken_off += 1;
                }
                self.again = 0;
                while self.nodes.last_mut().is_some_and(|node| !node.advance()) {
                    self.nodes.pop();
                }
                if self.nodes.is_empty() {
                    self.state = State::Finished;
                    return false;
                }
                self.new_from = self.nodes.len() - 1;
            }
        }
        self.asleep_from = None;
        self.state = State::Running;
        true
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        self.watch.see(at);
        if self.asleep_from.is_some() {
            return Ok(at.stay());
        }
        if self.nodes.len() == at.past.len() {
            let Some(node) = self.reach(at) else {
                self.asleep_from = Some(at.past.len());
                return Ok(at.stay());
            };
            self.nodes.push(node);
        }
        let node = &self.nodes[at.past.len()];
        let recorded = node.waiting.iter().find(|step| step.call == node.call);
        let expected = recorded.map(Choice::of);
        at.index_of(node.call)
            .filter(|&index| expected == Some(Choice::of(&at.waiting[index])))
            .ok_or_else(|| at.diverged(expected))
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        let events = self.watch.end(past);
        self.counts.rounds += 1;
        self.counts.calls = self.counts.calls.max(events.calls());
        if past.len() < self.nodes.len() {
            // What is left of the round counts as broken off, at the next one.
            let node = &self.nodes[past.len()];
            let step = node.waiting.iter().find(|step| step.call == node.call);
            return Err(Diverged {
                choice: past.len(),
                expected: step.map(Choice::of),
                offered: Vec::new(),
            });
        }
        if events.unexplained && !self.blind {
            if self.once_more() {
                self.state = State::Again;
                return Ok(());
            }
            self.again = 0;
            self.blind = true;
            self.nodes.clear();
            self.new_from = 0;
            self.counts.interleavings = Some(0);
            self.orders.clear();
            self.state = State::Fresh;
            return Ok(());
        }
        self.state = State::Ended;
        let relation = Relation::new(events.len(), |one, two| {
            self.depend(&events.steps[one], &events.steps[two])
        });
        let sequence: Vec<usize> = (0..events.len()).collect();
        let order = Order::new(&events, &relation, &sequence, events.len());
        self.reverse_races(&order, &relation, &events, self.nodes.len());
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.moved = Some(events.moved(index));
        }
        if self.orders.insert(order.hash(&events)) {
            let more = order.sequences(&events, self.blind);
            let sum = self.counts.interleavings.zip(more);
            self.counts.interleavings = sum.and_then(|(sum, more)| sum.checked_add(more));
        }
        Ok(())
    }

    fn says(&self) -> Option<String> {
        let Counts {
            rounds,
            broken_off,
            calls,
            interleavings,
        } = self.counts;
        if rounds == 0 && broken_off == 0 {
            return None;
        }
        let all = self.state == State::Finished && broken_off == 0;
        let which = match interleavings {
            Some(1) if all => "the one interleaving".to_owned(),
            Some(many) if all => format!("all {many} interleavings"),
            None if all => "all interleavings".to_owned(),
            Some(many) => format!("not all interleavings, but {many},"),
            None => "not all interleavings".to_owned(),
        };
        let cost = if self.blind {
            format!("in {rounds} rounds: nothing tells which orders do not matter")
        } else {
            format!("{rounds} after reduction")
        };
        let broken_off = schedule::broken_off(broken_off);
        Some(format!(
            "{which} of these {calls} calls at statement level, {cost}{broken_off}"
        ))
    }
}
