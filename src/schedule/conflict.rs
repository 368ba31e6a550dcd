//! Few preemptions, and only where they can matter.
//!
//! Most concurrency bugs need a switch or two at the right place (Musuvathi and
//! Qadeer, "Iterative context bounding for systematic testing of multithreaded
//! programs", PLDI 2007). So: all schedules with one preemption, then with two,
//! then with three, for every order in which the calls otherwise run. A switch
//! that is forced (the call is done, or stuck) is free. One at a time, with no
//! preemption at all, is not run: that is what the outcome is judged by.
//!
//! A call is preempted only before a step that conflicts with one that another
//! call has yet to take: switching anywhere else can be put off until there, with
//! the same order of all that conflicts. So the number of rounds grows with the
//! conflicting steps, and not with the statements of a call.
//!
//! First come those that interrupt a call just before the first thing it changes, when
//! all that it has checked is about to be acted upon: most of those bugs are between a
//! check and its act.
//!
//! What the calls do is foreseen from their solo runs, and then known from the
//! rounds: each round is extended by one more preemption, after its last. A
//! schedule that is foreseen to make the same order of conflicting steps as another
//! is not run; one that turns out to do so has been run, but is not extended.
//!
//! Guarantees, of a service that repeats itself and whose steps say what they
//! touch: of two calls, every order of conflicting steps that one preemption makes,
//! wherever it is put, has been run; then those of two, and those of three. Of three
//! calls and more, the same of one preemption as long as no lock is waited for and
//! the calls do among the others what they do alone. Beyond that some are left out,
//! as bounding and reducing at once does (Coons et al., "Bounded partial-order
//! reduction", OOPSLA 2013): those that can only be had from a schedule that was
//! skipped, and those that differ in who moves while another is stuck.
//! [`Exhaustive`](super::Exhaustive) leaves out none.

use std::collections::{HashSet, VecDeque};

use crate::model::step::{Access, Mode, Step};
use crate::schedule::order::{Events, Order, Relation, Watch};
use crate::schedule::plan::{Plan, Preemption, Turns, next_permutation};
use crate::schedule::{Diverged, Point, Scheduler, broken_off};

/// How many preemptions are tried unless told otherwise.
const MOST_PREEMPTIONS: usize = 3;

/// Of so many calls, all orders are planned together; more have too many.
const MOST_PLANNED_TOGETHER: usize = 3;

/// The schedules of few preemptions.
#[derive(Debug)]
pub struct Conflict {
    solo: Vec<Vec<Step>>,
    most: usize,
    /// The next order of the calls to make plans of; `None` after the last.
    order: Option<Vec<usize>>,
    /// Plans with one preemption, then those with more, fewest first; each with the
    /// order of conflicting steps that it is foreseen to make.
    plans: VecDeque<(Plan, u64)>,
    later: VecDeque<(Plan, u64)>,
    /// Those of `plans` that are made before all others.
    first: VecDeque<(Plan, u64)>,
    /// The orders that plans which were run were foreseen to make, and those that
    /// they made.
    foreseen: HashSet<u64>,
    made: HashSet<u64>,
    running: Option<Running>,
    watch: Watch,
    /// By the number of preemptions, from one.
    rounds: Vec<u64>,
    broken_off: u64,
}

#[derive(Debug)]
struct Running {
    plan: Plan,
    turns: Turns,
    /// How things stood before each choice.
    before: Vec<Turns>,
}

/// A round as it was, or as it is foreseen.
struct Course<'a> {
    events: &'a Events,
    relation: &'a Relation,
    /// Indices of events, in the order in which they move.
    sequence: &'a [usize],
    /// How things stand before each of them.
    before: &'a [Turns],
    /// Whether it was in fact.
    happened: bool,
}

impl Conflict {
    /// The schedules of calls of which it is known what each does alone.
    pub fn new(solo: Vec<Vec<Step>>) -> Conflict {
        let calls = (0..solo.len()).collect();
        Conflict {
            solo,
            most: MOST_PREEMPTIONS,
            order: Some(calls),
            plans: VecDeque::new(),
            later: VecDeque::new(),
            first: VecDeque::new(),
            foreseen: HashSet::new(),
            made: HashSet::new(),
            running: None,
            watch: Watch::default(),
            rounds: Vec::new(),
            broken_off: 0,
        }
    }

    /// Tries up to so many preemptions.
    #[must_use]
    pub fn up_to(self, preemptions: usize) -> Conflict {
        Conflict {
            most: preemptions,
            ..self
        }
    }

    /// How many rounds were made with so many preemptions.
    pub fn rounds(&self, preemptions: usize) -> u64 {
        let index = preemptions.checked_sub(1);
        index
            .and_then(|index| self.rounds.get(index).copied())
            .unwrap_or(0)
    }

    /// Of the plans that are left, one with the fewest preemptions.
    fn next_plan(&mut self) -> Option<(Plan, u64)> {
        let all = self.solo.len() <= MOST_PLANNED_TOGETHER;
        while all || self.first.is_empty() && self.plans.is_empty() {
            let Some(order) = self.order.take() else {
                break;
            };
            self.open_order(order);
        }
        let queues = [&mut self.first, &mut self.plans, &mut self.later];
        queues.into_iter().find_map(VecDeque::pop_front)
    }

    /// Plans a preemption in the next order of the calls.
    fn open_order(&mut self, order: Vec<usize>) {
        let mut following = order.clone();
        self.order = next_permutation(&mut following).then_some(following);
        let events = Events::alone(&self.solo);
        let relation = events.conflicts();
        let mut starts = vec![0];
        for steps in &self.solo {
            starts.push(starts[starts.len() - 1] + steps.len());
        }
        let (mut sequence, mut before) = (Vec::new(), Vec::new());
        for (place, &call) in order.iter().enumerate() {
            for event in starts[call]..starts[call + 1] {
                sequence.push(event);
                let queue = order[place..].to_vec();
                before.push(Turns { queue, made: 0 });
            }
        }
        let serial = Order::new(&events, &relation, &sequence, 0).hash(&events);
        self.foreseen.insert(serial);
        self.made.insert(serial);
        let plan = Plan {
            order,
            preemptions: Vec::new(),
        };
        let course = Course {
            events: &events,
            relation: &relation,
            sequence: &sequence,
            before: &before,
            happened: false,
        };
        let changes: Vec<Option<usize>> = (0..self.solo.len())
            .map(|call| self.first_change(call))
            .collect();
        let before_change = |plan: &Plan| {
            let mut preemptions = plan.preemptions.iter();
            preemptions.any(|due| changes[due.call] == Some(due.step))
        };
        for (plan, hash) in self.extensions(&plan, &course) {
            let queue = if before_change(&plan) {
                &mut self.first
            } else {
                &mut self.plans
            };
            queue.push_back((plan, hash));
        }
    }

    /// The first of a call's steps that changes what another call touches.
    fn first_change(&self, call: usize) -> Option<usize> {
        let others = self.solo.iter().enumerate();
        let others: Vec<&Access> = others
            .filter(|(other, _)| *other != call)
            .flat_map(|(_, steps)| steps.iter().flat_map(|step| &step.accesses))
            .collect();
        let changes = |access: &Access| {
            access.mode != Mode::Read && others.iter().any(|other| other.conflicts(access))
        };
        self.solo[call]
            .iter()
            .position(|step| step.accesses.iter().any(changes))
    }

    /// The plans that have one more preemption than a course had, after its last.
    fn extensions(&self, plan: &Plan, course: &Course<'_>) -> Vec<(Plan, u64)> {
        let mut plans = Vec::new();
        let (events, sequence) = (course.events, course.sequence);
        // Whether a step of this turn matters. If none does, the call might as well
        // have waited with all of them: another plan has that.
        let mut has_begun = false;
        for at in 1..sequence.len() {
            let call = events.steps[sequence[at]].call;
            if events.steps[sequence[at - 1]].call != call {
                has_begun = false;
                continue;
            }
            has_begun = has_begun || self.matters(course, at - 1);
            let is_last = course.before[at].made == plan.preemptions.len();
            if !has_begun || !is_last || !self.matters(course, at) {
                continue;
            }
            let own = |event: &&usize| events.steps[**event].call == call;
            let step = sequence[..at].iter().filter(own).count();
            for places in 1..course.before[at].queue.len() {
                let preemption = Preemption { call, step, places };
                let hash = foresee(course, at, preemption);
                if !self.foreseen.contains(&hash) {
                    let mut longer = plan.clone();
                    longer.preemptions.push(preemption);
                    plans.push((longer, hash));
                }
            }
        }
        plans
    }

    /// Whether a step conflicts with one that another call has yet to take: by what
    /// it took in this course, or by its solo run.
    fn matters(&self, course: &Course<'_>, at: usize) -> bool {
        let (events, sequence) = (course.events, course.sequence);
        let step = &events.steps[sequence[at]];
        let in_course = sequence[at + 1..]
            .iter()
            .any(|&later| course.relation.holds(sequence[at], later));
        // A call's solo run goes on from as many steps as it has taken here.
        in_course
            || self.solo.iter().enumerate().any(|(other, solo)| {
                let past = sequence[..at].iter();
                let taken = past
                    .filter(|event| events.steps[**event].call == other)
                    .count();
                other != step.call && solo.iter().skip(taken).any(|yet| yet.conflicts(step))
            })
    }
}

/// The order of conflicting steps that a preemption would make of a course, if each
/// call went on as it did.
fn foresee(course: &Course<'_>, at: usize, preemption: Preemption) -> u64 {
    let events = course.events;
    let mut turns = course.before[at].clone();
    turns.put_back(preemption.call, preemption.places);
    let mut sequence = course.sequence[..at].to_vec();
    for call in turns.queue {
        let rest = course.sequence[at..].iter();
        sequence.extend(rest.filter(|event| events.steps[**event].call == call));
    }
    let known = if course.happened { at } else { 0 };
    Order::new(events, course.relation, &sequence, known).hash(events)
}

impl Scheduler for Conflict {
    fn next_round(&mut self) -> bool {
        if self.running.take().is_some() {
            self.broken_off += 1;
            self.watch.forget();
        }
        if self.most == 0 {
            return false;
        }
        while let Some((plan, hash)) = self.next_plan() {
            if self.foreseen.insert(hash) {
                self.running = Some(Running {
                    turns: Turns::of(&plan),
                    plan,
                    before: Vec::new(),
                });
                return true;
            }
        }
        false
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        self.watch.see(at);
        let Some(running) = &mut self.running else {
            return Ok(at.stay());
        };
        let waiting: Vec<usize> = at.waiting.iter().map(|step| step.call).collect();
        let call = running
            .turns
            .next(&running.plan, at.past, &waiting, at.stuck);
        running.before.push(running.turns.clone());
        Ok(call.and_then(|call| at.index_of(call)).unwrap_or(0))
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        let events = self.watch.end(past);
        let Some(Running { plan, before, .. }) = self.running.take() else {
            return Ok(());
        };
        let preemptions = plan.preemptions.len();
        self.rounds.resize(self.rounds.len().max(preemptions), 0);
        self.rounds[preemptions - 1] += 1;
        let relation = events.conflicts();
        let sequence: Vec<usize> = (0..events.len()).collect();
        let hash = Order::new(&events, &relation, &sequence, events.len()).hash(&events);
        self.foreseen.insert(hash);
        if self.made.insert(hash) && preemptions < self.most {
            let course = Course {
                events: &events,
                relation: &relation,
                sequence: &sequence,
                before: &before,
                happened: true,
            };
            let plans = self.extensions(&plan, &course);
            self.later.extend(plans);
        }
        Ok(())
    }

    fn says(&self) -> Option<String> {
        let calls = self.solo.len();
        let mut queues = [&self.first, &self.plans, &self.later].into_iter();
        let ended = self.order.is_none() && queues.all(VecDeque::is_empty);
        let rounds: u64 = self.rounds.iter().sum();
        let all = if ended && self.running.is_none() && self.broken_off == 0 {
            "all schedules"
        } else {
            "schedules"
        };
        let preemptions = match self.most {
            1 => "one preemption".to_owned(),
            most => format!("up to {most} preemptions"),
        };
        let broken_off = broken_off(self.broken_off);
        Some(format!(
            "{all} of these {calls} calls with {preemptions} before conflicting statements: \
             {rounds} rounds{broken_off}"
        ))
    }
}
