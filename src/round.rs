//! One round: restore, set up, race, settle, observe, judge.
//!
//! A round is a pure function of target, scenario and schedule as far as the
//! service lets it be. It knows neither how scenarios are found nor what becomes
//! of a verdict.

mod access;
mod explain;
mod gated;
mod left;
mod migration;
mod outsiders;
mod race;
mod trace;
mod walk;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::database::Change;
use crate::drive::Jar;
use crate::failure::Failure;
use crate::model::fault::FaultKind;
use crate::model::history::{Answer, Died, Ending, History, Made, Migrated};
use crate::model::observed::{Effects, InvariantRows, Observed};
use crate::model::scenario::{Scenario, SetupCall};
use crate::model::schedule::Schedule;
use crate::model::verdict::Verdict;
use crate::oracle;
use crate::schedule::Scheduler;
use crate::service::ServiceError;
use crate::stage::{Stage, rows};
use crate::target::request::{Rendering, Session};

use access::Allowed;
pub use explain::Explained;

/// After a client has left, the service may still be at work on its request, and
/// nobody is told when it ends: the database has to be quiet for this long, some
/// times what the requests of an ordinary service take.
const QUIET_AFTER_HANG_UP: Duration = Duration::from_millis(20);

/// How long the database may stay busy after the last answer before the round is
/// given up as one that cannot be judged.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// A round that has been made.
#[derive(Clone, Debug)]
pub struct Round {
    /// What the clients saw.
    pub history: History,
    /// What all the oracles say together.
    pub verdict: Verdict,
    /// Whether the service left the schedule that it was to follow, or went past a
    /// fault that was to strike it.
    pub diverged: bool,
    /// Whether a one-at-a-time order explains what it left.
    pub explained: Explained,
    /// The one-at-a-time rounds that it took to tell.
    pub one_by_one: u64,
}

/// A round that was made and is yet to be judged.
struct Unjudged {
    history: History,
    /// Where the service left what was expected of it.
    diverged: Option<String>,
    /// That the database never came to rest, and why.
    busy: Option<String>,
    /// What each call was allowed when the race began.
    allowed: Vec<Option<Allowed>>,
    /// What had changed by then.
    before: Vec<Change>,
}

/// How the race of a round is made.
enum Manner<'a> {
    /// All at once.
    Free,
    /// Step by step, as a scheduler says that is ready for it.
    Gated(&'a mut dyn Scheduler),
    /// One request after the other, some of them, in this order; all counters moved on
    /// to a region of this number's.
    OneByOne { order: &'a [usize], number: i64 },
}

/// What an actor has gathered in this round.
#[derive(Default)]
struct Gathered {
    session: Session,
    jar: Jar,
}

/// The actors of a round, by their names.
type Actors = HashMap<Option<String>, Gathered>;

impl Round {
    /// One that could not begin.
    fn unclear(why: String) -> Round {
        Round {
            history: History::default(),
            verdict: Verdict::Inconclusive(why),
            diverged: false,
            explained: Explained::NotAsked,
            one_by_one: 0,
        }
    }

    /// Whether there is anything that an order of its calls could explain: nothing else
    /// is wrong, and it is more than one call that was answered.
    fn may_be_asked(&self, scenario: &Scenario) -> bool {
        let calls = &self.history.calls;
        // One at a time, a migration would have to take part in every order, and the rows
        // that it leaves would be of tables of another shape.
        if scenario.migration.is_some() {
            return false;
        }
        let is_plain = calls.len() < 2
            && scenario.faults.is_empty()
            && calls.iter().all(|call| call.answer().is_some());
        // The pages of a list are no one call, and what each shows depends on the others.
        let walks = scenario.race.iter().any(|call| call.walk);
        self.verdict == Verdict::Holds && !is_plain && !walks
    }

    /// Who moved when, if that was decided at the gate.
    pub fn schedule(&self) -> Option<Schedule> {
        let steps = &self.history.steps;
        (!steps.is_empty()).then(|| Schedule::of(steps))
    }
}

impl Stage {
    /// Makes one round of a scenario, its race free.
    pub async fn round(&mut self, scenario: &Scenario) -> Result<Round, Failure> {
        self.round_by(scenario, None).await
    }

    /// Makes one round of a scenario, its steps let go at the gate as the scheduler
    /// says, which is ready for a round; without one, its race is free.
    pub async fn round_by(
        &mut self,
        scenario: &Scenario,
        scheduler: Option<&mut dyn Scheduler>,
    ) -> Result<Round, Failure> {
        let manner = scheduler.map_or(Manner::Free, Manner::Gated);
        // All that a hunt does is built around this: it would hold it whole at every level.
        Box::pin(self.make(scenario, manner)).await
    }

    /// Makes one round of a scenario, its requests sent one after the other: what the
    /// cost of a round is measured against. Times count from each request's start.
    pub async fn one_by_one(&mut self, scenario: &Scenario) -> Result<Round, Failure> {
        let order: Vec<usize> = (0..scenario.race.len()).collect();
        let manner = Manner::OneByOne {
            order: &order,
            number: 0,
        };
        Box::pin(self.make(scenario, manner)).await
    }

    /// Makes a round and judges it.
    async fn make(&mut self, scenario: &Scenario, manner: Manner<'_>) -> Result<Round, Failure> {
        let is_race = !matches!(manner, Manner::OneByOne { .. });
        let few = match manner {
            Manner::Gated(_) if scenario.grown => self.statements_on_few_rows(scenario).await?,
            _ => None,
        };
        let prepared = self.prepared();
        let unjudged = match Box::pin(self.make_unjudged(scenario, manner)).await? {
            Ok(unjudged) => unjudged,
            Err(why) => return Ok(Round::unclear(why)),
        };
        let Unjudged {
            mut history,
            diverged,
            busy,
            allowed,
            before,
        } = unjudged;
        let is_busy = busy.is_some();
        self.write_access(scenario, &allowed, &mut history.calls)
            .await?;
        self.write_spoiled(scenario, &mut history.calls);
        let mut observed = Observed::default();
        if busy.is_none() && diverged.is_none() {
            observed = self.observe(&history).await?;
            observed.changes = self.wrongly_changed(&history, &before).await?;
            observed.on_few_rows = few;
        }
        let mut round = Round {
            diverged: diverged.is_some(),
            verdict: match busy.or(diverged) {
                Some(why) => Verdict::Inconclusive(why),
                None => oracle::judge(&history, &observed),
            },
            history,
            explained: Explained::NotAsked,
            one_by_one: 0,
        };
        let asks = self.asks_outcomes && self.outcomes.is_some();
        let outcome = if asks && is_race && round.may_be_asked(scenario) {
            Some(self.outcome(&round.history).await?)
        } else {
            None
        };
        self.heal(&round, is_busy).await?;
        Box::pin(self.undo(prepared)).await?;
        if let Some(outcome) = outcome {
            let (explained, rounds) = self.explain(scenario, &round.history, &outcome).await?;
            if let Explained::ByNone(violation) = &explained {
                round.verdict = Verdict::Violated(vec![violation.clone()]);
            }
            (round.explained, round.one_by_one) = (explained, rounds);
        }
        Ok(round)
    }

    /// Makes a round, up to where it can be judged; the inner `Err` says why it could
    /// not begin.
    async fn make_unjudged(
        &mut self,
        scenario: &Scenario,
        manner: Manner<'_>,
    ) -> Result<Result<Unjudged, String>, Failure> {
        let made = match self.make_standing(scenario, manner).await {
            Err(Failure::Target(error)) if self.is_foreign(scenario) => {
                return Ok(Err(format!(
                    "a request cannot be written as somebody else, or with another value: {}",
                    error.first()
                )));
            }
            made => made,
        };
        if matches!(made, Err(Failure::Drive(_)) | Ok(Err(_))) {
            // That it died says more than that nothing listens there.
            if let Some(died) = self.died(scenario, true).await? {
                let history = History {
                    died: Some(died),
                    migration: scenario.migration.as_ref().map(|name| Migrated {
                        name: name.clone(),
                        ..Migrated::default()
                    }),
                    ..History::default()
                };
                return Ok(Ok(Unjudged {
                    history,
                    diverged: None,
                    busy: None,
                    allowed: Vec::new(),
                    before: Vec::new(),
                }));
            }
        }
        made
    }

    /// Sees that the service lives, some connection having been lost, or none. What
    /// dies of a fault, or of a migration, is not the environment's affair, and is told.
    async fn died(&mut self, scenario: &Scenario, lost: bool) -> Result<Option<Died>, Failure> {
        let lives = if lost {
            self.service.check_lost().await
        } else {
            self.service.check().await
        };
        let of_call = |call: usize| Some(scenario.race.get(call)?.operation.clone());
        let struck = match (scenario.faults.first(), &scenario.migration) {
            (Some(fault), _) => of_call(fault.call),
            (None, Some(migration)) => of_call(0).or_else(|| Some(migration.clone())),
            (None, None) => None,
        };
        match (lives, struck) {
            (Err(died @ ServiceError::Died { .. }), Some(operation)) => Ok(Some(Died {
                operation,
                why: died.to_string(),
            })),
            (lives, _) => Ok(lives.map(|()| None)?),
        }
    }

    async fn start_anew(&mut self) -> Result<(), Failure> {
        self.service.restart(&self.target).await?;
        self.reconnect()?;
        if let Some(gating) = &mut self.gating {
            gating.learn_anew().await;
        }
        Ok(())
    }

    async fn make_standing(
        &mut self,
        scenario: &Scenario,
        manner: Manner<'_>,
    ) -> Result<Result<Unjudged, String>, Failure> {
        if scenario.migration.is_some() && self.is_worn() {
            return Ok(Err(migration::WORN.to_owned()));
        }
        let actors = match self.begin(scenario).await? {
            Ok(actors) => actors,
            Err(why) => return Ok(Err(why)),
        };
        let allowed = match manner {
            Manner::OneByOne { .. } => Vec::new(),
            Manner::Free | Manner::Gated(_) => self.allowed(scenario).await?,
        };
        let before = self.changed_before(scenario, &allowed).await?;
        let walks = scenario.race.first().is_some_and(|call| call.walk);
        let (mut history, diverged) = match manner {
            _ if walks => self.walk(scenario, &actors).await?,
            Manner::Free => (self.race(scenario, &actors).await?, None),
            Manner::Gated(scheduler) => self.gated_race(scenario, &actors, scheduler).await?,
            Manner::OneByOne { order, number } => {
                if number > 0 {
                    self.database.move_counters(number).await?;
                }
                (self.in_a_row(scenario, &actors, order).await?, None)
            }
        };
        let mut faults = scenario.faults.iter();
        let killed = faults.any(|fault| fault.kind == FaultKind::Killed);
        if let Some(gating) = &mut self.gating {
            // Who was killed is at work no more.
            let over = |call: &Made| call.answer().is_some() || killed && call.struck;
            gating.calm = history.calls.iter().all(over);
        }
        let dropped = |call: &Made| matches!(call.ending, Ending::Dropped(_));
        // What a kill has cut off tells of no other death.
        let lost = !killed && history.calls.iter().any(dropped);
        history.died = self.died(scenario, lost).await?;
        let busy = self.settle(&history).await?.map(|busy| {
            let limit = humantime::format_duration(SETTLE_WITHIN);
            format!(
                "{limit} after the last answer the service was still at work in the database: {busy}"
            )
        });
        Ok(Ok(Unjudged {
            history,
            diverged,
            busy,
            allowed,
            before,
        }))
    }

    /// Starts a service anew that hangs, or has died: what hangs holds locks and
    /// connections that the next round needs.
    async fn heal(&mut self, round: &Round, busy: bool) -> Result<(), Failure> {
        let history = &round.history;
        if busy || history.died.is_some() || history.calls.iter().any(never_answered) {
            self.start_anew().await?;
        }
        Ok(())
    }

    /// Restores and sets up; the inner `Err` says why the round cannot go on.
    async fn begin(&mut self, scenario: &Scenario) -> Result<Result<Actors, String>, Failure> {
        self.stubs.forget();
        match &mut self.gating {
            Some(gating) => {
                gating.uncalled(self.database.restore()).await?;
                // Until all that follows has been answered.
                gating.calm = false;
            }
            None => {
                self.database.restore().await?;
            }
        }
        if self.service.after_restore(&self.target).await? {
            self.reconnect()?;
        }
        if scenario.grown {
            self.grow().await?;
        }
        let mut actors = Actors::new();
        for call in &scenario.setup {
            if let Some(why) = self.set_up(call, &mut actors).await? {
                return Ok(Err(why));
            }
        }
        self.stubs.settle().await?;
        Ok(Ok(actors))
    }

    /// Makes a set-up call; `Some` says why the round cannot go on.
    async fn set_up(
        &mut self,
        call: &SetupCall,
        actors: &mut Actors,
    ) -> Result<Option<String>, Failure> {
        let gathered = actors.entry(call.actor.clone()).or_default();
        let mut request = self.target.request(Rendering {
            operation: &call.operation,
            actor: call.actor.as_deref(),
            values: &call.values,
            key: None,
            replica: 0,
            session: &gathered.session,
            setup: true,
            spoil: None,
        })?;
        let url = self.service.urls()[0].clone();
        gathered.jar.add_to(&mut request, &url);
        let limit = self.target.file.service.answer_within;
        let ending = self.driver.call(0, &request, limit).await?;
        let Ending::Answered(answer) = ending else {
            return Ok(Some(format!(
                "the set-up call `{}` was not answered",
                call.operation
            )));
        };
        gathered.jar.take_from(&answer, &url);
        if !self.target.succeeded(&call.operation, &answer) && !(300..400).contains(&answer.status)
        {
            return Ok(Some(format!(
                "the set-up call `{}` failed with status {}",
                call.operation, answer.status
            )));
        }
        let missing = self
            .target
            .capture(&call.operation, &answer, &mut gathered.session);
        Ok((!missing.is_empty()).then(|| {
            format!(
                "the answer of the set-up call `{}` lacks what is captured: {}",
                call.operation,
                missing.join(", ")
            )
        }))
    }

    /// Waits until nothing of the race is still at work: what the service does in the
    /// database, and what third parties call it for because of that.
    async fn settle(&mut self, history: &History) -> Result<Option<String>, Failure> {
        let left = |call: &Made| !matches!(call.ending, Ending::Answered(_));
        let quiet = if history.calls.iter().any(left) {
            QUIET_AFTER_HANG_UP
        } else {
            Duration::ZERO
        };
        loop {
            let busy = self.database.settle(quiet, SETTLE_WITHIN).await?;
            if !self.stubs.settle().await? || busy.is_some() {
                return Ok(busy);
            }
        }
    }

    /// Asks the database and the stand-ins what the oracles want to know.
    async fn observe(&mut self, history: &History) -> Result<Observed, Failure> {
        let database = self.database.as_mut();
        let mut observed = Observed::default();
        for (name, invariant) in &self.target.file.invariants {
            observed.invariants.push(InvariantRows {
                name: name.clone(),
                says: invariant.says.clone(),
                rows: rows(&self.target, database, &invariant.sql, None).await?,
            });
        }
        let keys: BTreeSet<(&str, &str)> = history
            .calls
            .iter()
            .filter_map(|call| Some((call.operation.as_str(), call.key.as_deref()?)))
            .collect();
        let stub_calls = self.stubs.calls();
        for (operation, key) in keys {
            let once = &self.target.operations[operation].section.once;
            let Some(once) = once.as_ref().map(toml::Spanned::get_ref) else {
                continue;
            };
            let rows = match &once.sql {
                Some(sql) => rows(&self.target, database, sql, Some(key)).await?,
                None => crate::stub::effects(&stub_calls, once, key),
            };
            observed.effects.push(Effects {
                operation: operation.to_owned(),
                key: key.to_owned(),
                rows,
            });
        }
        for call in &history.calls {
            // An error that a fault has caused was agreed on with nobody.
            let agreed = |answer: &&Answer| !call.struck || answer.status < 500;
            let Some(answer) = call.answer().filter(agreed) else {
                continue;
            };
            let breaches = self
                .contract
                .breaches(&call.operation, &call.request, answer);
            observed.breaches.extend(breaches);
            self.contract.hear(&call.operation, answer);
        }
        Ok(observed)
    }
}

fn never_answered(call: &Made) -> bool {
    matches!(call.ending, Ending::NoAnswer { .. })
}
