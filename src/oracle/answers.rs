//! What a call's own end says: a status that the target file does not allow, a
//! 5xx, a connection closed without an answer, no answer at all.
//!
//! A 5xx is a violation unless the target file lists it for the operation.

use serde_json::json;

use crate::model::Row;
use crate::model::history::{Died, Ending, History, Made, Migrated};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name for statuses.
pub const STATUS: &str = "status";
/// The oracle's name for calls that are never answered.
pub const HANG: &str = "hang";
/// The oracle's name for connections that end without an answer.
pub const DROPPED: &str = "dropped";
/// The oracle's name for a service that dies of a fault.
pub const DIED: &str = "died";

/// Judges how each call ended.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    let mut violations = super::by_rule(history.calls.iter().filter_map(of));
    let migration = history.migration.as_ref();
    violations.extend(history.died.as_ref().map(|died| of_death(died, migration)));
    super::verdict(violations)
}

/// A call may fail of a fault, or of a migration; the process that serves all the others
/// may not.
fn of_death(died: &Died, migration: Option<&Migrated>) -> Violation {
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(died.operation));
    row.insert("why".to_owned(), json!(died.why));
    Violation {
        oracle: DIED.to_owned(),
        name: died.operation.clone(),
        says: match migration {
            None => format!(
                "The service outlives a fault that strikes `{}`.",
                died.operation
            ),
            Some(migration) => format!("The service outlives the migration `{}`.", migration.name),
        },
        rows: vec![row],
    }
}

/// An error that a fault has caused says nothing against the service.
fn of_a_fault(call: &Made) -> bool {
    call.struck
        && match &call.ending {
            Ending::Answered(answer) => answer.status >= 500,
            Ending::HungUp | Ending::NoAnswer { .. } | Ending::Dropped(_) => true,
        }
}

fn of(call: &Made) -> Option<Violation> {
    if of_a_fault(call) {
        return None;
    }
    let operation = &call.operation;
    let (oracle, name, says, facts) = match &call.ending {
        Ending::HungUp => return None,
        Ending::Answered(answer) => {
            let allowed = &call.expected.answers;
            // However a service says that a request is wrong, it has said so.
            let refused = call.expected.spoiled.is_some() && (400..500).contains(&answer.status);
            let fine = refused
                || allowed.contains(&answer.status)
                || (allowed.is_empty() && answer.status < 500);
            if fine {
                return None;
            }
            let says = if answer.status >= 500 {
                format!("`{operation}` never answers with an error of the server.")
            } else {
                let allowed: Vec<String> = allowed.iter().map(u16::to_string).collect();
                format!("`{operation}` answers one of {}.", allowed.join(", "))
            };
            let facts = [
                ("status", json!(answer.status)),
                ("body", json!(answer.body)),
            ];
            (
                STATUS,
                format!("{operation} {}", answer.status),
                says,
                facts.to_vec(),
            )
        }
        Ending::NoAnswer { within_ms } => (
            HANG,
            operation.clone(),
            format!(
                "`{operation}` is answered within {within_ms} ms; it was not (a deadlock, or a hang)."
            ),
            vec![("waited_ms", json!(within_ms))],
        ),
        Ending::Dropped(why) => (
            DROPPED,
            operation.clone(),
            format!("`{operation}` is answered; the service closed the connection instead."),
            vec![("why", json!(why))],
        ),
    };
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(operation));
    row.extend(
        facts
            .into_iter()
            .map(|(name, fact)| (name.to_owned(), fact)),
    );
    Some(Violation {
        oracle: oracle.to_owned(),
        name,
        says,
        rows: vec![row],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{answered, made};

    fn judged(call: Made) -> Option<String> {
        match judge(
            &History {
                calls: vec![call],
                ..History::default()
            },
            &Observed::default(),
        ) {
            Verdict::Holds => None,
            Verdict::Violated(found) => Some(found[0].oracle.clone()),
            Verdict::Inconclusive(why) => panic!("{why}"),
        }
    }

    #[test]
    fn each_bad_end_has_its_own_name() {
        assert_eq!(judged(answered("a", None, 200, "")), None);
        assert_eq!(judged(answered("a", None, 404, "")), None);
        assert_eq!(
            judged(answered("a", None, 500, "")).as_deref(),
            Some(STATUS)
        );
        let never = Ending::NoAnswer { within_ms: 10 };
        assert_eq!(judged(made("a", None, never)).as_deref(), Some(HANG));
        let dropped = Ending::Dropped("reset".to_owned());
        assert_eq!(judged(made("a", None, dropped)).as_deref(), Some(DROPPED));
        assert_eq!(judged(made("a", None, Ending::HungUp)), None);
    }

    #[test]
    fn an_error_of_a_struck_call_is_the_faults_and_an_answer_is_its_own() {
        let struck = |ending| Made {
            struck: true,
            ..made("a", None, ending)
        };
        let never = Ending::NoAnswer { within_ms: 10 };
        assert_eq!(judged(struck(never)), None);
        assert_eq!(judged(struck(Ending::Dropped("reset".to_owned()))), None);
        let mut failed = answered("a", None, 500, "");
        failed.struck = true;
        assert_eq!(judged(failed), None);
        let mut odd = answered("a", None, 404, "");
        (odd.struck, odd.expected.answers) = (true, vec![200]);
        assert_eq!(judged(odd).as_deref(), Some(STATUS));
    }

    #[test]
    fn a_service_that_dies_of_a_fault_is_told() {
        let history = History {
            died: Some(Died {
                operation: "pay".to_owned(),
                why: "exit status: 1".to_owned(),
            }),
            ..History::default()
        };
        match judge(&history, &Observed::default()) {
            Verdict::Violated(found) => assert_eq!(
                (found[0].oracle.as_str(), found[0].name.as_str()),
                (DIED, "pay")
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_target_files_statuses_decide() {
        let mut call = answered("a", None, 404, "");
        call.expected.answers = vec![201];
        assert_eq!(judged(call.clone()).as_deref(), Some(STATUS));
        call.expected.answers.push(404);
        assert_eq!(judged(call), None);
        let mut unavailable = answered("a", None, 503, "");
        unavailable.expected.answers = vec![503];
        assert_eq!(judged(unavailable), None);
    }
}
