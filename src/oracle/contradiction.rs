//! Answers to one idempotency key that contradict each other.
//!
//! Two successes must say the same (a 201 and a 200 with the same body do). A
//! success and a definite failure cannot both be true. Refusals that ask to try
//! again later and answers that never came contradict nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Row;
use crate::model::history::{History, Made};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name in findings.
pub const NAME: &str = "contradiction";

/// Judges the answers of each key against each other.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    let mut by_key: BTreeMap<(&str, &str), Vec<&Made>> = BTreeMap::new();
    for call in &history.calls {
        if let (Some(key), Some(answer)) = (&call.key, call.answer())
            && !call.is_refused()
            && answer.status < 500
        {
            by_key.entry((&call.operation, key)).or_default().push(call);
        }
    }
    super::verdict(
        by_key
            .into_iter()
            .filter_map(|((operation, _), calls)| contradiction(operation, &calls))
            .collect(),
    )
}

fn contradiction(operation: &str, calls: &[&Made]) -> Option<Violation> {
    let success = calls.iter().find(|call| call.succeeded)?;
    let other = calls.iter().find(|call| !agree(success, call))?;
    let rows = [success, other].map(|call| row(call));
    Some(Violation {
        oracle: NAME.to_owned(),
        name: operation.to_owned(),
        says: format!(
            "The answers of `{operation}` to one idempotency key do not contradict each other."
        ),
        rows: rows.to_vec(),
    })
}

fn agree(success: &Made, other: &Made) -> bool {
    other.succeeded && success.answer().map(body) == other.answer().map(body)
}

/// A JSON body is compared as JSON: neither spaces nor the order of fields
/// contradict anything.
fn body(answer: &crate::model::history::Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| Value::String(answer.body.clone()))
}

fn row(call: &Made) -> Row {
    let mut row = Row::new();
    if let Some(answer) = call.answer() {
        row.insert("status".to_owned(), json!(answer.status));
        row.insert("body".to_owned(), body(answer));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::Ending;
    use crate::oracle::testing::{answered, made};

    fn judged(calls: Vec<Made>) -> bool {
        judge(
            &History {
                calls,
                ..History::default()
            },
            &Observed::default(),
        ) == Verdict::Holds
    }

    #[test]
    fn the_same_answer_twice_agrees() {
        assert!(judged(vec![
            answered("pay", Some("k"), 201, r#"{"id":1,"n":2}"#),
            answered("pay", Some("k"), 200, r#"{"n":2, "id":1}"#),
        ]));
    }

    #[test]
    fn two_ids_for_one_key_contradict() {
        assert!(!judged(vec![
            answered("pay", Some("k"), 201, r#"{"id":1}"#),
            answered("pay", Some("k"), 201, r#"{"id":2}"#),
        ]));
    }

    #[test]
    fn a_success_and_a_failure_contradict_but_a_refusal_does_not() {
        assert!(!judged(vec![
            answered("pay", Some("k"), 201, "{}"),
            answered("pay", Some("k"), 402, "{}"),
        ]));
        assert!(judged(vec![
            answered("pay", Some("k"), 201, "{}"),
            answered("pay", Some("k"), 409, "{}"),
            made("pay", Some("k"), Ending::HungUp),
        ]));
    }

    #[test]
    fn other_keys_and_operations_are_other_matters() {
        assert!(judged(vec![
            answered("pay", Some("a"), 201, "1"),
            answered("pay", Some("b"), 201, "2"),
            answered("order", Some("a"), 402, "3"),
            answered("order", None, 201, "4"),
        ]));
    }
}
