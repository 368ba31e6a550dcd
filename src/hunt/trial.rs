//! Trying a scenario, once or again and again: a free race is a matter of luck,
//! so whether it fails is a rate and not a fact. A gated one should be a fact, and
//! is tried as often, to see that it is.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::failure::Failure;
use crate::hunt::alone::Alone;
use crate::hunt::{Stop, mixed};
use crate::model::finding::{Finding, Rate};
use crate::model::scenario::Scenario;
use crate::model::schedule::Schedule;
use crate::model::verdict::{Verdict, Violation};
use crate::oracle::outcome;
use crate::round::Round;
use crate::schedule::{Conflict, Exhaustive, Follow, Replay, Scheduler};
use crate::stage::Stage;

/// Why a trial came to no end.
#[derive(Debug)]
pub enum Halt {
    /// It was asked to stop.
    Stopped,
    /// The environment, or the target file, is at fault.
    Failed(Box<Failure>),
}

impl Halt {
    /// A failure as the reason.
    pub fn failed(failure: Failure) -> Halt {
        Halt::Failed(Box::new(failure))
    }
}

/// What is tried: a scenario and, where that is decided, who moves when.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The choices at the gate; `None` for a free race.
    pub schedule: Option<&'a Schedule>,
}

impl<'a> Case<'a> {
    /// A free race.
    pub fn free(scenario: &'a Scenario) -> Case<'a> {
        Case {
            scenario,
            schedule: None,
        }
    }

    /// What a finding found.
    pub fn of(finding: &'a Finding) -> Case<'a> {
        Case {
            scenario: &finding.scenario,
            schedule: finding.schedule.as_ref(),
        }
    }
}

/// A schedule that the service has left so often, and never followed, is no longer on
/// offer.
pub const MOST_DIVERGED: u64 = 3;

/// How a kept finding did when it was tried again.
#[derive(Debug)]
pub struct Again {
    /// How often it failed.
    pub rate: Rate,
    /// A round that did.
    pub round: Option<Round>,
    /// Whether the service no longer offers its schedule, so that these are others.
    pub not_offered: bool,
}

/// What every order of a scenario's steps came to.
#[derive(Debug, Default)]
pub struct Every {
    /// Which orders were tried, in a sentence's first half.
    pub says: String,
    /// In how many rounds a rule was violated.
    pub violating: u64,
    /// How many could not be judged, by the reason.
    pub unjudged: BTreeMap<String, u64>,
    /// A round that violates one.
    pub round: Option<Round>,
}

/// Tries cases, until a deadline or until it is stopped.
pub struct Trials<'a> {
    stage: &'a mut Stage,
    stop: &'a Stop,
    deadline: Option<Instant>,
    /// Rounds made.
    pub made: u64,
    /// How many of them left the schedule that they were to follow.
    pub diverged: u64,
    /// Where the last of these did.
    pub left: Option<String>,
}

impl<'a> Trials<'a> {
    /// Trials on a stage.
    pub fn new(stage: &'a mut Stage, stop: &'a Stop, deadline: Option<Instant>) -> Self {
        stage.ask_outcomes(true);
        Trials {
            stage,
            stop,
            deadline,
            made: 0,
            diverged: 0,
            left: None,
        }
    }

    /// From here on only these rules count; without any, all do.
    pub fn only(&mut self, rules: &[Violation]) {
        let of_outcome = |rule: &Violation| rule.oracle == outcome::NAME;
        self.stage
            .ask_outcomes(rules.is_empty() || rules.iter().any(of_outcome));
    }

    /// Whether the deadline has passed.
    pub fn late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// One round. Stopped, it breaks off in the middle: the stage is of no more
    /// use then but to be closed. A schedule is followed to the letter; where there
    /// is no gate to follow it at, the race is free.
    pub async fn once(&mut self, case: Case<'_>) -> Result<Round, Halt> {
        match case.schedule {
            Some(schedule) if self.stage.is_gated() => {
                self.once_by(case.scenario, &mut Replay::new(schedule.clone()))
                    .await
            }
            _ => self.round(case.scenario, None).await,
        }
    }

    /// One gated round, the next of a scheduler's.
    pub async fn once_by(
        &mut self,
        scenario: &Scenario,
        scheduler: &mut dyn Scheduler,
    ) -> Result<Round, Halt> {
        if !scheduler.next_round() {
            let why = "a scheduler without a round was asked for one".to_owned();
            return Err(Halt::failed(Failure::Internal(why)));
        }
        self.round(scenario, Some(scheduler)).await
    }

    /// One round; with a scheduler, one that is ready for it.
    pub async fn round(
        &mut self,
        scenario: &Scenario,
        scheduler: Option<&mut dyn Scheduler>,
    ) -> Result<Round, Halt> {
        if self.stop.asked() {
            return Err(Halt::Stopped);
        }
        self.made += 1;
        let round = tokio::select! {
            round = self.stage.round_by(scenario, scheduler) => round.map_err(Halt::failed)?,
            () = self.stop.wait() => return Err(Halt::Stopped),
        };
        if let Verdict::Inconclusive(why) = &round.verdict
            && round.diverged
        {
            self.diverged += 1;
            self.left = Some(why.clone());
        }
        Ok(round)
    }

    /// Whether the schedule that is tried is no longer on offer.
    pub fn is_not_offered(&self) -> bool {
        self.diverged >= MOST_DIVERGED && self.diverged == self.made
    }

    /// Tries until one of the rules is violated, at most so often; the round
    /// that did, if one did.
    pub async fn until_failed(
        &mut self,
        case: Case<'_>,
        rules: &[Violation],
        most: u32,
    ) -> Result<Option<Round>, Halt> {
        let (_, round) = self.measure(case, rules, most, 1).await?;
        Ok(round)
    }

    /// How often one of the rules is violated in so many tries, ended early by
    /// so many hits or by the deadline (never before one try); and the last
    /// round that did.
    pub async fn measure(
        &mut self,
        case: Case<'_>,
        rules: &[Violation],
        tries: u32,
        enough: u32,
    ) -> Result<(Rate, Option<Round>), Halt> {
        self.only(rules);
        let mut rate = Rate::default();
        let mut last = None;
        while rate.tries < tries
            && rate.hits < enough
            && (rate.tries == 0 || !self.late() && !self.is_not_offered())
        {
            let round = self.once(case).await?;
            rate.tries += 1;
            if round.violates(rules) {
                rate.hits += 1;
                last = Some(round);
            }
        }
        Ok((rate, last))
    }

    /// Tries a kept finding until it fails, at most so often; and other schedules of its
    /// calls, if its own is no longer on offer.
    pub async fn again(&mut self, kept: &Finding, tries: u32) -> Result<Again, Halt> {
        let rules = kept.rules();
        let (mut rate, mut round) = self.measure(Case::of(kept), &rules, tries, 1).await?;
        let not_offered = self.is_not_offered();
        if not_offered {
            let others = self.other_schedules(&kept.scenario, &rules, tries).await?;
            rate.tries = others.1;
            rate.hits = u32::from(others.0.is_some());
            round = others.0;
        }
        Ok(Again {
            rate,
            round,
            not_offered,
        })
    }

    /// Lets the calls of a scenario move in every order that can matter, of at most so
    /// many rounds. Stopped, it says what it has done.
    pub async fn every_order(
        &mut self,
        scenario: &Scenario,
        rules: &[Violation],
        most: u64,
    ) -> Result<Every, Halt> {
        self.only(rules);
        let mut search = Exhaustive::new();
        let mut every = Every::default();
        while self.made < most && !self.stop.asked() && search.next_round() {
            let round = match self.round(scenario, Some(&mut search)).await {
                Ok(round) => round,
                Err(Halt::Stopped) => break,
                Err(halt) => return Err(halt),
            };
            if let Verdict::Inconclusive(why) = &round.verdict {
                *every.unjudged.entry(why.clone()).or_default() += 1;
            }
            if round.violates(rules) {
                every.violating += 1;
                every.round = Some(round);
            }
        }
        every.says = search
            .says()
            .unwrap_or_else(|| "no interleaving".to_owned());
        Ok(every)
    }

    /// Lets the calls of a scenario move in other orders, with few preemptions, until
    /// one of the rules is violated, at most so often: the round that did, and how many
    /// were judged.
    pub async fn other_schedules(
        &mut self,
        scenario: &Scenario,
        rules: &[Violation],
        most: u32,
    ) -> Result<(Option<Round>, u32), Halt> {
        self.only(rules);
        let mut judged = 0;
        if !scenario.faults.is_empty() {
            // A fault needs no other call: one after the other may do.
            let mut straight = Follow::new(Schedule::default());
            let round = self.once_by(scenario, &mut straight).await?;
            judged += u32::from(!round.unjudged());
            if round.violates(rules) {
                return Ok((Some(round), judged));
            }
        }
        let alone = Alone::default().all(self, scenario).await?;
        for mut halfway in mixed::halfway(scenario, &alone) {
            let round = self.once_by(scenario, &mut halfway).await?;
            judged += u32::from(!round.unjudged());
            if round.violates(rules) {
                return Ok((Some(round), judged));
            }
            if self.late() || judged >= most {
                return Ok((None, judged));
            }
        }
        let mut scheduler = Conflict::new(alone);
        for _ in 0..most {
            if self.late() || !scheduler.next_round() {
                break;
            }
            let round = self.round(scenario, Some(&mut scheduler)).await?;
            judged += u32::from(!round.unjudged());
            if round.violates(rules) {
                return Ok((Some(round), judged));
            }
        }
        Ok((None, judged))
    }
}

impl Round {
    /// What it violates.
    pub fn violations(&self) -> Vec<Violation> {
        match &self.verdict {
            Verdict::Violated(violations) => violations.clone(),
            Verdict::Holds | Verdict::Inconclusive(_) => Vec::new(),
        }
    }

    /// Whether it could not be judged.
    pub(crate) fn unjudged(&self) -> bool {
        matches!(self.verdict, Verdict::Inconclusive(_))
    }

    /// Whether it violates one of these rules; without any, anything at all.
    pub(crate) fn violates(&self, rules: &[Violation]) -> bool {
        matches!(&self.verdict, Verdict::Violated(violations)
            if rules.is_empty() || violations.iter().any(|new| rules.iter().any(|rule| rule.same_rule(new))))
    }
}
