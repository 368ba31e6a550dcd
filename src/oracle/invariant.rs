//! SQL invariants: each row that an invariant's query returns is a violation.
//!
//! Sees what the database holds when every call has ended, and nothing that was
//! wrong for a moment and then mended.

use crate::model::history::History;
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name in findings.
pub const NAME: &str = "invariant";

/// Judges the invariants' rows.
pub fn judge(_: &History, observed: &Observed) -> Verdict {
    super::verdict(
        observed
            .invariants
            .iter()
            .filter(|invariant| !invariant.rows.is_empty())
            .map(|invariant| Violation {
                oracle: NAME.to_owned(),
                name: invariant.name.clone(),
                says: invariant.says.clone(),
                rows: invariant.rows.clone(),
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Row;
    use crate::model::observed::InvariantRows;

    #[test]
    fn a_row_is_a_violation_and_no_row_is_none() {
        let observed = |rows: Vec<Row>| Observed {
            invariants: vec![InvariantRows {
                name: "stock".to_owned(),
                says: "stock is never below zero".to_owned(),
                rows,
            }],
            ..Observed::default()
        };
        assert_eq!(
            judge(&History::default(), &observed(Vec::new())),
            Verdict::Holds
        );
        let verdict = judge(&History::default(), &observed(vec![Row::new()]));
        assert!(matches!(verdict, Verdict::Violated(found) if found[0].name == "stock"));
    }
}
