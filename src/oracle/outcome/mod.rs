//! The outcome: some one-at-a-time order of the calls has to explain what they leave.
//!
//! A call that was refused, or ended in doubt (no answer, a 5xx), may not have happened
//! at all; but nothing may have happened by half. Nobody has to write a rule for it.
//! What is judged against, the outcomes of orders, has to be made by rounds: a [`Search`]
//! says which are lacking, and this part makes none.

mod canon;
mod difference;
mod knowledge;
mod known;
mod memory;
mod place;
mod race;
mod search;
#[cfg(test)]
mod tests;
mod time;

pub use difference::nearest;
pub use knowledge::Knowledge;
pub use known::{Known, Order};
pub use memory::Memory;
pub use race::Race;
pub use search::{Next, Search};

use std::fmt::Write as _;

use crate::model::outcome::Outcome;
use crate::model::verdict::Violation;

/// The oracle's name in findings.
pub const NAME: &str = "outcome";

/// The one rule.
const RULE: &str = "one-at-a-time";

/// The violation of an outcome that no known order explains; `all` says whether none
/// was left out.
pub fn violation(
    race: &Race,
    outcome: &Outcome,
    known: &Known,
    knowledge: &Knowledge,
    all: bool,
) -> Violation {
    let which = match (known.orders(), all) {
        (1, true) => "the only one does not".to_owned(),
        (tried, true) => format!("none of the {tried} does"),
        (tried, false) => format!("none of the {tried} that were tried does, of many more"),
    };
    let mut says =
        format!("Some one-at-a-time order of the calls explains what they leave; {which}.");
    let mut rows = Vec::new();
    if let Some(nearest) = nearest(race, outcome, known, knowledge) {
        let order = in_words(&nearest.order, outcome.answers.len());
        let _ = write!(says, " The nearest: {order}.");
        rows = nearest.rows;
    }
    Violation {
        oracle: NAME.to_owned(),
        name: RULE.to_owned(),
        says,
        rows,
    }
}

/// An order of some of so many calls.
fn in_words(order: &[usize], calls: usize) -> String {
    let numbers: Vec<String> = order.iter().map(|call| (call + 1).to_string()).collect();
    match numbers.as_slice() {
        [] => "as if nobody had called".to_owned(),
        [only] if calls > 1 => format!("call {only} alone"),
        [only] => format!("call {only}"),
        all if all.len() < calls => format!("{} without the rest", all.join(", then ")),
        all => all.join(", then "),
    }
}
