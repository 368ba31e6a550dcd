//! What the stand-ins remember of a round.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::observed::StubCall;

/// Shared by all the stand-ins of a target, so that their calls are in one order.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Round>>);

#[derive(Debug, Default)]
struct Round {
    calls: Vec<StubCall>,
    /// How many different requests each stand-in has had.
    counts: HashMap<String, u64>,
    /// The number that a stand-in gave to an idempotency key.
    keys: HashMap<(String, String), u64>,
}

/// What is known of a call.
pub(super) struct Remembered {
    /// Its number.
    pub number: u64,
    /// Whether its idempotency key was known.
    pub repeats: bool,
}

impl Memory {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self) {
        *self.round() = Round::default();
    }

    pub(super) fn calls(&self) -> Vec<StubCall> {
        self.round().calls.clone()
    }

    /// Keeps a call and gives it its number, counted from 1; one that repeats
    /// an idempotency key has the number of the first.
    pub(super) fn remember(&self, call: &StubCall) -> Remembered {
        let mut round = self.round();
        let key = call
            .idempotency_key()
            .map(|key| (call.stub.clone(), key.to_owned()));
        round.calls.push(call.clone());
        if let Some(&number) = key.as_ref().and_then(|key| round.keys.get(key)) {
            return Remembered {
                number,
                repeats: true,
            };
        }
        let count = round.counts.entry(call.stub.clone()).or_default();
        *count += 1;
        let number = *count;
        round.keys.extend(key.map(|key| (key, number)));
        Remembered {
            number,
            repeats: false,
        }
    }
}
