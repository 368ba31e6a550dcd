//! The loop over rounds: the corpus first, then scenario after scenario until the
//! budget is used, each new violation shrunk, measured, kept and told.
//!
//! A hunt emits one stream of [`Event`]s and knows none of its listeners. It
//! ends early on a [`Stop`], with everything found so far.

mod alone;
mod checks;
mod coverage;
mod faults;
mod gated;
mod mixed;
mod pairs;
mod reduce;
mod stop;
mod tally;
mod trial;

use std::time::{Duration, Instant};

use crate::corpus::{self, Corpus};
use crate::failure::Failure;
use crate::generate::{Generator, Tree, round_seed};
use crate::model::coverage::{Concern, HeldTo};
use crate::model::event::{Event, Outcomes, Summary};
use crate::model::finding::{FORMAT, Finding, Rate};
use crate::model::scenario::Scenario;
use crate::model::verdict::{Verdict, Violation};
use crate::round::Round;
use crate::stage::Stage;

use coverage::{Coverage, End};
pub use stop::Stop;
use tally::Tally;
pub use trial::{Case, Every, Halt, Trials};

/// Up to this part of a run's budget, races are free; the rest is for requests with
/// something wrong in them, and for more free races if these need less.
const FOR_FREE: f64 = 0.92;

/// After this many rounds in a row that could not be judged, a run ends: the
/// environment is broken, and silence would pass for a clean bill.
const MOST_UNJUDGED: u64 = 25;

/// A candidate that fails as often as the original is taken for one that does
/// not fail in one case of twenty: `(1 - p)^(3 / p) < 0.05`.
const TRIES_FOR_ONE_HIT: f64 = 3.0;
const FEWEST_TRIES: u32 = 4;
const MOST_TRIES: u32 = 60;

/// A kept finding is tried at least as often: its rate was measured on another day,
/// or on a machine with less to do.
const FEWEST_OF_CORPUS: u32 = 30;

/// What a hunt is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all scenarios come from.
    pub seed: u64,
    /// The most rounds of the search.
    pub rounds: Option<u64>,
    /// The longest time of the search.
    pub budget: Option<Duration>,
    /// Fewest and most calls of a race.
    pub calls: (usize, usize),
    /// Whether to search for nothing but what faults do.
    pub faults: bool,
    /// Whether to make nothing but the checks that need no race.
    pub checks: bool,
    /// Whether to go on after the first finding.
    pub keep_going: bool,
    /// The longest time to shrink one finding.
    pub shrink_within: Duration,
    /// How often a shrunk finding is tried to measure its rate.
    pub measure: u32,
    /// The longest time to measure one finding.
    pub measure_within: Duration,
    /// The service's variables that the command line overrode, for findings.
    pub env: Vec<(String, String)>,
    /// The target's folder as it was given, for findings.
    pub target_folder: String,
    /// The concerns that every operation has to be covered for.
    pub required: Vec<Concern>,
}

/// A hunt under way.
pub struct Hunt<'a> {
    stage: &'a mut Stage,
    plan: &'a Plan,
    corpus: &'a Corpus,
    stop: &'a Stop,
    emit: &'a mut (dyn FnMut(&Event) + Send),
    begun: Instant,
    /// Since when the search is on, the corpus left behind.
    searching: Instant,
    tally: Tally,
    coverage: Coverage,
    findings: Vec<Finding>,
}

impl<'a> Hunt<'a> {
    /// A hunt that has not begun.
    pub fn new(
        stage: &'a mut Stage,
        plan: &'a Plan,
        corpus: &'a Corpus,
        stop: &'a Stop,
        emit: &'a mut (dyn FnMut(&Event) + Send),
    ) -> Self {
        Hunt {
            coverage: Coverage::new(stage, plan),
            stage,
            plan,
            corpus,
            stop,
            emit,
            begun: Instant::now(),
            searching: Instant::now(),
            tally: Tally::default(),
            findings: Vec::new(),
        }
    }

    /// Runs to its end. The summary holds what was found even where the
    /// environment failed in the middle; the failure stands beside it.
    pub async fn run(mut self) -> (Summary, Option<Failure>) {
        let ended = match Box::pin(self.all()).await {
            Ok(()) => None,
            Err(Halt::Stopped) => {
                self.tally.interrupted = true;
                None
            }
            Err(Halt::Failed(failure)) => Some(*failure),
        };
        let end = match &ended {
            Some(_) => End::Failed,
            None if self.tally.interrupted => End::Stopped,
            None if !self.plan.keep_going && !self.findings.is_empty() => End::FirstFinding,
            None => End::Budget,
        };
        let target = self.stage.target();
        let coverage = self.coverage.cells(target, &self.findings, end);
        let required = self.plan.required.as_slice();
        let summary = Summary {
            deadheat: env!("CARGO_PKG_VERSION").to_owned(),
            target: self.stage.target().name.clone(),
            engine: self.stage.engine(),
            seed: self.plan.seed.to_string(),
            rounds: self.tally.rounds,
            gated_rounds: self.tally.gated,
            mixed_rounds: self.tally.mixed,
            extra_rounds: self.tally.extra_rounds,
            outcomes: Outcomes {
                allowances: self.stage.target().allowances.clone(),
                ..self.tally.outcomes.clone()
            },
            inconclusive: self.tally.inconclusive.values().sum(),
            inconclusive_why: self.tally.inconclusive.clone(),
            elapsed_s: self.begun.elapsed().as_secs_f64(),
            interrupted: self.tally.interrupted,
            failure: ended.as_ref().map(ToString::to_string),
            findings: self.findings,
            explained_rounds: self.tally.explained,
            checks_left_out: self.tally.checks_left_out,
            faults: self.tally.faults(),
            latency: self.tally.latency(),
            held_to: (!required.is_empty()).then(|| HeldTo::new(required, &coverage)),
            coverage,
        };
        (self.emit)(&Event::RunEnded(Box::new(summary.clone())));
        (summary, ended)
    }

    async fn all(&mut self) -> Result<(), Halt> {
        let target = self.stage.target();
        (self.emit)(&Event::RunStarted {
            target: target.name.clone(),
            engine: self.stage.engine(),
            seed: self.plan.seed,
            rounds: self.plan.rounds,
            budget: self.plan.budget,
        });
        let generator = Generator::new(target, self.stage.pools(), self.plan.calls)
            .map_err(|error| Halt::failed(error.into()))?;
        self.try_corpus().await?;
        self.searching = Instant::now();
        if self.plan.faults {
            return self.search_faults_only().await;
        }
        if self.plan.checks {
            self.check(1.0).await?;
            return self.check_requests(1.0).await;
        }
        self.check(checks::FOR_CHECKS).await?;
        if self.stage.is_gated() && !self.is_over() {
            Box::pin(self.search_gated()).await?;
        }
        let made = self.search(&generator, 0, FOR_FREE).await?;
        self.check_requests(1.0).await?;
        self.search(&generator, made, 1.0).await?;
        Ok(())
    }

    /// Tries the findings kept: a bug that is back shows at once.
    async fn try_corpus(&mut self) -> Result<(), Halt> {
        for file in self.corpus.files().map_err(|e| Halt::failed(e.into()))? {
            let kept = match corpus::read(&file) {
                Ok(kept) => kept,
                Err(error) => {
                    // One broken file must not hide what the others show.
                    (self.emit)(&Event::Warning(error.to_string()));
                    continue;
                }
            };
            if let Err(why) = self.stage.can_make(&kept.scenario) {
                let file = file.display();
                (self.emit)(&Event::Warning(format!(
                    "{file} no longer fits the target and was passed over: {why}"
                )));
                continue;
            }
            let tries = tries_for(kept.rate).max(FEWEST_OF_CORPUS);
            let mut trials = Trials::new(self.stage, self.stop, None);
            let again = trials.again(&kept, tries).await;
            self.tally.extra_rounds += trials.made;
            let again = again?;
            (self.emit)(&Event::CorpusTried {
                file: file.display().to_string(),
                rate: again.rate,
                not_offered: again.not_offered,
            });
            if let Some(round) = again.round {
                let rate = again.rate;
                let mut again = Finding {
                    file: Some(file.display().to_string()),
                    known: true,
                    rate,
                    engine: self.stage.engine(),
                    env: self.plan.env.clone(),
                    target_folder: self.plan.target_folder.clone(),
                    ..kept
                };
                again.show(Some(round));
                self.tell(again);
            }
        }
        Ok(())
    }

    /// Whether the search has its finding, and looks for no other.
    fn is_done(&self) -> bool {
        !self.plan.keep_going && !self.findings.is_empty()
    }

    /// Whether the search has come to its end.
    fn is_over(&self) -> bool {
        let rounds = self
            .plan
            .rounds
            .is_some_and(|most| self.tally.rounds >= most);
        let late = |budget| self.searching.elapsed() >= budget;
        self.is_done() || rounds || self.plan.budget.is_some_and(late)
    }

    /// Free races of scenarios from the run's seed, for a part of the budget. Begins with
    /// the scenario of this number, and returns the next one's.
    async fn search(&mut self, generator: &Generator, from: u64, part: f64) -> Result<u64, Halt> {
        let mut unjudged = 0;
        let mut number = from;
        while !self.is_spent(part) {
            let seed = round_seed(self.plan.seed, number);
            number += 1;
            let scenario = tree(generator, seed)?.current();
            let round = Trials::new(self.stage, self.stop, None)
                .once(Case::free(&scenario))
                .await?;
            let unclear = match &round.verdict {
                Verdict::Inconclusive(why) => Some(why.clone()),
                Verdict::Holds | Verdict::Violated(_) => None,
            };
            self.take(seed, generator, &scenario, round).await?;
            unjudged = if unclear.is_some() { unjudged + 1 } else { 0 };
            if let Some(why) = unclear.filter(|_| unjudged == MOST_UNJUDGED) {
                return Err(Halt::failed(Failure::NothingJudged {
                    rounds: unjudged,
                    why,
                }));
            }
        }
        Ok(number)
    }

    /// Counts a round of the search, and makes a finding of what nothing explains.
    async fn take(
        &mut self,
        seed: u64,
        generator: &Generator,
        scenario: &Scenario,
        round: Round,
    ) -> Result<(), Halt> {
        self.tally.round(&round);
        self.coverage.round(self.stage.target(), scenario, &round);
        if let Verdict::Violated(violations) = &round.verdict {
            let new = violations
                .iter()
                .find(|violation| !self.explained(violation, scenario));
            match new.cloned() {
                None => self.tally.explained += 1,
                Some(rule) => self.found(seed, generator, scenario, &rule, round).await?,
            }
        }
        self.tell_round();
        Ok(())
    }

    fn tell_round(&mut self) {
        (self.emit)(&Event::RoundDone {
            rounds: self.tally.rounds,
            elapsed: self.searching.elapsed(),
            findings: self.findings.len(),
        });
    }

    /// Whether a finding has the cause of a violation: it breaks the same rule,
    /// and its race needs no endpoint that this one lacks. Two operations of one
    /// endpoint share its code.
    fn explained(&self, violation: &Violation, scenario: &Scenario) -> bool {
        let endpoints = |scenario| self.stage.target().endpoints(scenario);
        let here = endpoints(scenario);
        let is_fault = !scenario.faults.is_empty();
        let races = scenario.calls_race();
        self.findings.iter().any(|finding| {
            let mut broken = finding.violations.iter();
            // A race is no cause of what fails one at a time, nor a fault or a migration of
            // what fails without one; what needs none is the cause of all.
            let own = &finding.scenario;
            if own.is_out_of_the_ordinary() && !scenario.is_out_of_the_ordinary() {
                return false;
            }
            let of_a_kind = match (own.faults.is_empty(), own.calls_race()) {
                _ if own.migration.is_some() => own.migration == scenario.migration,
                (true, true) => races,
                (true, false) => true,
                (false, _) => is_fault,
            };
            of_a_kind
                && broken.any(|known| known.same_rule(violation))
                && endpoints(&finding.scenario).is_subset(&here)
        })
    }

    /// From a violation to a finding: estimate, shrink, measure, keep, tell.
    /// Stopped in the middle, it keeps what it has by then.
    async fn found(
        &mut self,
        seed: u64,
        generator: &Generator,
        scenario: &Scenario,
        rule: &Violation,
        round: Round,
    ) -> Result<(), Halt> {
        (self.emit)(&Event::Violated {
            seed,
            violations: round.violations(),
            calls: scenario.race.len(),
        });
        let mut finding = Finding {
            format: FORMAT,
            deadheat: env!("CARGO_PKG_VERSION").to_owned(),
            target: self.stage.target().name.clone(),
            target_folder: self.plan.target_folder.clone(),
            engine: self.stage.engine(),
            env: self.plan.env.clone(),
            oracle: rule.oracle.clone(),
            name: rule.name.clone(),
            says: rule.says.clone(),
            seed: seed.to_string(),
            calls: generator.calls(),
            scenario: scenario.clone(),
            schedule: round.schedule(),
            violations: round.violations(),
            history: round.history,
            rate: Rate::default(),
            diverged: None,
            found_after_rounds: self.tally.rounds,
            found_after_s: self.begun.elapsed().as_secs_f64(),
            calls_before_shrinking: scenario.race.len(),
            known: false,
            file: None,
        };
        let tree = tree(generator, seed)?;
        let halted = self.reduce(&mut finding, tree, rule).await.err();
        let kept = self.corpus.keep(&finding);
        match &kept {
            Ok(path) => finding.file = Some(path.display().to_string()),
            Err(error) => (self.emit)(&Event::Warning(error.to_string())),
        }
        self.tell(finding);
        match halted {
            Some(halt) => Err(halt),
            None => kept.map(drop).map_err(|error| Halt::failed(error.into())),
        }
    }

    fn tell(&mut self, finding: Finding) {
        (self.emit)(&Event::Found(Box::new(finding.clone())));
        self.findings.push(finding);
    }
}

fn tree(generator: &Generator, seed: u64) -> Result<Tree, Halt> {
    generator
        .tree(seed)
        .map_err(|why| Halt::failed(Failure::Internal(why.to_string())))
}

impl Finding {
    /// Takes what a failing round shows.
    pub(crate) fn show(&mut self, round: Option<Round>) {
        if let Some(round) = round {
            self.violations = round.violations();
            if let Some(own) = self.rules().pop() {
                // Some say more than their rule, of the round.
                self.says = own.says;
            }
            if self.schedule.is_some() {
                self.schedule = round.schedule().or(self.schedule.take());
            }
            self.history = round.history;
        }
    }

    /// The rules that it breaks: its own first one.
    pub(crate) fn rules(&self) -> Vec<Violation> {
        let own =
            |violation: &&Violation| violation.oracle == self.oracle && violation.name == self.name;
        self.violations
            .iter()
            .find(own)
            .into_iter()
            .cloned()
            .collect()
    }
}

/// How often a scenario is tried until it counts as one that does not fail.
fn tries_for(rate: Rate) -> u32 {
    if rate.hits == 0 {
        return MOST_TRIES;
    }
    let p = f64::from(rate.hits) / f64::from(rate.tries.max(1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 3 to some thousands.
    let tries = (TRIES_FOR_ONE_HIT / p).ceil() as u32;
    tries.clamp(FEWEST_TRIES, MOST_TRIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_failures_are_tried_more_often_within_bounds() {
        let tries = |hits, tries| tries_for(Rate { hits, tries });
        assert_eq!(tries(30, 30), FEWEST_TRIES);
        assert_eq!(tries(5, 10), 6);
        assert_eq!(tries(1, 30), MOST_TRIES);
        assert_eq!(tries(0, 30), MOST_TRIES);
    }
}
