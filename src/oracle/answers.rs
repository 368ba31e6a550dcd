//! What a call's own end says: a status that the target file does not allow, a
//! 5xx, a connection closed without an answer, no answer at all.
//!
//! A 5xx is a violation unless the target file lists it for the operation.

use serde_json::json;

use crate::model::Row;
use crate::model::history::{Ending, History, Made};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name for statuses.
pub const STATUS: &str = "status";
/// The oracle's name for calls that are never answered.
pub const HANG: &str = "hang";
/// The oracle's name for connections that end without an answer.
pub const DROPPED: &str = "dropped";

/// Judges how each call ended.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    let mut violations: Vec<Violation> = Vec::new();
    for violation in history.calls.iter().filter_map(of) {
        match violations
            .iter_mut()
            .find(|known| known.same_rule(&violation))
        {
            Some(known) => known.rows.extend(violation.rows),
            None => violations.push(violation),
        }
    }
    super::verdict(violations)
}

fn of(call: &Made) -> Option<Violation> {
    let operation = &call.operation;
    let (oracle, name, says, facts) = match &call.ending {
        Ending::HungUp => return None,
        Ending::Answered(answer) => {
            let allowed = &call.expected.answers;
            let fine =
                allowed.contains(&answer.status) || (allowed.is_empty() && answer.status < 500);
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
