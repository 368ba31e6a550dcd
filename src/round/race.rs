//! The requests of a round's race as they are sent when nobody leads them: all at once,
//! or one after the other.

use std::time::Duration;

use crate::drive::{Flight, Shot, Trigger};
use crate::failure::Failure;
use crate::model::history::{Ending, Expected, History, Made, REFUSALS, Spoiled};
use crate::model::scenario::{Call, RetryWhen, Role, Scenario};
use crate::round::{Actors, Gathered};
use crate::stage::Stage;
use crate::target::error::TargetError;
use crate::target::request::Rendering;

impl Stage {
    /// The race's requests, as they will be sent.
    pub(super) fn shots(
        &self,
        scenario: &Scenario,
        actors: &Actors,
    ) -> Result<Vec<Shot>, TargetError> {
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
                    spoil: call.spoil.as_ref(),
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

    /// Whether a scenario holds what the target file never said can be written: a call by
    /// an actor that its operation does not name, or with a value of another kind.
    pub(super) fn is_foreign(&self, scenario: &Scenario) -> bool {
        scenario.race.iter().any(|call| {
            let named = self.target.operations[&call.operation]
                .section
                .actors
                .as_ref();
            let is_named = |actor: &String| {
                named.is_none_or(|all| all.iter().any(|name| name.get_ref() == actor))
            };
            let is_stranger = match &call.actor {
                Some(actor) => !is_named(actor),
                None => !self.target.file.actors.is_empty(),
            };
            call.spoil.is_some() || is_stranger
        })
    }

    /// Whether the requests of a race can be written without anything that a set-up
    /// captures.
    pub(crate) fn can_be_sent(&self, scenario: &Scenario) -> bool {
        self.shots(scenario, &Actors::new()).is_ok()
    }

    /// Fires the race and waits for every end.
    pub(super) async fn race(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
    ) -> Result<History, Failure> {
        let shots = self.shots(scenario, actors)?;
        let limit = self.target.file.service.answer_within;
        let flights = self.driver.race(&shots, limit).await?;
        Ok(History {
            calls: self.all_made(scenario, shots, flights),
            ..History::default()
        })
    }

    /// Sends some requests of a race in this order, each once the one before has ended.
    pub(super) async fn in_a_row(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
        order: &[usize],
    ) -> Result<History, Failure> {
        let mut shots = self.shots(scenario, actors)?;
        let limit = self.target.file.service.answer_within;
        let mut flights: Vec<Option<Flight>> = shots.iter().map(|_| None).collect();
        for &call in order {
            let shot = &mut shots[call];
            shot.trigger = Trigger::Barrier;
            shot.hang_up = None;
            self.stubs.delay_webhooks(true);
            let made = self.driver.race(std::slice::from_ref(shot), limit).await;
            self.stubs.delay_webhooks(false);
            flights[call] = made?.into_iter().next();
            self.stubs.settle().await?;
        }
        let never = || Flight {
            released_us: None,
            ended_us: None,
            ending: Ending::HungUp,
        };
        let flights = flights.into_iter().map(|made| made.unwrap_or_else(never));
        Ok(History {
            calls: self.all_made(scenario, shots, flights.collect()),
            ..History::default()
        })
    }

    pub(super) fn all_made(
        &self,
        scenario: &Scenario,
        shots: Vec<Shot>,
        flights: Vec<Flight>,
    ) -> Vec<Made> {
        let calls = scenario.race.iter().zip(shots).zip(flights);
        calls
            .map(|((call, shot), flight)| {
                let succeeded = matches!(&flight.ending, Ending::Answered(answer)
                    if self.target.succeeded(&call.operation, answer));
                self.made(call, shot, succeeded, flight)
            })
            .collect()
    }

    fn made(&self, call: &Call, shot: Shot, succeeded: bool, flight: Flight) -> Made {
        let section = &self.target.operations[&call.operation].section;
        Made {
            operation: call.operation.clone(),
            key: call.key.clone(),
            request: shot.request,
            released_us: flight.released_us,
            ended_us: flight.ended_us,
            ending: flight.ending,
            succeeded,
            next: self.target.next(shot.replica).is_some(),
            struck: false,
            expected: Expected {
                answers: section.answers.clone(),
                refusals: section.refuses.clone().unwrap_or_else(|| REFUSALS.to_vec()),
                max_statements: section.max_statements,
                access: None,
                spoiled: call.spoil.as_ref().map(|spoil| Spoiled {
                    what: spoil.to_string(),
                    allowed: None,
                }),
            },
        }
    }
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
