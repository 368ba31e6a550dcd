//! One round: restore, set up, race, settle, observe, judge.
//!
//! A round is a pure function of target, scenario and schedule as far as the
//! service lets it be. It knows neither how scenarios are found nor what becomes
//! of a verdict.

mod gated;
mod trace;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::drive::{Driver, Flight, Jar, Shot, Trigger};
use crate::failure::Failure;
use crate::model::history::{Ending, Expected, History, Made, Request};
use crate::model::observed::{Effects, InvariantRows, Observed};
use crate::model::scenario::{Call, RetryWhen, Role, Scenario, SetupCall};
use crate::model::schedule::Schedule;
use crate::model::verdict::Verdict;
use crate::oracle;
use crate::schedule::Scheduler;
use crate::stage::{Stage, rows};
use crate::target::error::TargetError;
use crate::target::request::{Rendering, Session};

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
    /// Whether the service left the schedule that it was to follow.
    pub diverged: bool,
}

/// How the race of a round is made.
enum Manner<'a> {
    /// All at once.
    Free,
    /// Step by step, as a scheduler says that is ready for it.
    Gated(&'a mut dyn Scheduler),
    /// One request after the other.
    OneByOne,
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
    /// Who moved when, if that was decided at the gate.
    pub fn schedule(&self) -> Option<Schedule> {
        let steps = &self.history.steps;
        (!steps.is_empty()).then(|| Schedule::of(steps))
    }
}

impl Stage {
    /// Makes one round of a scenario, its race free.
    pub async fn round(&mut self, scenario: &Scenario) -> Result<Round, Failure> {
        self.make(scenario, Manner::Free).await
    }

    /// Makes one round of a scenario, its steps let go at the gate as the scheduler
    /// says, which is ready for a round; without one, its race is free.
    pub async fn round_by(
        &mut self,
        scenario: &Scenario,
        scheduler: Option<&mut dyn Scheduler>,
    ) -> Result<Round, Failure> {
        let manner = scheduler.map_or(Manner::Free, Manner::Gated);
        self.make(scenario, manner).await
    }

    /// Makes one round of a scenario, its requests sent one after the other: what the
    /// cost of a round is measured against. Times count from each request's start.
    pub async fn one_by_one(&mut self, scenario: &Scenario) -> Result<Round, Failure> {
        self.make(scenario, Manner::OneByOne).await
    }

    async fn make(&mut self, scenario: &Scenario, manner: Manner<'_>) -> Result<Round, Failure> {
        let made = self.make_standing(scenario, manner).await;
        if matches!(made, Err(Failure::Drive(_))) {
            // That it died says more than that nothing listens there.
            self.service.check_lost().await?;
        }
        made
    }

    async fn make_standing(
        &mut self,
        scenario: &Scenario,
        manner: Manner<'_>,
    ) -> Result<Round, Failure> {
        let actors = match self.begin(scenario).await? {
            Ok(actors) => actors,
            Err(why) => {
                self.service.check_lost().await?;
                return Ok(Round {
                    history: History::default(),
                    verdict: Verdict::Inconclusive(why),
                    diverged: false,
                });
            }
        };
        let (history, diverged) = match manner {
            Manner::Free => (self.race(scenario, &actors).await?, None),
            Manner::Gated(scheduler) => self.gated_race(scenario, &actors, scheduler).await?,
            Manner::OneByOne => (self.in_a_row(scenario, &actors).await?, None),
        };
        if let Some(gating) = &mut self.gating {
            gating.calm = history.calls.iter().all(|call| call.answer().is_some());
        }
        let dropped = |call: &Made| matches!(call.ending, Ending::Dropped(_));
        if history.calls.iter().any(dropped) {
            self.service.check_lost().await?;
        } else {
            self.service.check().await?;
        }
        let busy = self.settle(&history).await?;
        let verdict = if let Some(busy) = &busy {
            let limit = humantime::format_duration(SETTLE_WITHIN);
            Verdict::Inconclusive(format!(
                "{limit} after the last answer the service was still at work in the database: {busy}"
            ))
        } else if let Some(diverged) = &diverged {
            Verdict::Inconclusive(diverged.to_string())
        } else {
            let observed = self.observe(&history).await?;
            oracle::judge(&history, &observed)
        };
        if busy.is_some() || history.calls.iter().any(never_answered) {
            // What hangs holds locks and connections that the next round needs.
            self.service.restart(&self.target).await?;
            self.driver = Driver::new(self.service.urls())?;
        }
        Ok(Round {
            history,
            verdict,
            diverged: diverged.is_some(),
        })
    }

    /// Restores and sets up; the inner `Err` says why the round cannot go on.
    async fn begin(&mut self, scenario: &Scenario) -> Result<Result<Actors, String>, Failure> {
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
        self.stubs.forget();
        if self.service.after_restore(&self.target).await? {
            self.driver = Driver::new(self.service.urls())?;
        }
        let mut actors = Actors::new();
        for call in &scenario.setup {
            if let Some(why) = self.set_up(call, &mut actors).await? {
                return Ok(Err(why));
            }
        }
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

    /// The race's requests, as they will be sent.
    fn shots(&self, scenario: &Scenario, actors: &Actors) -> Result<Vec<Shot>, TargetError> {
        let nobody = Gathered::default();
        let urls = self.service.urls();
        let calls = scenario.race.iter().enumerate();
        calls
            .map(|(index, call)| {
                let gathered = actors.get(&call.actor).unwrap_or(&nobody);
                // Neighbours go to different replicas: a lock that lives in one
                // process must not hide a race that two of them have.
                let replica = index % urls.len();
                let mut request = self.target.request(Rendering {
                    operation: &call.operation,
                    actor: call.actor.as_deref(),
                    values: &call.values,
                    key: call.key.as_deref(),
                    replica,
                    session: &gathered.session,
                    setup: false,
                })?;
                gathered.jar.add_to(&mut request, &urls[replica]);
                Ok(Shot {
                    replica,
                    request,
                    trigger: trigger(call),
                    hang_up: call.hang_up,
                })
            })
            .collect()
    }

    /// Fires the race and waits for every end.
    async fn race(&mut self, scenario: &Scenario, actors: &Actors) -> Result<History, Failure> {
        let shots = self.shots(scenario, actors)?;
        let limit = self.target.file.service.answer_within;
        let flights = self.driver.race(&shots, limit).await?;
        Ok(History {
            calls: self.all_made(scenario, shots, flights),
            steps: Vec::new(),
        })
    }

    /// Sends each request of a race once the one before has ended.
    async fn in_a_row(&mut self, scenario: &Scenario, actors: &Actors) -> Result<History, Failure> {
        let mut shots = self.shots(scenario, actors)?;
        let limit = self.target.file.service.answer_within;
        let mut flights = Vec::new();
        for shot in &mut shots {
            shot.trigger = Trigger::Barrier;
            shot.hang_up = None;
            flights.extend(self.driver.race(std::slice::from_ref(shot), limit).await?);
        }
        Ok(History {
            calls: self.all_made(scenario, shots, flights),
            steps: Vec::new(),
        })
    }

    fn all_made(&self, scenario: &Scenario, shots: Vec<Shot>, flights: Vec<Flight>) -> Vec<Made> {
        let calls = scenario.race.iter().zip(shots).zip(flights);
        calls
            .map(|((call, shot), flight)| {
                let succeeded = matches!(&flight.ending, Ending::Answered(answer)
                    if self.target.succeeded(&call.operation, answer));
                self.made(call, shot.request, succeeded, flight)
            })
            .collect()
    }

    fn made(&self, call: &Call, request: Request, succeeded: bool, flight: Flight) -> Made {
        Made {
            operation: call.operation.clone(),
            key: call.key.clone(),
            request,
            released_us: flight.released_us,
            ended_us: flight.ended_us,
            ending: flight.ending,
            succeeded,
            expected: Expected {
                answers: self.target.operations[&call.operation]
                    .section
                    .answers
                    .clone(),
            },
        }
    }

    /// Waits until nothing of the race is still at work in the database.
    async fn settle(&mut self, history: &History) -> Result<Option<String>, Failure> {
        let left = |call: &Made| !matches!(call.ending, Ending::Answered(_));
        let quiet = if history.calls.iter().any(left) {
            QUIET_AFTER_HANG_UP
        } else {
            Duration::ZERO
        };
        Ok(self.database.settle(quiet, SETTLE_WITHIN).await?)
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
        Ok(observed)
    }
}

fn never_answered(call: &Made) -> bool {
    matches!(call.ending, Ending::NoAnswer { .. })
}

/// What releases a call's last byte.
fn trigger(call: &Call) -> Trigger {
    match call.role {
        Role::Original | Role::Duplicate { .. } | Role::Bystander => Trigger::Barrier,
        Role::Retry { of, when } => match when {
            RetryWhen::InFlight { after_us } => Trigger::After {
                of,
                delay: Duration::from_micros(after_us),
            },
            RetryWhen::AfterAnswer => Trigger::Answered { of },
            RetryWhen::AfterHangUp => Trigger::HungUp { of },
        },
    }
}
