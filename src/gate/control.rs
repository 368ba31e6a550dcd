//! Whose a step is, and who may move: the account that is kept of a race's calls
//! while they go through the gate.
//!
//! A state machine without a clock or a socket of its own: it is told what was
//! heard and when, and says what to do [next](Control::next). Between two choices
//! exactly one call runs, so what reaches the gate is that call's. Where more than
//! one can have sent a step (the holder of a lock has committed, and the one who
//! waited goes on at the same time; a mutex of the service's was let go), the step
//! is kept until silence or an answer tells whose it was; unless it says so itself.
//!
//! It carries choices out and makes none, and knows neither wire nor SQL: what a
//! step touches comes in with it.

mod connection;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::gate::pace;
pub use crate::gate::pace::Pace;
use crate::model::step::{Action, Step};

use connection::Connection;

pub use words::{After, Arrival, Left, Let, Next, Session, Whose};

/// What a call is doing as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// It has not begun.
    Before,
    /// It is under way.
    Running,
    /// Its next step is held.
    Held,
    /// Its step in flight waits for a lock.
    Locked,
    /// Nothing was heard of it for long: a pool's queue, a mutex of the service's.
    Elsewhere,
    /// It has ended, and nothing of it is left.
    Over,
}

#[derive(Debug)]
struct Held<G> {
    step: Step,
    session: Session,
    ends: bool,
    snapshot: bool,
    awaited: bool,
    go: G,
}

#[derive(Debug)]
struct Call<G> {
    after: After,
    activity: Activity,
    begun: bool,
    /// Whether its client has an answer, or has given up.
    ended: bool,
    /// When it was last heard of.
    heard: Instant,
    /// How often its step in flight was asked about.
    asked: u32,
    held: VecDeque<Held<G>>,
    /// What was let go and is not answered yet; whether the call waits for it.
    in_flight: BTreeMap<Session, bool>,
}

/// The account of a race.
#[derive(Debug)]
pub struct Control<G> {
    calls: Vec<Call<G>>,
    connections: BTreeMap<Session, Connection>,
    /// Steps of which it is not known yet whose they are.
    unclaimed: VecDeque<Arrival<G>>,
    past: Vec<Step>,
    last: Option<usize>,
    pace: Pace,
}

impl<G> Control<G> {
    /// Before the race. `pace` is what earlier rounds taught.
    pub fn new(begins: &[After], pace: Pace, now: Instant) -> Self {
        let call = |after: &After| Call {
            after: *after,
            activity: Activity::Before,
            begun: false,
            ended: false,
            heard: now,
            asked: 0,
            held: VecDeque::new(),
            in_flight: BTreeMap::new(),
        };
        Control {
            calls: begins.iter().map(call).collect(),
            connections: BTreeMap::new(),
            unclaimed: VecDeque::new(),
            past: Vec::new(),
            last: None,
            pace,
        }
    }

    /// The steps that have moved, in order.
    pub fn past(&self) -> &[Step] {
        &self.past
    }

    /// After the race: what moved, and the pace for the next.
    pub fn into_past(self) -> (Vec<Step>, Pace) {
        (self.past, self.pace)
    }

    /// A step has reached the gate.
    pub fn arrived(&mut self, now: Instant, arrival: Arrival<G>) {
        let owner = match arrival.whose {
            Whose::Named(call) if self.has_begun(call) => Some(call),
            _ => self.owner(arrival.session),
        };
        match owner {
            Some(owner) => self.claim(now, owner, arrival),
            None => self.unclaimed.push_back(arrival),
        }
        self.attribute(now, false);
    }

    /// Whose the open transaction of a connection is.
    pub fn owner(&self, session: Session) -> Option<usize> {
        self.connections.get(&session)?.owner
    }

    fn has_begun(&self, call: usize) -> bool {
        self.calls.get(call).is_some_and(|call| call.begun)
    }

    /// A step was answered.
    pub fn answered(&mut self, now: Instant, session: Session, left: Left) {
        let is_database = matches!(session, Session::Database(_));
        let connection = self.connections.entry(session).or_default();
        let Some(call) = connection.last else { return };
        connection.answered(call, left, &mut self.past);
        if is_database && left != Left::InTransaction {
            self.wake_locked(now);
        }
        let call = &mut self.calls[call];
        if call.in_flight.remove(&session).is_some() && is_database {
            self.pace
                .answered(now.saturating_duration_since(call.heard));
        }
        call.hear(now);
    }

    /// Something of one of these calls was seen that is no step: it is not waiting
    /// elsewhere, if it can be told whose it is.
    pub fn stirred(&mut self, now: Instant, among: &[usize]) {
        let running = self.able(among, &[Activity::Running]);
        let elsewhere = self.able(among, &[Activity::Elsewhere]);
        for call in &running {
            self.calls[*call].heard = now;
        }
        if let ([], [only]) = (running.as_slice(), elsewhere.as_slice()) {
            self.calls[*only].hear(now);
        }
    }

    /// A connection has ended, and its transaction with it.
    pub fn closed(&mut self, now: Instant, session: Session) {
        self.answered(now, session, Left::Idle);
        self.connections.remove(&session);
        self.unclaimed.retain(|arrival| arrival.session != session);
        for call in &mut self.calls {
            call.held.retain(|held| held.session != session);
            if call.activity == Activity::Held && call.held.is_empty() {
                call.hear(now);
            }
        }
    }

    /// A call's client has its answer, or has given up.
    pub fn ended(&mut self, now: Instant, call: usize) {
        let ended = &mut self.calls[call];
        ended.ended = true;
        if ended.activity != Activity::Held {
            ended.hear(now);
        }
        self.attribute(now, false);
    }

    /// Whether the step in flight on a connection to the database waits for a lock.
    pub fn locked(&mut self, now: Instant, session: u64, locked: bool) {
        let session = Session::Database(session);
        let mut calls = self.calls.iter_mut();
        let Some(call) = calls.find(|call| call.in_flight.contains_key(&session)) else {
            return;
        };
        call.asked += 1;
        call.heard = now;
        if locked {
            call.stops(Activity::Locked);
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next {
        self.retire();
        let mut until: Option<Instant> = None;
        for call in &mut self.calls {
            if call.activity != Activity::Running {
                continue;
            }
            let in_flight = call.in_flight.keys().next().copied();
            let due = match in_flight {
                Some(Session::Database(_)) => call.heard + self.pace.ask_locks_after(call.asked),
                // It is answered in any case, and holds no locks.
                Some(Session::ThirdParty(_)) => now + pace::IDLE,
                None => call.heard + self.pace.silence(),
            };
            match in_flight {
                _ if due > now => until = Some(until.map_or(due, |other| other.min(due))),
                Some(Session::Database(session)) => return Next::AskLocks(session),
                Some(Session::ThirdParty(_)) => {}
                None => call.stops(Activity::Elsewhere),
            }
        }
        if let Some(until) = until {
            return Next::Listen(until);
        }
        self.attribute(now, true);
        if (0..self.calls.len()).any(|call| self.is_waiting(call)) {
            return Next::Choose;
        }
        if self
            .calls
            .iter()
            .all(|call| call.activity == Activity::Over)
        {
            return Next::Over;
        }
        // Only locks and the service itself can move them now.
        Next::Listen(now + pace::IDLE)
    }

    /// The steps to choose among, in order of their calls.
    pub fn waiting(&self) -> Vec<Step> {
        let waiting = (0..self.calls.len()).filter(|call| self.is_waiting(*call));
        waiting
            .map(|call| match self.calls[call].held.front() {
                Some(held) => held.step.clone(),
                None => begin(call),
            })
            .collect()
    }

    /// Whether a call can be let go.
    fn is_waiting(&self, call: usize) -> bool {
        let call = &self.calls[call];
        match call.activity {
            Activity::Held => !call.held.is_empty(),
            Activity::Before => self.may_begin(call.after),
            Activity::Running | Activity::Locked | Activity::Elsewhere | Activity::Over => false,
        }
    }

    /// The calls that have moved and are neither at a choice nor over: they wait for
    /// a lock, or elsewhere.
    pub fn stuck(&self) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls
            .filter(|(_, call)| matches!(call.activity, Activity::Locked | Activity::Elsewhere))
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether every client has its answer, or has given up.
    pub fn all_ended(&self) -> bool {
        self.calls.iter().all(|call| call.ended)
    }

    /// Lets a call's waiting step go. `None` if it has none.
    pub fn go(&mut self, now: Instant, call: usize) -> Option<Let<G>> {
        if !self.is_waiting(call) {
            return None;
        }
        self.last = Some(call);
        let moving = &mut self.calls[call];
        moving.activity = Activity::Running;
        moving.heard = now;
        moving.asked = 0;
        let Some(held) = moving.held.pop_front() else {
            moving.begun = true;
            self.past.push(begin(call));
            return Some(Let::Begin(call));
        };
        moving.in_flight.insert(held.session, held.awaited);
        let connection = self.connections.entry(held.session).or_default();
        connection.goes(held.step, held.ends, held.snapshot, &mut self.past);
        Some(Let::Step(held.go))
    }

    fn may_begin(&self, after: After) -> bool {
        match after {
            After::Nothing => true,
            After::Begun(of) => self.calls[of].begun,
            After::Ended(of) => self.calls[of].ended,
        }
    }

    /// A step is a call's.
    fn claim(&mut self, now: Instant, call: usize, arrival: Arrival<G>) {
        let connection = self.connections.entry(arrival.session).or_default();
        connection.last = Some(call);
        let mut accesses = arrival.accesses;
        if arrival.ends {
            connection.ends(&mut accesses);
        }
        let holder = &mut self.calls[call];
        if holder.activity == Activity::Running && holder.in_flight.is_empty() {
            self.pace
                .thought(now.saturating_duration_since(holder.heard));
        }
        holder.heard = now;
        holder.activity = Activity::Held;
        let held = Held {
            step: Step {
                call,
                action: arrival.action,
                accesses,
            },
            session: arrival.session,
            ends: arrival.ends,
            snapshot: arrival.snapshot,
            awaited: arrival.awaited,
            go: arrival.go,
        };
        if held.awaited {
            holder.held.push_back(held);
        } else {
            // It was begun before what comes beside it.
            holder.held.push_front(held);
        }
    }

    /// Finds out whose the unclaimed steps are, as far as it can be told; once all
    /// are `silent`, it has to be.
    fn attribute(&mut self, now: Instant, silent: bool) {
        // Once it is known who has sent the others, fewer can have sent a doubtful one.
        let unclaimed = self.unclaimed.make_contiguous();
        unclaimed.sort_by_key(|arrival| arrival.whose == Whose::Doubtful);
        while let Some(arrival) = self.unclaimed.pop_front() {
            match self.owner_of(&arrival, silent) {
                Some(call) => self.claim(now, call, arrival),
                None if silent => {
                    // Nobody can have sent it: dropped, it goes.
                    self.connections.remove(&arrival.session);
                }
                None => return self.unclaimed.push_front(arrival),
            }
        }
    }

    /// Those of these calls that do one of these and can send something.
    fn able(&self, among: &[usize], activities: &[Activity]) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls
            .filter(|(_, call)| activities.contains(&call.activity) && call.may_send())
            .map(|(index, _)| index)
            .filter(|index| among.contains(index))
            .collect()
    }

    fn owner_of(&self, arrival: &Arrival<G>, silent: bool) -> Option<usize> {
        let doubtful = arrival.whose == Whose::Doubtful;
        let running = self.able(&arrival.among, &[Activity::Running]);
        let elsewhere = self.able(&arrival.among, &[Activity::Elsewhere, Activity::Held]);
        match (running.as_slice(), elsewhere.as_slice()) {
            _ if doubtful && !silent => None,
            ([only], []) | ([], [only]) => Some(*only),
            _ if !silent => None,
            ([], []) if doubtful => None,
            ([], []) => {
                // It does more than one thing at once.
                let begun = (0..self.calls.len()).filter(|call| self.has_begun(*call));
                let mut likely = self.last.into_iter().chain(begun);
                likely.find(|call| arrival.among.contains(call))
            }
            // Silence: whoever runs waits for this very step, or has become one of
            // those who wait elsewhere. Who moved last is likelier than others, and
            // who had the connection before is likelier than who had not.
            (running, elsewhere) => {
                let able: Vec<usize> = running.iter().chain(elsewhere).copied().collect();
                let before = self
                    .connections
                    .get(&arrival.session)
                    .and_then(|known| known.last);
                let likely = [self.last, before].into_iter().flatten();
                likely
                    .filter(|call| able.contains(call))
                    .chain(able.first().copied())
                    .next()
            }
        }
    }

    /// A transaction has ended, and its locks with it: whoever waited for one may
    /// be under way again.
    fn wake_locked(&mut self, now: Instant) {
        for call in &mut self.calls {
            if call.activity == Activity::Locked {
                call.activity = Activity::Running;
                call.heard = now;
                call.asked = 0;
            }
        }
    }

    /// Marks the calls of which nothing is left.
    fn retire(&mut self) {
        for index in 0..self.calls.len() {
            let open = self
                .connections
                .values()
                .any(|known| known.owner == Some(index));
            let call = &mut self.calls[index];
            let idle = call.held.is_empty() && call.in_flight.is_empty() && !open;
            if call.ended && idle {
                call.activity = Activity::Over;
            }
        }
    }
}

/// The first step of a call: its request is let go.
fn begin(call: usize) -> Step {
    Step {
        call,
        action: Action::Begin,
        accesses: Vec::new(),
    }
}

impl<G> Call<G> {
    /// One that waits for an answer sends nothing, nor does one that has given its own
    /// and is only being rolled back.
    fn may_send(&self) -> bool {
        let mut held = self.held.iter().map(|held| held.awaited);
        let waits = held.any(|awaited| awaited) || self.in_flight.values().any(|awaited| *awaited);
        !waits && (self.held.is_empty() || !self.ended)
    }

    /// It does not go on by itself; unless it does more than one thing at once, and
    /// another step of it can be let go.
    fn stops(&mut self, activity: Activity) {
        self.activity = if self.held.is_empty() {
            activity
        } else {
            Activity::Held
        };
    }

    /// Something was heard of it: it is under way again, unless a step is held.
    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
        self.activity = if self.held.is_empty() {
            Activity::Running
        } else {
            Activity::Held
        };
    }
}

#[cfg(test)]
mod tests;
