//! One side effect for each idempotency key.
//!
//! Counts what the target file's `once` rules found for each key that the race
//! used. A key without any effect is no violation here: its call may have been
//! refused.

use crate::model::history::History;
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name in findings.
pub const NAME: &str = "once";

/// Judges the side effects of each key.
pub fn judge(_: &History, observed: &Observed) -> Verdict {
    super::verdict(
        observed
            .effects
            .iter()
            .filter(|effects| effects.rows.len() > 1)
            .map(|effects| Violation {
                oracle: NAME.to_owned(),
                name: effects.operation.clone(),
                says: format!(
                    "One idempotency key of `{}` causes its side effect once, however often it is sent.",
                    effects.operation
                ),
                rows: effects.rows.clone(),
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Row;
    use crate::model::observed::Effects;

    #[test]
    fn two_effects_of_one_key_are_a_violation_and_one_is_none() {
        let observed = |count: usize| Observed {
            effects: vec![Effects {
                operation: "pay".to_owned(),
                key: "k".to_owned(),
                rows: vec![Row::new(); count],
            }],
            ..Observed::default()
        };
        let history = History::default();
        assert_eq!(judge(&history, &observed(0)), Verdict::Holds);
        assert_eq!(judge(&history, &observed(1)), Verdict::Holds);
        assert!(matches!(
            judge(&history, &observed(2)),
            Verdict::Violated(_)
        ));
    }
}
