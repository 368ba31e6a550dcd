//! The search for what faults do: every operation alone, with every fault that fits at
//! every step of it, one at a time; then pairs of calls with a fault at some step.
//!
//! A client that has no success answer asks again where it has an idempotency key, so
//! an operation with one is called a second time, with the same key, once the first
//! call has ended. Nothing goes wrong with that one.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::failure::Failure;
use crate::generate::Generator;
use crate::hunt::alone::{Alone, single};
use crate::hunt::pairs::{self, Footprints, Pair};
use crate::hunt::{Halt, Hunt, Trials};
use crate::model::fault::{CameTo, Fault, FaultKind, SqlState, StepTried, Tried};
use crate::model::scenario::{Call, RetryWhen, Role, Scenario};
use crate::model::schedule::Schedule;
use crate::model::step::{Action, Mode, Step};
use crate::model::verdict::Verdict;
use crate::round::Round;
use crate::schedule::{Conflict, Follow, Random, Scheduler};

/// How late a third party answers that is slow: long for a service that keeps a lock
/// meanwhile, and short for a client that waits for its answer.
const SLOW_MS: u64 = 300;

/// How many calls of an operation are looked at in search of one that succeeds.
const DRAWS: usize = 6;

/// How many schedules of a pair with a fault are tried before the next pair has its
/// turn, and how many of them by preemption; the others are by chance.
const SCHEDULES: u32 = 3;
const BY_PREEMPTION: u32 = 2;

/// An operation, by a call of it that does what it is for.
pub(super) struct Subject {
    /// The seed that draws it.
    pub seed: u64,
    /// The call.
    pub scenario: Scenario,
    /// What the call does when nothing goes wrong.
    pub steps: Vec<Step>,
}

impl Hunt<'_> {
    /// Nothing but faults, in the order in which a reader would list them, and then in
    /// races for what is left of the budget.
    pub(super) async fn search_faults_only(&mut self) -> Result<(), Halt> {
        let pairs = self.pairs()?;
        self.search_faults(&pairs, 1.0, false).await
    }

    /// Faults for a part of the budget, in an order of chance: what there is time for is
    /// not to be the same in every run.
    pub(super) async fn search_some_faults(&mut self, part: f64) -> Result<(), Halt> {
        let pairs = self.pairs()?;
        self.search_faults(&pairs, part, true).await
    }

    async fn search_faults(
        &mut self,
        generator: &Generator,
        part: f64,
        by_chance: bool,
    ) -> Result<(), Halt> {
        let subjects = self.subjects(generator, part).await?;
        let mut order: Vec<(usize, usize, FaultKind)> = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            for number in 0..subject.steps.len() {
                let calls_back = self.stage.calls_back(&subject.steps[number]);
                let kinds = fitting(&subject.steps, number, calls_back).into_iter();
                order.extend(kinds.map(|kind| (index, number, kind)));
            }
        }
        if by_chance {
            order.shuffle(&mut StdRng::seed_from_u64(self.plan.seed));
        }
        for (index, number, kind) in order {
            if self.is_spent(part) {
                break;
            }
            let subject = &subjects[index];
            let step = &subject.steps[number];
            let mut scenario = subject.scenario.clone();
            scenario.faults = vec![Fault::at(number, step, kind)];
            let retry = retry(&scenario, 0, kind.leaves());
            scenario.race.extend(retry);
            let mut trials = Trials::new(self.stage, self.stop, None);
            let mut straight = Follow::new(Schedule::default());
            let since = Instant::now();
            let round = trials.once_by(&scenario, &mut straight).await?;
            let made = (&round, since.elapsed());
            self.tally.fault(&scenario, number, step, kind, made);
            self.take(subject.seed, generator, &scenario, round).await?;
        }
        self.search_faults_in_races(generator, part).await
    }

    /// Each operation that may be raced, by the first call that succeeds of some; if none
    /// does, by the one that comes furthest.
    pub(super) async fn subjects(
        &mut self,
        generator: &Generator,
        part: f64,
    ) -> Result<Vec<Subject>, Halt> {
        let mut subjects = Vec::new();
        for drawn in pairs::calls(generator, self.plan.seed, DRAWS)? {
            let mut furthest: Option<Subject> = None;
            for Pair { seed, scenario } in drawn {
                if self.is_spent(part) {
                    return Ok(subjects);
                }
                let scenario = single(&scenario, 0);
                let mut trials = Trials::new(self.stage, self.stop, None);
                let mut straight = Follow::new(Schedule::default());
                let round = trials.once_by(&scenario, &mut straight).await?;
                let steps = round.history.steps.clone();
                let succeeded = round.history.calls.iter().any(|call| call.succeeded);
                self.take(seed, generator, &scenario, round).await?;
                let further = furthest
                    .as_ref()
                    .is_none_or(|other| steps.len() > other.steps.len());
                if further || succeeded {
                    furthest = Some(Subject {
                        seed,
                        scenario,
                        steps,
                    });
                }
                if succeeded {
                    break;
                }
            }
            subjects.extend(furthest);
        }
        Ok(subjects)
    }

    /// Pairs of calls that fight over something, one fault each.
    async fn search_faults_in_races(
        &mut self,
        generator: &Generator,
        part: f64,
    ) -> Result<(), Halt> {
        let mut alone = Alone::default();
        let mut footprints = Footprints::default();
        for lap in 0.. {
            let rounds = self.tally.rounds;
            for pair in pairs::draw(generator, self.plan.seed, lap)?
                .into_iter()
                .flatten()
            {
                if self.is_spent(part) {
                    return Ok(());
                }
                let mut steps = Vec::new();
                for call in 0..2 {
                    let own = self.alone(&mut alone, generator, &pair, call).await?;
                    footprints.learn(&pair.scenario.race[call].operation, &own);
                    steps.push(own);
                }
                if footprints.heat(&pair.scenario) > 0 {
                    self.search_pair_with_a_fault(generator, pair, steps, part)
                        .await?;
                }
            }
            // A lap without a race: there is nothing to fight over.
            if self.tally.rounds == rounds {
                break;
            }
        }
        Ok(())
    }

    async fn search_pair_with_a_fault(
        &mut self,
        generator: &Generator,
        pair: Pair,
        steps: Vec<Vec<Step>>,
        part: f64,
    ) -> Result<(), Halt> {
        let mut rng = StdRng::seed_from_u64(pair.seed);
        let struck = rng.random_range(0..2);
        let own = &steps[struck];
        if own.is_empty() {
            return Ok(());
        }
        let number = rng.random_range(0..own.len());
        let mut kinds = fitting(own, number, self.stage.calls_back(&own[number]));
        // That costs what the service itself waits, and shows little that slowness does not.
        kinds.retain(|kind| *kind != FaultKind::NeverAnswers);
        let Some(kind) = kinds.choose(&mut rng) else {
            return Ok(());
        };
        let mut scenario = Scenario {
            faults: vec![Fault::at(number, &own[number], *kind)],
            ..pair.scenario
        };
        let mut alone = steps.clone();
        if let Some(retry) = retry(&scenario, struck, kind.leaves()) {
            let call = scenario.race.len();
            alone.push(
                own.iter()
                    .map(|step| Step {
                        call,
                        ..step.clone()
                    })
                    .collect(),
            );
            scenario.race.push(retry);
        }
        let mut by_preemption = Conflict::new(alone);
        let mut by_chance = Random::new(pair.seed);
        for schedule in 0..SCHEDULES {
            let scheduler: &mut dyn Scheduler = if schedule < BY_PREEMPTION {
                &mut by_preemption
            } else {
                &mut by_chance
            };
            if self.is_spent(part) {
                break;
            }
            if !scheduler.next_round() {
                continue;
            }
            let mut trials = Trials::new(self.stage, self.stop, None);
            let round = trials.round(&scenario, Some(scheduler)).await?;
            if round.diverged {
                // Among others a call may never come to where it was to be struck.
                self.tally.not_struck(&round);
                self.tell_round();
            } else {
                self.tally.faults.in_races += 1;
                self.take(pair.seed, generator, &scenario, round).await?;
            }
        }
        Ok(())
    }

    pub(super) fn pairs(&self) -> Result<Generator, Halt> {
        let pairs = Generator::new(self.stage.target(), self.stage.pools(), (2, 2));
        pairs.map_err(|error| Halt::failed(Failure::from(error)))
    }
}

/// A client that has no success answer, or has left before it, asks again, if it can do
/// so safely.
fn retry(scenario: &Scenario, of: usize, left: bool) -> Option<Call> {
    let call = &scenario.race[of];
    call.key.as_ref()?;
    let when = if left {
        RetryWhen::AfterHangUp
    } else {
        RetryWhen::AfterAnswer
    };
    Some(Call {
        role: Role::Retry { of, when },
        hang_up: None,
        ..call.clone()
    })
}

/// What can go wrong at one of a call's steps. A third party may call back, if it is
/// asked there.
fn fitting(steps: &[Step], number: usize, calls_back: bool) -> Vec<FaultKind> {
    let step = &steps[number];
    match step.action {
        Action::Begin => vec![FaultKind::HangUpHalfWay],
        Action::Sql { .. } => {
            let before = steps[..number].iter();
            let is_first = !before
                .clone()
                .any(|step| matches!(step.action, Action::Sql { .. }));
            let changes = step.accesses.iter().any(|access| access.mode != Mode::Read);
            let refuses = |state: &SqlState| match state {
                SqlState::SerializationFailure => true,
                // Who only reads waits for no lock, and needs no room.
                SqlState::DeadlockDetected | SqlState::LockNotAvailable | SqlState::DiskFull => {
                    changes
                }
                // A connection is asked for once.
                SqlState::TooManyConnections => is_first,
            };
            let mut kinds = vec![FaultKind::CutBefore, FaultKind::CutAfter];
            let states = SqlState::ALL.into_iter().filter(refuses);
            kinds.extend(states.map(FaultKind::Refused));
            kinds.extend([FaultKind::HangUp, FaultKind::Killed]);
            kinds
        }
        Action::ThirdParty { .. } => {
            let mut kinds = vec![
                FaultKind::ServerError,
                FaultKind::HangsUp,
                FaultKind::Slow { ms: SLOW_MS },
                FaultKind::HangUp,
                FaultKind::Killed,
            ];
            if calls_back {
                kinds.extend([FaultKind::WebhookBefore, FaultKind::WebhookTwice]);
            }
            // The longest: as long as the service itself waits.
            kinds.push(FaultKind::NeverAnswers);
            kinds
        }
    }
}

/// What a round with a fault came to.
pub(super) fn came_to(round: &Round) -> CameTo {
    match &round.verdict {
        Verdict::Holds => CameTo::Fine,
        Verdict::Violated(_) => CameTo::Violated,
        Verdict::Inconclusive(_) if round.diverged => CameTo::NotStruck,
        Verdict::Inconclusive(_) => CameTo::Unjudged,
    }
}

/// Adds a round to what is known of a step; steps stand in the order of operations.
pub(super) fn add(steps: &mut Vec<StepTried>, new: StepTried, tried: Tried) {
    let place = |known: &StepTried| (known.operation.clone(), known.step);
    match steps.binary_search_by_key(&place(&new), place) {
        Ok(known) => steps[known].tried.push(tried),
        Err(at) => steps.insert(
            at,
            StepTried {
                tried: vec![tried],
                ..new
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::Access;

    fn sql(statement: &str, mode: Mode) -> Step {
        Step {
            call: 0,
            action: Action::Sql {
                statement: statement.to_owned(),
                parameters: Vec::new(),
                short: statement.to_owned(),
            },
            accesses: vec![Access {
                table: "t".to_owned(),
                mode,
                rows: std::collections::BTreeMap::new(),
            }],
        }
    }

    #[test]
    fn what_can_go_wrong_depends_on_the_step() {
        let begin = Step {
            call: 0,
            action: Action::Begin,
            accesses: Vec::new(),
        };
        let charge = Step {
            action: Action::ThirdParty {
                stub: "provider".to_owned(),
                request: "POST /charges".to_owned(),
            },
            ..begin.clone()
        };
        let steps = [
            begin,
            sql("SELECT", Mode::Read),
            charge,
            sql("UPDATE", Mode::Write),
        ];
        let refused = |number| {
            let kinds = fitting(&steps, number, false).into_iter();
            let states = kinds.filter_map(|kind| match kind {
                FaultKind::Refused(state) => Some(state.code()),
                _ => None,
            });
            states.collect::<Vec<_>>()
        };
        assert_eq!(fitting(&steps, 0, false), [FaultKind::HangUpHalfWay]);
        assert_eq!(refused(1), ["40001", "53300"]);
        assert_eq!(refused(3), ["40001", "40P01", "55P03", "53100"]);
        assert!(fitting(&steps, 2, false).contains(&FaultKind::NeverAnswers));
        let webhook =
            |calls_back| fitting(&steps, 2, calls_back).contains(&FaultKind::WebhookBefore);
        assert!(webhook(true) && !webhook(false));
        assert!(fitting(&steps, 3, false).contains(&FaultKind::Killed));
    }
}
