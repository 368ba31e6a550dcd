//! What a hunt counts as it goes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::model::event::Latency;
use crate::model::verdict::Verdict;
use crate::round::Round;

/// Counts of a hunt so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Rounds of the search.
    pub rounds: u64,
    /// Those of them in which the gate decided who moves when.
    pub gated: u64,
    /// Rounds made for the corpus, to shrink and to measure.
    pub extra_rounds: u64,
    /// Rounds of the search that an earlier finding explains.
    pub explained: u64,
    /// Rounds that could not be judged, by the reason.
    pub inconclusive: BTreeMap<String, u64>,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// Answer times in microseconds, by operation.
    latency: BTreeMap<String, Histogram<u64>>,
}

impl Tally {
    /// Counts a round of the search.
    pub(super) fn round(&mut self, round: &Round) {
        self.rounds += 1;
        self.gated += u64::from(!round.history.steps.is_empty());
        if let Verdict::Inconclusive(why) = &round.verdict {
            *self.inconclusive.entry(why.clone()).or_default() += 1;
        }
        for call in &round.history.calls {
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
