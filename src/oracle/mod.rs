//! Judging a round. An oracle is a pure function from what the clients saw and
//! what was found afterwards to a verdict; it knows `model` alone.
//!
//! To add one: write its file, and name it in [`ALL`].

mod answers;
mod authorization;
pub mod budget;
mod contract;
mod contradiction;
mod invariant;
mod leak;
mod migration;
mod once;
pub mod outcome;
mod pages;
mod validation;

use crate::model::history::History;
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// An oracle.
pub type Oracle = fn(&History, &Observed) -> Verdict;

/// Every oracle. What the business says itself comes first, for the first
/// violation of a round is the one that a finding is named after.
pub const ALL: [Oracle; 11] = [
    invariant::judge,
    authorization::judge,
    once::judge,
    contradiction::judge,
    pages::judge,
    validation::judge,
    budget::judge,
    migration::judge,
    answers::judge,
    leak::judge,
    contract::judge,
];

/// The verdict of all the oracles together: violated if one of them says so,
/// else inconclusive if one of them could not tell.
pub fn judge(history: &History, observed: &Observed) -> Verdict {
    let mut violations: Vec<Violation> = Vec::new();
    let mut unclear = None;
    for oracle in ALL {
        match oracle(history, observed) {
            Verdict::Holds => {}
            Verdict::Violated(more) => violations.extend(more),
            Verdict::Inconclusive(why) => unclear = unclear.or(Some(why)),
        }
    }
    match unclear {
        _ if !violations.is_empty() => Verdict::Violated(violations),
        Some(why) => Verdict::Inconclusive(why),
        None => Verdict::Holds,
    }
}

/// One violation for each rule, with the rows of all that break it.
fn by_rule(found: impl Iterator<Item = Violation>) -> Vec<Violation> {
    let mut violations: Vec<Violation> = Vec::new();
    for violation in found {
        let mut known = violations.iter_mut();
        match known.find(|known| known.same_rule(&violation)) {
            Some(known) => known.rows.extend(violation.rows),
            None => violations.push(violation),
        }
    }
    violations
}

fn verdict(violations: Vec<Violation>) -> Verdict {
    if violations.is_empty() {
        Verdict::Holds
    } else {
        Verdict::Violated(violations)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A tiny vocabulary for the oracles' tests.

    use crate::model::history::{Answer, Ending, Expected, Made, Request};

    pub(crate) fn answered(operation: &str, key: Option<&str>, status: u16, body: &str) -> Made {
        made(
            operation,
            key,
            Ending::Answered(Answer {
                status,
                headers: Vec::new(),
                body: body.to_owned(),
            }),
        )
    }

    pub(crate) fn made(operation: &str, key: Option<&str>, ending: Ending) -> Made {
        let succeeded =
            matches!(&ending, Ending::Answered(answer) if (200..300).contains(&answer.status));
        Made {
            operation: operation.to_owned(),
            key: key.map(str::to_owned),
            request: Request {
                method: "POST".to_owned(),
                path: "/".to_owned(),
                headers: Vec::new(),
                body: String::new(),
            },
            released_us: Some(0),
            ended_us: Some(100),
            ending,
            succeeded,
            next: false,
            struck: false,
            expected: Expected::default(),
        }
    }
}
