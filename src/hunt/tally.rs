//! What a hunt counts as it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::hunt::faults;
use crate::model::event::{Latency, Outcomes};
use crate::model::fault::{FaultKind, FaultsTried, StepTried, Tried};
use crate::model::scenario::Scenario;
use crate::model::step::Step;
use crate::model::verdict::Verdict;
use crate::round::{Explained, Round};

/// Counts of a hunt so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Rounds of the search.
    pub rounds: u64,
    /// Those of them in which the gate decided who moves when.
    pub gated: u64,
    /// Those of them in which a migration ran.
    pub mixed: u64,
    /// Rounds made for the corpus, to shrink and to measure.
    pub extra_rounds: u64,
    /// Rounds of the search that an earlier finding explains.
    pub explained: u64,
    /// What came of asking for one-at-a-time orders.
    pub outcomes: Outcomes,
    /// Rounds that could not be judged, by the reason.
    pub inconclusive: BTreeMap<String, u64>,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// The calls that were to be made one at a time and for which the budget did not
    /// suffice.
    pub checks_left_out: usize,
    /// What faults came to.
    pub faults: FaultsTried,
    /// Answer times in microseconds, by operation.
    latency: BTreeMap<String, Histogram<u64>>,
}

impl Tally {
    /// Counts a round of the search.
    pub(super) fn round(&mut self, round: &Round) {
        self.rounds += 1;
        self.gated += u64::from(!round.history.steps.is_empty());
        self.mixed += u64::from(round.history.migration.is_some());
        if let Verdict::Inconclusive(why) = &round.verdict {
            *self.inconclusive.entry(why.clone()).or_default() += 1;
        }
        let outcomes = &mut self.outcomes;
        outcomes.one_by_one += round.one_by_one;
        match &round.explained {
            Explained::NotAsked => {}
            Explained::By { .. } => outcomes.explained += 1,
            Explained::ByNone(_) => outcomes.unexplained += 1,
            Explained::Unclear(why) => *outcomes.unclear.entry(why.clone()).or_default() += 1,
        }
        // What goes wrong on purpose takes its own time.
        for call in round.history.calls.iter().filter(|call| !call.struck) {
            let Some(latency) = call.latency() else {
                continue;
            };
            let histogram = self
                .latency
                .entry(call.operation.clone())
                .or_insert_with(histogram);
            // It grows by itself, so every value fits.
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            let _ = histogram.record(micros);
        }
    }

    /// Counts what a fault at the `number`th step of an operation came to.
    pub(super) fn fault(
        &mut self,
        scenario: &Scenario,
        number: usize,
        step: &Step,
        kind: FaultKind,
        (round, took): (&Round, Duration),
    ) {
        self.faults.tried += 1;
        self.faults.elapsed_s += took.as_secs_f64();
        let tried = Tried {
            kind,
            came_to: faults::came_to(round),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        let step = StepTried {
            operation: scenario.race[0].operation.clone(),
            step: number,
            action: step.action.short(),
            tried: Vec::new(),
        };
        faults::add(&mut self.faults.steps, step, tried);
    }

    /// Counts a race whose fault did not strike: it shows nothing of that.
    pub(super) fn not_struck(&mut self, round: &Round) {
        self.rounds += 1;
        self.gated += u64::from(!round.history.steps.is_empty());
        self.faults.not_in_races += 1;
    }

    /// What faults came to, if any was tried.
    pub(super) fn faults(&self) -> Option<FaultsTried> {
        let any = self.faults.tried + self.faults.in_races > 0;
        any.then(|| self.faults.clone())
    }

    /// Percentiles by operation.
    pub(super) fn latency(&self) -> BTreeMap<String, Latency> {
        self.latency
            .iter()
            .map(|(operation, histogram)| {
                let at = |quantile| millis(histogram.value_at_quantile(quantile));
                let latency = Latency {
                    answers: histogram.len(),
                    p50_ms: at(0.5),
                    p90_ms: at(0.9),
                    p99_ms: at(0.99),
                    max_ms: millis(histogram.max()),
                };
                (operation.clone(), latency)
            })
            .collect()
    }
}

#[allow(clippy::expect_used)] // Three digits are within what the crate takes.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three significant digits are allowed")
}

#[allow(clippy::cast_precision_loss)] // No answer takes 2^53 microseconds.
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
