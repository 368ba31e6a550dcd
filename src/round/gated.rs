//! The race of a gated round: one call moves at a time, and a scheduler says which.
//!
//! Hears the gate, the stand-ins, the clients and the clock, tells [`Control`] what it heard, and
//! does what it says. A step that a fault of the scenario strikes is struck instead of let go.
//! Knows neither who schedules nor why.

mod faults;
mod migration;
mod strike;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::database::Database;
use crate::drive::{Flight, Lead, Shot};
use crate::failure::Failure;
use crate::gate::control::{After, Arrival, Control, Left, Next, Session, Whose};
use crate::gate::sql::{End, Meaning, uncommented};
use crate::gate::{self, Event, Statement, TransactionStatus};
use crate::hold::Go;
use crate::model::history::{History, Migrated};
use crate::model::observed::StubCall;
use crate::model::scenario::{RetryWhen, Role, Scenario};
use crate::model::step::{Access, Action, Mode, Step};
use crate::round::outsiders::Outsiders;
use crate::round::{Actors, SETTLE_WITHIN, trace};
use crate::schedule::{Diverged, Point, Scheduler};
use crate::service::Service;
use crate::stage::{Gating, Stage};
use crate::stub::{self, Stubs};
use crate::target::Target;

use faults::Faults;
use migration::Migration;
use strike::Held;

/// How long a call that is expected to move and waits elsewhere is waited for before
/// the round is said to have diverged.
const PATIENCE: Duration = Duration::from_millis(500);

/// The replica that third parties call.
const CALLED: usize = 0;

/// How often the gate is asked whether its sessions have come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Stage {
    /// Fires a race through the gate and waits for every end. Beside the history
    /// stands where the service left what the scheduler had expected, or which fault
    /// did not strike: such a round cannot be judged.
    pub(super) async fn gated_race(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
        scheduler: &mut dyn Scheduler,
    ) -> Result<(History, Option<String>), Failure> {
        let shots = self.shots(scenario, actors)?;
        let mut named = shots.clone();
        for (call, shot) in named.iter_mut().enumerate() {
            // Of use at the gate only: a finding shows the request without it.
            trace::name(&mut shot.request, call);
            // When a client leaves is a matter of time, and time stands still here. But
            // for a fault it leaves at a step.
            shot.hang_up = faults::half_way(&scenario.faults, call);
        }
        let raced = self.lead(scenario, &named, scheduler).await?;
        let mut calls = self.all_made(scenario, shots, raced.flights);
        for struck in raced.struck {
            calls[struck].struck = true;
        }
        let history = History {
            calls,
            steps: raced.steps,
            migration: raced.migration,
            ..History::default()
        };
        Ok((history, raced.diverged))
    }

    async fn lead(
        &mut self,
        scenario: &Scenario,
        shots: &[Shot],
        scheduler: &mut dyn Scheduler,
    ) -> Result<Raced, Failure> {
        let limit = self.target.file.service.answer_within;
        let migration = Migration::of(scenario, self).await?;
        let mut migrates = migration.is_some();
        let gating = self.gating.as_mut().ok_or_else(|| {
            Failure::Internal("a gated round on a stage without a gate".to_owned())
        })?;
        let mut begins: Vec<After> = scenario.race.iter().map(|call| after(&call.role)).collect();
        let (lead, race) = self.driver.led(shots, limit);
        let Lead {
            ready,
            go,
            leave,
            mut ended,
        } = lead;
        let mut go: Vec<Option<oneshot::Sender<()>>> = go.into_iter().map(Some).collect();
        let mut replicas: Vec<usize> = shots.iter().map(|shot| shot.replica).collect();
        let (begin, told) = oneshot::channel();
        if migrates {
            begins.push(After::Nothing);
            go.push(Some(begin));
            // It has a port of its own, behind those of the service's replicas.
            replicas.push(self.target.replicas());
        }
        let mut migration = Box::pin(migration::end(migration, told));
        tokio::pin!(race);
        let mut flights: Option<Vec<Flight>> = None;
        tokio::select! {
            // It ends before all are connected only by a failure, or without a call.
            landed = &mut race => flights = Some(landed?),
            _ = ready => {}
        }
        gating.gate.hold(true);
        self.stubs.hold(true);
        let mut conductor = Conductor {
            control: Control::new(&begins, gating.pace, Instant::now()),
            gating,
            replicas,
            calls: shots.len(),
            stubs: &self.stubs,
            database: self.database.as_mut(),
            go,
            leave: leave.into_iter().map(Some).collect(),
            target: &self.target,
            faults: Faults::new(&scenario.faults),
            leaving: None,
            ended: BTreeSet::new(),
            revived: HashMap::new(),
            starting: None,
            outsiders: Outsiders::default(),
            diverged: None,
            impatient: None,
            all_ended: None,
        };
        let mut its_end = None;
        while let Some(until) = conductor.act(scheduler, &mut self.service).await? {
            let gating = &mut *conductor.gating;
            tokio::select! {
                biased;
                Some(event) = gating.events.recv() => conductor.hear(event),
                Some(event) = gating.third_parties.recv() => conductor.overhear(event),
                Some(call) = ended.recv() => conductor.ended(call),
                ended = &mut migration, if migrates => {
                    migrates = false;
                    conductor.ended(shots.len());
                    its_end = Some(ended);
                }
                landed = &mut race, if flights.is_none() => flights = Some(landed?),
                () = gating.alarm.until(until) => {}
            }
        }
        conductor.starts_within(None, &mut self.service).await?;
        let (steps, diverged, faults) = conductor.end();
        let diverged = diverged.or_else(|| scheduler.round_ended(&steps).err());
        let flights = match flights {
            Some(flights) => flights,
            None => race.await?,
        };
        if migrates {
            its_end = Some(migration.await);
        }
        Ok(Raced {
            flights,
            migration: its_end,
            steps,
            diverged: diverged.map(|left| left.to_string()).or(faults.missed()),
            struck: faults.calls,
        })
    }
}

/// A gated race that is over.
struct Raced {
    flights: Vec<Flight>,
    migration: Option<Migrated>,
    steps: Vec<Step>,
    diverged: Option<String>,
    /// The calls that faults have struck.
    struck: BTreeSet<usize>,
}

/// What a gated race is led with.
struct Conductor<'a> {
    gating: &'a mut Gating,
    /// The replica that each call is sent to; of the migration, the one after all.
    replicas: Vec<usize>,
    /// How many of these are calls.
    calls: usize,
    stubs: &'a Stubs,
    database: &'a mut dyn Database,
    control: Control<Held>,
    go: Vec<Option<oneshot::Sender<()>>>,
    leave: Vec<Option<oneshot::Sender<()>>>,
    target: &'a Target,
    faults: Faults<'a>,
    /// The call whose client leaves while its step is held, and since when it has left.
    leaving: Option<(usize, Option<Instant>)>,
    /// The calls whose clients have their end.
    ended: BTreeSet<usize>,
    /// The replicas that were killed and started again, and how much had moved by then.
    revived: HashMap<usize, usize>,
    /// The one of them that is not ready yet.
    starting: Option<usize>,
    outsiders: Outsiders,
    /// Where the service left what was expected of it.
    diverged: Option<Diverged>,
    /// Since when a call is waited for that the scheduler wants to move.
    impatient: Option<Instant>,
    /// Since when every client has its answer.
    all_ended: Option<Instant>,
}

impl<'a> Conductor<'a> {
    /// Acts until there is nothing to do but to listen, at most until the moment
    /// that it returns; `None` once the race is over.
    async fn act(
        &mut self,
        scheduler: &mut dyn Scheduler,
        service: &mut Service,
    ) -> Result<Option<Instant>, Failure> {
        loop {
            let now = Instant::now();
            match self.control.next(now) {
                Next::Listen(until) => return Ok(self.listen(until)),
                Next::AskLocks(session) => {
                    let locked = match self.gating.processes.get(&session) {
                        Some(process) => self.database.waits_for_lock(*process).await?,
                        None => false,
                    };
                    self.control.locked(Instant::now(), session, locked);
                }
                Next::Choose if self.leaving.is_some() => {
                    if let Some(until) = self.leave_taken(now) {
                        return Ok(Some(until));
                    }
                }
                Next::Choose => match self.choose(scheduler) {
                    // Nobody can go on before it is there.
                    Ok(None) => return Ok(Some(now + LOOK_EVERY)),
                    Ok(Some(call)) => {
                        self.impatient = None;
                        self.go(call, service).await?;
                        self.starts_within(Some(faults::A_MOMENT), service).await?;
                    }
                    Err(diverged) if self.may_wait(&diverged, now) => {
                        return Ok(Some(now + LOOK_EVERY));
                    }
                    Err(diverged) => {
                        // The rest goes as it comes: the round is lost, but the
                        // service must not be left in the middle of it.
                        self.diverged.get_or_insert(diverged);
                    }
                },
                // A transaction of which no step was held may still be open.
                Next::Over if self.gating.gate.unsettled().is_empty() => return Ok(None),
                Next::Over => return Ok(self.listen(now + LOOK_EVERY)),
            }
        }
    }

    /// Until when to listen; `None` if what is left takes too long, which the look
    /// at the database that follows will tell.
    fn listen(&mut self, until: Instant) -> Option<Instant> {
        if !self.control.all_ended() {
            return Some(until);
        }
        let since = *self.all_ended.get_or_insert_with(Instant::now);
        (since.elapsed() < SETTLE_WITHIN).then_some(until)
    }

    /// The call to go on; `None` while there is none.
    fn choose(&mut self, scheduler: &mut dyn Scheduler) -> Result<Option<usize>, Diverged> {
        let (mut waiting, stuck) = (self.control.waiting(), self.control.stuck());
        waiting.retain(|step| !self.finds_nobody(step.call));
        if waiting.is_empty() {
            return Ok(None);
        }
        let point = Point {
            past: self.control.past(),
            waiting: &waiting,
            stuck: &stuck,
        };
        let index = match &self.diverged {
            None => scheduler.choose(&point)?,
            Some(_) => 0,
        };
        Ok(Some(waiting[index].call))
    }

    /// Whether what the scheduler wants may yet come.
    fn may_wait(&mut self, diverged: &Diverged, now: Instant) -> bool {
        let stuck = self.control.stuck();
        let expected = diverged.expected.as_ref();
        expected
            .is_some_and(|choice| stuck.contains(&choice.call) || self.finds_nobody(choice.call))
            && self.impatient.get_or_insert(now).elapsed() < PATIENCE
    }

    /// Hears the gate.
    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Opened { .. } => self.gating.sessions(&event),
            Event::Arrived {
                session,
                statement,
                in_transaction,
                go,
            } => {
                self.see_webhooks_end();
                self.statement_arrived(now, session, &statement, in_transaction, go);
            }
            Event::Answered { session, answer } => {
                let left = match answer.status {
                    TransactionStatus::Idle => Left::Idle,
                    TransactionStatus::InTransaction => Left::InTransaction,
                    TransactionStatus::Failed => Left::Failed,
                };
                let open = left != Left::Idle;
                let own = self.gating.habits.answered(session, open);
                if !self.outsiders.answered(session, open) && !own {
                    let session = Session::Database(session);
                    self.control.answered(now, session, left);
                }
            }
            Event::Stirred { session, port } => {
                let habits = &self.gating.habits;
                if !session.is_some_and(|session| habits.has(session)) {
                    let among = self.calls_of(self.gating.replica(port));
                    self.control.stirred(now, &among);
                }
            }
            Event::Closed { session } => {
                self.gating.sessions(&event);
                self.outsiders.closed(session);
                self.control.closed(now, Session::Database(session));
            }
        }
    }

    /// A call goes on once its webhook has ended: that was told before, if not heard yet.
    fn see_webhooks_end(&mut self) {
        while self.outsiders.are_under_way()
            && let Ok(event) = self.gating.third_parties.try_recv()
        {
            self.overhear(event);
        }
    }

    fn statement_arrived(
        &mut self,
        now: Instant,
        session: u64,
        statement: &Statement,
        in_transaction: bool,
        go: Go<gate::Strike>,
    ) {
        let (plain, comments) = uncommented(&statement.sql);
        let statement = Statement {
            sql: plain.into_owned(),
            parameters: statement.parameters.clone(),
        };
        let replica = self.gating.replicas.get(&session).copied();
        if replica.is_some_and(|replica| self.is_starting(replica)) {
            if self.starting.is_none() {
                self.gating.habits.learn(session, &statement.sql);
            }
            return go.run();
        }
        let (from, named) = (Session::Database(session), trace::named(&comments));
        let is_a_calls = named.is_some() || self.control.owner(from).is_some();
        let called = self.gating.replicas.get(&session) == Some(&CALLED);
        if !is_a_calls && called && self.outsiders.arrives(session, in_transaction) {
            return go.run();
        }
        let habits = &mut self.gating.habits;
        if !is_a_calls && habits.arrives(session, &statement.sql, in_transaction) {
            return go.run();
        }
        let whose = match named {
            Some(call) => Whose::Named(call),
            None if habits.has(session) => Whose::Doubtful,
            None => Whose::ACalls,
        };
        let (accesses, ends) = match self.gating.reader.meaning(&statement) {
            Meaning::Nothing => (Vec::new(), None),
            Meaning::Touches { accesses, ends } => (accesses, ends),
        };
        let short = self.gating.reader.short(&statement);
        let arrival = Arrival {
            session: from,
            whose,
            among: self.calls_of(replica),
            action: Action::Sql {
                statement: statement.sql,
                parameters: statement.parameters,
                short,
            },
            accesses,
            ends: ends.is_some(),
            snapshot: self.gating.reader.snapshots(),
            awaited: ends != Some(End::Rollback),
            go: Held::Sql(go, ends.is_some()),
        };
        self.control.arrived(now, arrival);
    }

    /// The calls that are sent to a replica; all, if it is not known which.
    fn calls_of(&self, replica: Option<usize>) -> Vec<usize> {
        let is_sent = |call: &usize| match replica {
            Some(own) => self.replicas[*call] == own,
            None => *call < self.calls,
        };
        (0..self.replicas.len()).filter(is_sent).collect()
    }

    /// Hears the stand-ins.
    fn overhear(&mut self, event: stub::Event) {
        let now = Instant::now();
        match event {
            stub::Event::Arrived {
                exchange,
                call,
                line,
                go,
            } => {
                let arrival = Arrival {
                    session: Session::ThirdParty(exchange),
                    whose: trace::of(&call.request).map_or(Whose::ACalls, Whose::Named),
                    among: self.calls_of(None),
                    accesses: shared(&call),
                    action: Action::ThirdParty {
                        stub: call.stub,
                        request: line,
                    },
                    ends: false,
                    snapshot: false,
                    awaited: true,
                    go: Held::ThirdParty(go),
                };
                self.control.arrived(now, arrival);
            }
            stub::Event::Answered { exchange } => {
                let session = Session::ThirdParty(exchange);
                self.control.answered(now, session, Left::Idle);
            }
            stub::Event::Closed { exchange } => {
                self.control.closed(now, Session::ThirdParty(exchange));
            }
            stub::Event::Calling { go } => {
                self.outsiders.begins();
                go.run();
            }
            stub::Event::Called => self.outsiders.ended(),
        }
    }

    /// Lets everything go; returns what moved, where the service diverged, and what the
    /// faults did.
    fn end(self) -> (Vec<Step>, Option<Diverged>, Faults<'a>) {
        self.gating.gate.hold(false);
        self.stubs.hold(false);
        let (steps, pace) = self.control.into_past();
        self.gating.pace = pace;
        (steps, self.diverged, self.faults)
    }
}

/// What a request to a third party touches that another could touch as well: the
/// memory of its idempotency key. Without one it is a request of its own.
fn shared(call: &StubCall) -> Vec<Access> {
    let memory = |key: &str| Access {
        table: format!("stub {}", call.stub),
        mode: Mode::Write,
        rows: [("key".to_owned(), key.to_owned())].into(),
    };
    call.idempotency_key().map(memory).into_iter().collect()
}

/// What a call of this role waits for.
fn after(role: &Role) -> After {
    match *role {
        Role::Original | Role::Duplicate { .. } | Role::Bystander => After::Nothing,
        Role::Retry { of, when } => match when {
            RetryWhen::InFlight { .. } => After::Begun(of),
            RetryWhen::AfterAnswer | RetryWhen::AfterHangUp => After::Ended(of),
        },
    }
}
