//! What answers look like, as it was agreed: each place that breaks it, and how, is a
//! rule, for each has its own cause.

use serde_json::json;

use crate::model::Row;
use crate::model::history::History;
use crate::model::observed::{Breach, Observed};
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name.
pub const NAME: &str = "contract";

/// Judges what was found in the answers.
pub fn judge(_: &History, observed: &Observed) -> Verdict {
    super::verdict(super::by_rule(observed.breaches.iter().map(of)))
}

fn of(breach: &Breach) -> Violation {
    let Breach {
        operation,
        status,
        place,
        keyword,
        kind,
        source,
        value,
    } = breach;
    let cause = [place, keyword].map(String::as_str).into_iter();
    let cause: Vec<&str> = cause.filter(|word| !word.is_empty()).collect();
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(operation));
    row.insert("status".to_owned(), json!(status));
    row.insert("place".to_owned(), json!(place));
    if let Some(value) = value {
        row.insert("value".to_owned(), json!(value));
    }
    Violation {
        oracle: NAME.to_owned(),
        name: format!("{operation} {status} {}", cause.join(" ")),
        says: format!("`{operation}` answers {status} as {source} has it; {kind}."),
        rows: vec![row],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(place: &str, keyword: &str) -> Breach {
        Breach {
            operation: "read-order".to_owned(),
            status: 200,
            place: place.to_owned(),
            keyword: keyword.to_owned(),
            kind: "the field `total_cents` is missing".to_owned(),
            source: "openapi.yaml".to_owned(),
            value: None,
        }
    }

    fn judged(breaches: Vec<Breach>) -> Verdict {
        let observed = Observed {
            breaches,
            ..Observed::default()
        };
        judge(&History::default(), &observed)
    }

    #[test]
    fn each_cause_is_a_rule_and_what_keeps_to_it_is_none() {
        assert_eq!(judged(Vec::new()), Verdict::Holds);
        let missing = breach("/total_cents", "missing");
        let status = breach("", "status");
        let Verdict::Violated(found) = judged(vec![missing.clone(), status, missing]) else {
            panic!("it is broken");
        };
        let names: Vec<&str> = found
            .iter()
            .map(|violation| violation.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "read-order 200 /total_cents missing",
                "read-order 200 status"
            ]
        );
        assert_eq!(found[0].rows.len(), 2);
        assert_eq!(
            found[0].says,
            "`read-order` answers 200 as openapi.yaml has it; the field `total_cents` is missing."
        );
    }
}
