//! From a violation to a finding that a person would have written: tried again for
//! its rate, made simpler, measured.

use std::time::Instant;

use crate::generate::Tree;
use crate::hunt::{Case, Halt, Hunt, Trials, tries_for};
use crate::model::event::Event;
use crate::model::finding::{Finding, Rate};
use crate::model::scenario::Scenario;
use crate::model::verdict::Violation;
use crate::round::Round;
use crate::schedule::{Follow, simpler};
use crate::shrink;

/// How often a violation is tried again before it is shrunk, at most.
const ESTIMATE_TRIES: u32 = 30;
/// How many failures are enough to know how often to try a candidate.
const ESTIMATE_HITS: u32 = 5;

/// How many schedules of a gated candidate with fewer calls are tried.
const SCHEDULES: u32 = 30;

impl Hunt<'_> {
    /// Shrinks and measures a finding in place.
    pub(super) async fn reduce(
        &mut self,
        finding: &mut Finding,
        tree: Tree,
        rule: &Violation,
    ) -> Result<(), Halt> {
        let rules = std::slice::from_ref(rule);
        let deadline = Instant::now() + self.plan.shrink_within;
        let mut trials = Trials::new(self.stage, self.stop, Some(deadline));
        let estimate = trials
            .measure(Case::of(finding), rules, ESTIMATE_TRIES, ESTIMATE_HITS)
            .await;
        let rate = match &estimate {
            Ok((rate, _)) => *rate,
            Err(_) => Rate::default(),
        };
        finding.rate = rate;
        let mut shrunk = estimate.map(drop);
        trials.only(rules);
        let mut candidates = Candidates {
            trials: &mut trials,
            rules,
            tries: tries_for(rate),
            tried: 0,
            emit: self.emit,
        };
        // What never fails again cannot be shrunk: every candidate would pass.
        if shrunk.is_ok() && rate.hits > 0 {
            shrunk = candidates.simpler_scenario(finding, tree).await;
        }
        if shrunk.is_ok() && rate.hits > 0 {
            shrunk = candidates.simpler_schedule(finding).await;
        }
        self.tally.extra_rounds += trials.made;
        shrunk?;
        let deadline = Instant::now() + self.plan.measure_within;
        let mut trials = Trials::new(self.stage, self.stop, Some(deadline));
        let measured = trials
            .measure(Case::of(finding), rules, self.plan.measure, u32::MAX)
            .await;
        self.tally.extra_rounds += trials.made;
        finding.diverged = trials.left;
        let (rate, last) = measured?;
        finding.rate = rate;
        finding.show(last);
        Ok(())
    }
}

/// Tries what might be simpler and still fail.
struct Candidates<'a, 'b> {
    trials: &'a mut Trials<'b>,
    rules: &'a [Violation],
    /// How often a free candidate is tried.
    tries: u32,
    tried: u32,
    emit: &'a mut (dyn FnMut(&Event) + Send),
}

impl Candidates<'_, '_> {
    async fn simpler_scenario(&mut self, finding: &mut Finding, tree: Tree) -> Result<(), Halt> {
        // Of a call alone with a fault the tree has made only the beginning.
        let tree = Some(tree).filter(|tree| tree.current().race == finding.scenario.race);
        for mut pass in shrink::passes(tree) {
            let mut failed = true;
            while let Some(candidate) = pass.next(&finding.scenario, failed) {
                if self.trials.late() {
                    return Ok(());
                }
                let round = self.fails(&candidate, finding).await?;
                failed = round.is_some();
                if failed {
                    finding.scenario = candidate;
                    finding.show(round);
                }
                self.tell(finding);
            }
        }
        Ok(())
    }

    /// Fewer switches, where there is a schedule.
    async fn simpler_schedule(&mut self, finding: &mut Finding) -> Result<(), Halt> {
        for mut pass in simpler::passes() {
            let mut failed = true;
            while let Some(smallest) = finding.schedule.clone()
                && let Some(candidate) = pass.next(&smallest, failed)
            {
                if self.trials.late() {
                    return Ok(());
                }
                let mut follow = Follow::new(candidate);
                let round = self.trials.once_by(&finding.scenario, &mut follow).await?;
                let made = round.schedule();
                failed = round.violates(self.rules)
                    && made.is_some_and(|made| simpler::is_simpler(&made, &smallest));
                if failed {
                    finding.show(Some(round));
                }
                self.tell(finding);
            }
        }
        Ok(())
    }

    /// A round in which a candidate fails, if one is found.
    async fn fails(
        &mut self,
        candidate: &Scenario,
        finding: &Finding,
    ) -> Result<Option<Round>, Halt> {
        let Some(schedule) = &finding.schedule else {
            let case = Case::free(candidate);
            return self.trials.until_failed(case, self.rules, self.tries).await;
        };
        if candidate.race.len() == finding.scenario.race.len() {
            let mut follow = Follow::new(schedule.clone());
            let round = self.trials.once_by(candidate, &mut follow).await?;
            return Ok(round.violates(self.rules).then_some(round));
        }
        // With other calls, the choices are others: search anew.
        let (round, _) = self
            .trials
            .other_schedules(candidate, self.rules, SCHEDULES)
            .await?;
        Ok(round)
    }

    fn tell(&mut self, finding: &Finding) {
        self.tried += 1;
        (self.emit)(&Event::Shrinking {
            candidates: self.tried,
            calls: finding.scenario.race.len(),
        });
    }
}
