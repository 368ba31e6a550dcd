//! A request that was spoiled on purpose: one that is refused changes no row, one that the
//! contract allows is not refused, and one that it forbids is.
//!
//! Without a contract nobody says that a field may not be left out: then a success is
//! right, and only what a refusal leaves behind is judged.

use serde_json::json;

use crate::model::Row;
use crate::model::history::{History, Made, Spoiled};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name.
pub const NAME: &str = "validation";

/// The statuses that say that the request itself is wrong.
const INVALID: [u16; 2] = [400, 422];

/// Judges each spoiled call.
pub fn judge(history: &History, observed: &Observed) -> Verdict {
    let calls = history.calls.iter();
    let found = calls.filter_map(|call| of(call, call.expected.spoiled.as_ref()?, observed));
    super::verdict(super::by_rule(found))
}

fn of(call: &Made, spoiled: &Spoiled, observed: &Observed) -> Option<Violation> {
    let answer = call.answer()?;
    let operation = &call.operation;
    let is_refused = (400..500).contains(&answer.status);
    let (rule, says) = if is_refused && !observed.changes.is_empty() {
        let says = format!("A call of `{operation}` that is refused changes no row.");
        ("changes", says)
    } else if INVALID.contains(&answer.status) && spoiled.allowed == Some(true) {
        let says = format!("`{operation}` takes what its contract allows.");
        ("refuses what is allowed", says)
    } else if call.succeeded && spoiled.allowed == Some(false) {
        let says = format!("`{operation}` refuses what its contract forbids.");
        ("takes what is forbidden", says)
    } else {
        return None;
    };
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(operation));
    row.insert("spoiled".to_owned(), json!(spoiled.what));
    row.insert("status".to_owned(), json!(answer.status));
    row.insert("body".to_owned(), json!(answer.body));
    let mut rows = vec![row];
    if rule == "changes" {
        rows.extend(observed.changes.iter().cloned());
    }
    Some(Violation {
        oracle: NAME.to_owned(),
        name: format!("{operation} {rule}"),
        says,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::answered;

    fn judged(status: u16, allowed: Option<bool>, changes: Vec<Row>) -> Option<String> {
        let mut call = answered("note", None, status, "{}");
        call.expected.spoiled = Some(Spoiled {
            what: "no `/note`".to_owned(),
            allowed,
        });
        let history = History {
            calls: vec![call],
            ..History::default()
        };
        let observed = Observed {
            changes,
            ..Observed::default()
        };
        match judge(&history, &observed) {
            Verdict::Holds => None,
            Verdict::Violated(found) => Some(found[0].name.clone()),
            Verdict::Inconclusive(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_refusal_leaves_nothing_behind() {
        let left = judged(422, None, vec![Row::new()]);
        assert_eq!(left.as_deref(), Some("note changes"));
        assert_eq!(judged(422, None, Vec::new()), None);
        assert_eq!(judged(200, None, vec![Row::new()]), None);
    }

    #[test]
    fn the_contract_says_what_is_taken() {
        let refused = judged(422, Some(true), Vec::new());
        assert_eq!(refused.as_deref(), Some("note refuses what is allowed"));
        let taken = judged(200, Some(false), Vec::new());
        assert_eq!(taken.as_deref(), Some("note takes what is forbidden"));
        assert_eq!(judged(422, Some(false), Vec::new()), None);
        assert_eq!(judged(200, Some(true), Vec::new()), None);
        // Sold out is no word about the request.
        assert_eq!(judged(409, Some(true), Vec::new()), None);
    }
}
