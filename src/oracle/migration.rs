//! A migration runs while calls are under way: that it fails is what those who deploy it
//! see, whatever the calls come to.

use serde_json::json;

use crate::model::Row;
use crate::model::history::History;
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name in findings.
pub const NAME: &str = "migration";

/// Judges how the migration ended. One that lost against others for a lock is tried again
/// by whoever runs it: of such a round nothing is known.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    let Some(migration) = &history.migration else {
        return Verdict::Holds;
    };
    let name = &migration.name;
    match &migration.error {
        None => Verdict::Holds,
        Some(why) if migration.again => Verdict::Inconclusive(format!(
            "the migration `{name}` has to be tried again: {why}"
        )),
        Some(why) => {
            let mut row = Row::new();
            row.insert("failed".to_owned(), json!(why));
            Verdict::Violated(vec![Violation {
                oracle: NAME.to_owned(),
                name: name.clone(),
                says: format!("The migration `{name}` runs while calls are under way."),
                rows: vec![row],
            }])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::Migrated;

    #[test]
    fn one_that_fails_is_a_violation_unless_it_is_tried_again() {
        let judged = |error: Option<&str>, again| {
            let history = History {
                migration: Some(Migrated {
                    name: "note".to_owned(),
                    error: error.map(str::to_owned),
                    again,
                }),
                ..History::default()
            };
            judge(&history, &Observed::default())
        };
        assert_eq!(judged(None, false), Verdict::Holds);
        assert!(matches!(
            judged(Some("deadlock detected"), true),
            Verdict::Inconclusive(_)
        ));
        match judged(Some("no such table"), false) {
            Verdict::Violated(found) => assert_eq!(found[0].name, "note"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            judge(&History::default(), &Observed::default()),
            Verdict::Holds
        );
    }
}
