//! Who may not, does not: a call that the target file allows to somebody else alone is
//! denied, by a status that says so, changes no row and shows no field of one; and a list
//! shows only what its caller may see.
//!
//! What is allowed was asked before the race and after it. Where the two differ, some call
//! has granted or revoked it meanwhile, and either answer may be right.

use serde_json::{Value, json};

use crate::model::Row;
use crate::model::history::{Access, Answer, History, Made};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name.
pub const NAME: &str = "authorization";

/// A text that is shorter stands in many answers by chance.
const SHORTEST_SECRET: usize = 4;

/// The statuses that say that the caller is not let in; 404 says less.
const SHUT_OUT: [u16; 2] = [401, 403];

/// Judges each call of which the file says who may make it.
pub fn judge(history: &History, observed: &Observed) -> Verdict {
    let found = history.calls.iter().flat_map(|call| of(call, observed));
    super::verdict(super::by_rule(found))
}

fn of(call: &Made, observed: &Observed) -> Vec<Violation> {
    let (Some(access), Some(answer)) = (&call.expected.access, call.answer()) else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    let operation = &call.operation;
    if !access.strangers.is_empty() {
        let rows = access.strangers.iter().map(|row| {
            let mut facts = facts(call, access, answer);
            facts.insert("shown".to_owned(), row.clone());
            facts
        });
        violations.push(Violation {
            oracle: NAME.to_owned(),
            name: format!("{operation} shows"),
            says: format!("`{operation}` shows only the rows that its caller may see."),
            rows: rows.collect(),
        });
    }
    if access.is_denied() {
        violations.extend(denied(call, access, answer, observed));
    } else if access.before && access.after && SHUT_OUT.contains(&answer.status) {
        let allows_it = call.expected.answers.contains(&answer.status);
        if !allows_it && !call.struck && call.expected.spoiled.is_none() {
            violations.push(Violation {
                oracle: NAME.to_owned(),
                name: format!("{operation} {} for who may", answer.status),
                says: format!("`{operation}` lets in who may call it."),
                rows: vec![facts(call, access, answer)],
            });
        }
    }
    violations
}

/// What is wrong with how a call was denied.
fn denied(call: &Made, access: &Access, answer: &Answer, observed: &Observed) -> Vec<Violation> {
    let operation = &call.operation;
    let violation = |rule: &str, says: String, rows: Vec<Row>| Violation {
        oracle: NAME.to_owned(),
        name: format!("{operation} {rule}"),
        says,
        rows,
    };
    let mut violations = Vec::new();
    let is_denied = access.denied.contains(&answer.status);
    // What is wrong with a request as well may be said first; a fault has its own errors.
    let says_else = (400..500).contains(&answer.status) && call.expected.spoiled.is_some();
    let fails = answer.status >= 500;
    if !is_denied && !says_else && !fails {
        let statuses: Vec<String> = access.denied.iter().map(u16::to_string).collect();
        let says = format!(
            "`{operation}` is denied to who may not call it, with {}.",
            statuses.join(" or ")
        );
        let rule = if call.succeeded {
            "denied".to_owned()
        } else {
            format!("denied with {}", answer.status)
        };
        violations.push(violation(&rule, says, vec![facts(call, access, answer)]));
    }
    if !call.succeeded && !observed.changes.is_empty() {
        let says = format!("A call of `{operation}` that is denied changes no row.");
        violations.push(violation("changes", says, observed.changes.clone()));
    }
    let leaked = leaked(call, access, answer);
    if is_denied && !leaked.is_empty() {
        let says = format!("A call of `{operation}` that is denied shows nothing of the row.");
        let mut row = facts(call, access, answer);
        row.insert("leaked".to_owned(), json!(leaked));
        violations.push(violation("leaks", says, vec![row]));
    }
    violations
}

/// The fields of the denied row that an answer shows, by name.
fn leaked<'a>(call: &Made, access: &'a Access, answer: &Answer) -> Vec<&'a str> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let sent = format!("{} {}", call.request.path, call.request.body);
    let fields = access.secrets.iter().filter(|(name, value)| {
        // What the client has said itself is no secret.
        let is_new = |text: &str| !stands(&sent, text);
        let text = value.as_str().filter(|text| text.len() >= SHORTEST_SECRET);
        let by_text = text.is_some_and(|text| stands(&answer.body, text) && is_new(text));
        is_telling(value) && holds(&body, name, value) || by_text
    });
    fields.map(|(name, _)| name.as_str()).collect()
}

/// Whether a value says something: nothing, no and none stand in many answers.
fn is_telling(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Whether some words stand in a text, and not as a part of longer ones.
fn stands(text: &str, words: &str) -> bool {
    let is_word = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !is_word(before) && !is_word(after)
    })
}

/// Whether a field of this name and value stands anywhere in an answer.
fn holds(body: &Value, name: &str, value: &Value) -> bool {
    match body {
        Value::Object(fields) => {
            fields.get(name) == Some(value)
                || fields.values().any(|inner| holds(inner, name, value))
        }
        Value::Array(items) => items.iter().any(|inner| holds(inner, name, value)),
        _ => false,
    }
}

fn facts(call: &Made, access: &Access, answer: &Answer) -> Row {
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(call.operation));
    row.insert("caller".to_owned(), json!(access.actor));
    let line = format!("{} {}", call.request.method, call.request.path);
    row.insert("request".to_owned(), json!(line));
    row.insert("status".to_owned(), json!(answer.status));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::answered;

    fn access(before: bool, after: bool) -> Access {
        Access {
            actor: "eve".to_owned(),
            before,
            after,
            denied: vec![404],
            ..Access::default()
        }
    }

    fn judged(status: u16, body: &str, access: Access, changes: Vec<Row>) -> Vec<String> {
        let mut call = answered("read", None, status, body);
        call.expected.access = Some(access);
        let history = History {
            calls: vec![call],
            ..History::default()
        };
        let observed = Observed {
            changes,
            ..Observed::default()
        };
        match judge(&history, &observed) {
            Verdict::Holds => Vec::new(),
            Verdict::Violated(found) => found.into_iter().map(|one| one.name).collect(),
            Verdict::Inconclusive(why) => panic!("{why}"),
        }
    }

    #[test]
    fn who_may_not_is_denied_as_the_file_says() {
        let none = Vec::new;
        assert_eq!(
            judged(200, "{}", access(false, false), none()),
            ["read denied"]
        );
        let wrong = judged(409, "{}", access(false, false), none());
        assert_eq!(wrong, ["read denied with 409"]);
        assert!(judged(404, "{}", access(false, false), none()).is_empty());
        assert!(judged(200, "{}", access(true, true), none()).is_empty());
    }

    #[test]
    fn what_is_granted_or_revoked_meanwhile_may_be_answered_either_way() {
        for (before, after) in [(true, false), (false, true)] {
            assert!(judged(200, "{}", access(before, after), Vec::new()).is_empty());
            assert!(judged(404, "{}", access(before, after), Vec::new()).is_empty());
        }
    }

    #[test]
    fn who_may_is_let_in() {
        let shut_out = judged(403, "{}", access(true, true), Vec::new());
        assert_eq!(shut_out, ["read 403 for who may"]);
        assert!(judged(404, "{}", access(true, true), Vec::new()).is_empty());
    }

    #[test]
    fn a_denied_call_changes_nothing_and_shows_nothing() {
        let mut secret = access(false, false);
        secret.secrets = json!({"note": "ring twice", "total": 7})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let leaks = ["read leaks"];
        assert_eq!(
            judged(
                404,
                r#"{"error":"not ring twice"}"#,
                secret.clone(),
                Vec::new()
            ),
            leaks
        );
        assert_eq!(
            judged(404, r#"{"row":{"total":7}}"#, secret.clone(), Vec::new()),
            leaks
        );
        assert!(judged(404, r#"{"error":"7"}"#, secret.clone(), Vec::new()).is_empty());
        let part = r#"{"error":"they ring twice-told"}"#;
        assert_eq!(judged(404, part, secret.clone(), Vec::new()), leaks);
        let longer = r#"{"error":"string twicely"}"#;
        assert!(judged(404, longer, secret.clone(), Vec::new()).is_empty());
        secret.secrets = json!({"error": null, "open": false, "left": 0})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let nothing = r#"{"error":null,"open":false,"left":0}"#;
        assert!(judged(404, nothing, secret, Vec::new()).is_empty());
        let changed = judged(404, "{}", access(false, false), vec![Row::new()]);
        assert_eq!(changed, ["read changes"]);
    }

    #[test]
    fn a_list_shows_what_its_caller_may_see() {
        let mut sees = access(true, true);
        sees.strangers = vec![json!(7)];
        assert_eq!(judged(200, "[7]", sees, Vec::new()), ["read shows"]);
    }
}
