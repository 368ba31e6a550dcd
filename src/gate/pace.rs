//! How fast a service and its database are, learned as they go: how long silence
//! has to last before it means something.

use std::time::Duration;

/// Silence of a call between two steps never means anything before this, and
/// always does after that.
const SHORTEST_SILENCE: Duration = Duration::from_millis(20);
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
/// A call that is silent for so many times its usual pause is waiting elsewhere.
const TIMES_USUAL: u32 = 6;

/// Most statements are answered before this; one that is not may wait for a lock.
const SHORTEST_ASK: Duration = Duration::from_micros(300);
const LONGEST_ASK: Duration = Duration::from_millis(20);

/// How long to listen while only locks and the service itself can move the calls.
pub(super) const IDLE: Duration = Duration::from_millis(50);

/// What was learned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// The usual longest pause between an answer and the next step.
    thought: Duration,
    /// The usual time of a statement.
    answer: Duration,
}

impl Pace {
    /// A call took so long from one answer to its next step.
    pub(super) fn thought(&mut self, took: Duration) {
        self.thought = lean(self.thought, took);
    }

    /// The database took so long for a step.
    pub(super) fn answered(&mut self, took: Duration) {
        self.answer = lean(self.answer, took);
    }

    /// How long a call may be silent before it is taken to wait elsewhere.
    pub(super) fn silence(&self) -> Duration {
        (self.thought * TIMES_USUAL).clamp(SHORTEST_SILENCE, LONGEST_SILENCE)
    }

    /// How long a step in flight is left alone before its locks are asked about,
    /// for the first time or after so many times.
    pub(super) fn ask_locks_after(&self, asked: u32) -> Duration {
        let first = (self.answer * 3).clamp(SHORTEST_ASK, LONGEST_ASK);
        (first * 2u32.saturating_pow(asked.min(8))).min(LONGEST_ASK)
    }
}

/// Longer times are learned at once, shorter ones slowly.
fn lean(usual: Duration, new: Duration) -> Duration {
    if new > usual {
        new.min(LONGEST_SILENCE)
    } else {
        (usual * 15 + new) / 16
    }
}
