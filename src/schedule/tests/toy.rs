//! A service and its database, small enough to be searched whole: calls are programs
//! over rows; READ COMMITTED; a row that is written or locked stays locked until the
//! transaction ends, and the locks are waited for in order of arrival; of a deadlock,
//! the call that waited first is aborted, as PostgreSQL's detector does.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::step::{Access, Action, Mode, Step};
use crate::schedule::{Diverged, Point, Scheduler};

/// A table and a key in it.
pub type Row = (&'static str, u8);

/// What a write writes.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// What was read into a register, plus something.
    Read(usize, i64),
    /// What the row holds, plus something.
    Held(i64),
}

/// What a call does. All but `Open`, `StopUnless`, `Take` and `Give` are steps.
#[derive(Clone, Debug)]
pub enum Op {
    /// BEGIN.
    Open,
    Commit,
    Read(Row, usize),
    /// SELECT FOR UPDATE.
    Lock(Row, usize),
    /// How many rows the table has that are not 0.
    Count(&'static str, usize),
    Write(Row, Value),
    /// A new row; an error if there is one.
    Insert(Row),
    /// Rolls back and refuses unless the register is at least this and at most that.
    StopUnless(usize, i64, i64),
    /// Takes the mutex that all of the service shares.
    Take,
    Give,
}

/// What is left: the rows, and what each call answered.
pub type Outcome = (BTreeMap<Row, i64>, Vec<Answer>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Done([i64; 3]),
    Refused,
    Failed,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub rows: BTreeMap<Row, i64>,
    pub calls: Vec<Vec<Op>>,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Held, before its next step.
    Waiting,
    /// In the lock queue, or the mutex's.
    Stuck,
    Done(Answer),
}

#[derive(Clone, Debug)]
struct Call {
    state: State,
    /// The next operation; the request itself is not yet let go while `begun` is
    /// false.
    at: usize,
    begun: bool,
    open: bool,
    /// Must roll back, and then answers this.
    ending: Option<Answer>,
    registers: [i64; 3],
    written: BTreeMap<Row, i64>,
    accesses: Vec<Access>,
}

/// A round in the middle.
struct Round<'a> {
    service: &'a Service,
    rows: BTreeMap<Row, i64>,
    locks: BTreeMap<Row, usize>,
    mutex: Option<usize>,
    calls: Vec<Call>,
    /// Who is stuck, in order of arrival.
    queue: Vec<usize>,
}

impl Service {
    pub fn new(rows: &[(Row, i64)], calls: Vec<Vec<Op>>) -> Service {
        Service {
            rows: rows.iter().copied().collect(),
            calls,
        }
    }

    /// A round under a scheduler: what moved, and what is left.
    pub fn round(&self, by: &mut dyn Scheduler) -> Result<(Vec<Step>, Outcome), Diverged> {
        self.round_of(&(0..self.calls.len()).collect::<Vec<_>>(), by)
    }

    fn round_of(
        &self,
        who: &[usize],
        by: &mut dyn Scheduler,
    ) -> Result<(Vec<Step>, Outcome), Diverged> {
        let mut round = Round::new(self);
        let mut past = Vec::new();
        loop {
            let state = |call: &&usize, state| round.calls[**call].state == state;
            let waiting: Vec<Step> = who
                .iter()
                .filter(|call| state(call, State::Waiting))
                .map(|&call| round.step(call))
                .collect();
            let stuck: Vec<usize> = who
                .iter()
                .filter(|call| state(call, State::Stuck))
                .copied()
                .collect();
            if waiting.is_empty() {
                assert!(stuck.is_empty(), "nobody can move: {past:?}");
                break;
            }
            let point = Point {
                past: &past,
                waiting: &waiting,
                stuck: &stuck,
            };
            let step = waiting[by.choose(&point)?].clone();
            round.go(step.call);
            past.push(step);
            for (index, call) in round.calls.iter().enumerate() {
                if call.ending == Some(Answer::Failed)
                    && let Some(failed) = past.iter_mut().rfind(|step| step.call == index)
                {
                    failed.accesses.clone_from(&call.accesses);
                }
            }
        }
        by.round_ended(&past)?;
        let answers = round.calls.into_iter().map(|call| match call.state {
            State::Done(answer) => answer,
            State::Waiting | State::Stuck => Answer::Refused,
        });
        Ok((past, (round.rows, answers.collect())))
    }

    /// All rounds of a scheduler that ends: how many, and what was left.
    pub fn all(&self, by: &mut dyn Scheduler) -> (u64, BTreeSet<Outcome>) {
        self.most(by, u64::MAX)
    }

    /// So many rounds of a scheduler.
    pub fn most(&self, by: &mut dyn Scheduler, most: u64) -> (u64, BTreeSet<Outcome>) {
        let (mut rounds, mut outcomes) = (0, BTreeSet::new());
        while rounds < most && by.next_round() {
            outcomes.insert(self.round(by).unwrap().1);
            rounds += 1;
        }
        (rounds, outcomes)
    }

    /// Which round of a scheduler's is the first to fail.
    pub fn first_failure(&self, by: &mut dyn Scheduler, most: u64) -> Option<u64> {
        let right = self.one_at_a_time();
        for round in 1..=most {
            if !by.next_round() {
                return None;
            }
            if !right.contains(&self.round(by).unwrap().1) {
                return Some(round);
            }
        }
        None
    }

    /// What each call does alone.
    pub fn solo(&self) -> Vec<Vec<Step>> {
        let alone = |call| self.round_of(&[call], &mut InOrder(vec![call])).unwrap().0;
        (0..self.calls.len()).map(alone).collect()
    }

    /// What can be left when the calls are made one at a time.
    pub fn one_at_a_time(&self) -> BTreeSet<Outcome> {
        let mut order: Vec<usize> = (0..self.calls.len()).collect();
        let mut outcomes = BTreeSet::new();
        loop {
            let mut by = InOrder(order.clone());
            outcomes.insert(self.round(&mut by).unwrap().1);
            if !crate::schedule::plan::next_permutation(&mut order) {
                return outcomes;
            }
        }
    }
}

/// One call after the other.
struct InOrder(Vec<usize>);

impl Scheduler for InOrder {
    fn next_round(&mut self) -> bool {
        true
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        Ok(self.0.iter().find_map(|&call| at.index_of(call)).unwrap())
    }

    fn round_ended(&mut self, _past: &[Step]) -> Result<(), Diverged> {
        Ok(())
    }
}

fn access((table, key): Row, mode: Mode) -> Access {
    Access {
        table: table.to_owned(),
        mode,
        rows: BTreeMap::from([("id".to_owned(), key.to_string())]),
    }
}

impl<'a> Round<'a> {
    fn new(service: &'a Service) -> Round<'a> {
        let call = Call {
            state: State::Waiting,
            at: 0,
            begun: false,
            open: false,
            ending: None,
            registers: [0; 3],
            written: BTreeMap::new(),
            accesses: Vec::new(),
        };
        Round {
            service,
            rows: service.rows.clone(),
            locks: BTreeMap::new(),
            mutex: None,
            calls: vec![call; service.calls.len()],
            queue: Vec::new(),
        }
    }

    /// The step that a call waits with.
    fn step(&self, index: usize) -> Step {
        let call = &self.calls[index];
        let (action, accesses) = if !call.begun {
            (Action::Begin, Vec::new())
        } else if call.ending.is_some() {
            (sql("ROLLBACK"), call.accesses.clone())
        } else {
            let op = &self.service.calls[index][call.at];
            let statement = sql(&format!("{op:?}"));
            (statement, accesses(op).unwrap_or(call.accesses.clone()))
        };
        Step {
            call: index,
            action,
            accesses,
        }
    }

    /// Lets a call's step go, and all that is freed by it.
    fn go(&mut self, index: usize) {
        let accesses = self.step(index).accesses;
        let call = &mut self.calls[index];
        if !call.begun {
            call.begun = true;
            self.come_to_step(index);
        } else if let Some(answer) = call.ending.take() {
            call.state = State::Done(answer);
            self.release(index);
        } else {
            call.accesses.extend(accesses);
            self.run(index);
        }
        self.free();
    }

    /// Those who are stuck try again, in order of arrival, until none gets on.
    fn free(&mut self) {
        while let Some(index) = self.queue.iter().copied().find(|&index| self.can(index)) {
            self.queue.retain(|other| *other != index);
            self.calls[index].state = State::Waiting;
            match self.service.calls[index][self.calls[index].at] {
                Op::Take => self.come_to_step(index),
                _ => self.run(index),
            }
        }
    }

    fn can(&self, index: usize) -> bool {
        match &self.service.calls[index][self.calls[index].at] {
            Op::Take => self.mutex.is_none(),
            op => locked(op).is_none_or(|row| !self.locks.contains_key(&row)),
        }
    }

    /// Runs a step, or gets stuck at it.
    fn run(&mut self, index: usize) {
        let op = self.service.calls[index][self.calls[index].at].clone();
        if let Some(row) = locked(&op) {
            if self.locks.get(&row).is_some_and(|holder| *holder != index) {
                self.calls[index].state = State::Stuck;
                self.queue.push(index);
                self.break_deadlock(index);
                return;
            }
            self.locks.insert(row, index);
        }
        let held = |row: &Row| {
            let own = self.calls[index].written.get(row);
            own.or(self.rows.get(row)).copied()
        };
        let mut register = None;
        let mut write = None;
        match op {
            Op::Read(row, into) | Op::Lock(row, into) => {
                register = Some((into, held(&row).unwrap_or(0)));
            }
            Op::Count(table, into) => {
                let own = &self.calls[index].written;
                let rows: BTreeSet<&Row> = self.rows.keys().chain(own.keys()).collect();
                let counted = rows
                    .into_iter()
                    .filter(|row| row.0 == table && held(row) != Some(0));
                register = Some((into, i64::try_from(counted.count()).unwrap()));
            }
            Op::Write(row, Value::Held(plus)) => {
                write = Some((row, held(&row).unwrap_or(0) + plus));
            }
            Op::Write(row, Value::Read(from, plus)) => {
                write = Some((row, self.calls[index].registers[from] + plus));
            }
            Op::Insert(row) if held(&row).is_some() => return self.fail(index, Answer::Failed),
            Op::Insert(row) => write = Some((row, 1)),
            Op::Commit => {
                self.end(index);
                self.calls[index].open = false;
            }
            Op::Open | Op::StopUnless(..) | Op::Take | Op::Give => unreachable!("no step"),
        }
        let call = &mut self.calls[index];
        if let Some((into, value)) = register {
            call.registers[into] = value;
        }
        call.written.extend(write);
        if !call.open {
            self.end(index);
        }
        self.calls[index].at += 1;
        self.come_to_step(index);
    }

    /// Goes on to the next step, through what is none.
    fn come_to_step(&mut self, index: usize) {
        loop {
            let call = &mut self.calls[index];
            match self.service.calls[index].get(call.at) {
                None => {
                    call.state = State::Done(Answer::Done(call.registers));
                    return;
                }
                Some(Op::Open) => call.open = true,
                Some(&Op::StopUnless(register, least, most)) => {
                    if !(least..=most).contains(&call.registers[register]) {
                        return self.fail(index, Answer::Refused);
                    }
                }
                Some(Op::Take) if self.mutex.is_some() => {
                    call.state = State::Stuck;
                    self.queue.push(index);
                    return;
                }
                Some(Op::Take) => self.mutex = Some(index),
                Some(Op::Give) => self.mutex = None,
                Some(_) => return,
            }
            self.calls[index].at += 1;
        }
    }

    /// Gives a transaction up: the ROLLBACK is yet to come, but after an error the
    /// locks go at once.
    fn fail(&mut self, index: usize, answer: Answer) {
        if answer == Answer::Failed || !self.calls[index].open {
            self.release(index);
        }
        let call = &mut self.calls[index];
        call.written.clear();
        if call.open {
            call.ending = Some(answer);
            call.state = State::Waiting;
        } else {
            call.state = State::Done(answer);
        }
    }

    fn end(&mut self, index: usize) {
        let written = std::mem::take(&mut self.calls[index].written);
        self.rows.extend(written);
        self.calls[index].accesses.clear();
        self.locks.retain(|_, holder| *holder != index);
    }

    fn release(&mut self, index: usize) {
        self.locks.retain(|_, holder| *holder != index);
        if self.mutex == Some(index) {
            self.mutex = None;
        }
    }

    fn break_deadlock(&mut self, index: usize) {
        let waits_for = |call: usize| {
            let op = &self.service.calls[call][self.calls[call].at];
            let stuck = self.calls[call].state == State::Stuck;
            locked(op)
                .filter(|_| stuck)
                .and_then(|row| self.locks.get(&row).copied())
        };
        let mut cycle = vec![index];
        while let Some(next) = waits_for(cycle[cycle.len() - 1]) {
            if next == index {
                let first = self.queue.iter().copied().find(|call| cycle.contains(call));
                let victim = first.unwrap();
                self.queue.retain(|call| *call != victim);
                self.fail(victim, Answer::Failed);
                return;
            }
            if cycle.contains(&next) {
                return;
            }
            cycle.push(next);
        }
    }
}

fn sql(statement: &str) -> Action {
    Action::Sql {
        statement: statement.to_owned(),
        parameters: Vec::new(),
        short: statement.to_owned(),
    }
}

/// The row that a step has to have to itself.
fn locked(op: &Op) -> Option<Row> {
    match op {
        Op::Lock(row, _) | Op::Write(row, _) | Op::Insert(row) => Some(*row),
        _ => None,
    }
}

/// What a step touches; `None` if it ends a transaction.
fn accesses(op: &Op) -> Option<Vec<Access>> {
    Some(match op {
        Op::Read(row, _) => vec![access(*row, Mode::Read)],
        Op::Lock(row, _) | Op::Write(row, _) => vec![access(*row, Mode::Write)],
        // It looks for the row first, as for a unique key.
        Op::Insert(row) => vec![access(*row, Mode::Read), access(*row, Mode::Insert)],
        Op::Count(table, _) => vec![Access {
            table: (*table).to_owned(),
            mode: Mode::Read,
            rows: BTreeMap::new(),
        }],
        _ => return None,
    })
}
