//! How many statements a call may need: as many as the target file says, and on many rows
//! no more than on few. A statement for each row that another has found (N+1) is named.
//!
//! Judged where a call is alone: in a race it may have to try again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::Row;
use crate::model::history::{History, Made};
use crate::model::observed::Observed;
use crate::model::step::{Action, Step};
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name.
pub const NAME: &str = "budget";

/// What begins and ends transactions, and sets up connections, is no statement of the
/// call's: these are their first words.
const NOT_COUNTED: [&str; 10] = [
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "END",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "DISCARD",
    "DEALLOCATE",
];

/// The statements among steps that count, in order.
pub fn statements(steps: &[Step]) -> Vec<String> {
    let counted = |statement: &&String| {
        let first = statement.split_whitespace().next().unwrap_or_default();
        let first = first.trim_end_matches(';').to_ascii_uppercase();
        !NOT_COUNTED.contains(&first.as_str())
    };
    let of = |step: &Step| match &step.action {
        Action::Sql { statement, .. } => Some(statement.clone()),
        Action::Begin | Action::ThirdParty { .. } => None,
    };
    let all: Vec<String> = steps.iter().filter_map(of).collect();
    all.iter().filter(counted).cloned().collect()
}

/// Judges the only call of a round.
pub fn judge(history: &History, observed: &Observed) -> Verdict {
    let [call] = history.calls.as_slice() else {
        return Verdict::Holds;
    };
    // Beside a migration it is not alone.
    if call.struck || history.steps.is_empty() || history.migration.is_some() {
        return Verdict::Holds;
    }
    let statements = statements(&history.steps);
    let on_few = observed.on_few_rows.as_ref();
    let found = match on_few {
        Some(few) => grown(call, few, &statements),
        None => too_many(call, &statements),
    };
    super::verdict(found.into_iter().collect())
}

fn too_many(call: &Made, statements: &[String]) -> Option<Violation> {
    let most = call.expected.max_statements?;
    let operation = &call.operation;
    (statements.len() > most).then(|| Violation {
        oracle: NAME.to_owned(),
        name: operation.clone(),
        says: format!(
            "`{operation}` needs no more than {most} statements; it needs {}.",
            statements.len()
        ),
        rows: repeated(statements),
    })
}

/// On many rows it needs more statements than on few.
fn grown(call: &Made, few: &[String], many: &[String]) -> Option<Violation> {
    if !call.succeeded {
        return None;
    }
    let operation = &call.operation;
    let before = counts(few);
    let mut rows: Vec<(usize, Row)> = counts(many)
        .into_iter()
        .filter_map(|(statement, times)| {
            let few = before.get(&statement).copied().unwrap_or(0);
            // What is asked once, for there is something to ask about, is no growth.
            let more = times.checked_sub(few.max(1)).filter(|more| *more > 0)?;
            let mut row = Row::new();
            row.insert("statement".to_owned(), json!(statement));
            row.insert("on_few_rows".to_owned(), json!(few));
            row.insert("on_many_rows".to_owned(), json!(times));
            Some((more, row))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    rows.sort_by_key(|(more, _)| std::cmp::Reverse(*more));
    Some(Violation {
        oracle: NAME.to_owned(),
        name: format!("{operation} grows"),
        says: format!(
            "`{operation}` needs no more statements on many rows than on few; it needs {} instead of {}.",
            many.len(),
            few.len()
        ),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    })
}

/// Statements that come more than once, with how often; if none does, all.
fn repeated(statements: &[String]) -> Vec<Row> {
    let counts = counts(statements);
    let most = counts.values().copied().max().unwrap_or(0);
    let shown = counts
        .into_iter()
        .filter(|(_, times)| most < 2 || *times > 1);
    let row = |(statement, times): (String, usize)| {
        let mut row = Row::new();
        row.insert("statement".to_owned(), json!(statement));
        row.insert("times".to_owned(), json!(times));
        row
    };
    shown.map(row).collect()
}

/// How often each statement comes, whatever the values in it.
fn counts(statements: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for statement in statements {
        *counts.entry(without_values(statement)).or_default() += 1;
    }
    counts
}

/// A statement with its white space made one and with `?` for numbers and texts.
fn without_values(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len());
    let mut characters = statement.chars().peekable();
    let mut last = ' ';
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                for inner in characters.by_ref() {
                    if inner == '\'' {
                        break;
                    }
                }
                text.push('?');
            }
            digit if digit.is_ascii_digit() && !(last.is_alphanumeric() || "_$".contains(last)) => {
                while characters
                    .next_if(|next| next.is_ascii_digit() || *next == '.')
                    .is_some()
                {}
                text.push('?');
            }
            space if space.is_whitespace() => {
                if !text.ends_with(' ') {
                    text.push(' ');
                }
            }
            other => text.push(other),
        }
        last = character;
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::Migrated;
    use crate::oracle::testing::answered;

    fn steps(statements: &[&str]) -> Vec<Step> {
        let step = |statement: &&str| Step {
            call: 0,
            action: Action::Sql {
                statement: (*statement).to_owned(),
                parameters: Vec::new(),
                short: String::new(),
            },
            accesses: Vec::new(),
        };
        statements.iter().map(step).collect()
    }

    fn judged(max: Option<usize>, few: Option<&[&str]>, made: &[&str]) -> Option<Violation> {
        let mut call = answered("list", None, 200, "[]");
        call.expected.max_statements = max;
        let history = History {
            calls: vec![call],
            steps: steps(made),
            ..History::default()
        };
        let observed = Observed {
            on_few_rows: few.map(|few| statements(&steps(few))),
            ..Observed::default()
        };
        match judge(&history, &observed) {
            Verdict::Holds => None,
            Verdict::Violated(found) => found.into_iter().next(),
            Verdict::Inconclusive(why) => panic!("{why}"),
        }
    }

    #[test]
    fn transactions_own_statements_are_not_counted() {
        let made = ["BEGIN", "SELECT 1", "commit;", "SELECT 2"];
        assert_eq!(judged(Some(2), None, &made), None);
        let found = judged(Some(1), None, &made).map(|found| found.name);
        assert_eq!(found.as_deref(), Some("list"));
    }

    #[test]
    fn a_migrations_statements_are_not_the_calls() {
        let mut call = answered("list", None, 200, "[]");
        call.expected.max_statements = Some(1);
        let history = History {
            calls: vec![call],
            steps: steps(&["SELECT 1", "ALTER TABLE t ADD COLUMN c INT"]),
            migration: Some(Migrated::default()),
            ..History::default()
        };
        assert_eq!(judge(&history, &Observed::default()), Verdict::Holds);
    }

    #[test]
    fn a_statement_for_each_row_is_named() {
        let few = ["SELECT * FROM a", "SELECT * FROM b WHERE id = 1"];
        let many = [
            "SELECT * FROM a",
            "SELECT * FROM b WHERE id = 1",
            "SELECT * FROM b  WHERE id = 22",
            "SELECT * FROM b WHERE id = 33",
        ];
        let found = judged(None, Some(&few), &many);
        let rows = found.map(|found| found.rows).unwrap_or_default();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["statement"], json!("SELECT * FROM b WHERE id = ?"));
        assert_eq!(
            (&rows[0]["on_few_rows"], &rows[0]["on_many_rows"]),
            (&json!(1), &json!(3))
        );
    }

    #[test]
    fn as_many_statements_on_many_rows_are_right() {
        let few = ["SELECT * FROM a", "SELECT * FROM b WHERE id IN (1)"];
        let many = ["SELECT * FROM a", "SELECT * FROM b WHERE id IN (1, 2, 3)"];
        assert_eq!(judged(None, Some(&few), &many), None);
    }

    #[test]
    fn a_statement_for_what_was_not_there_before_is_right() {
        let few = ["SELECT * FROM a"];
        let many = ["SELECT * FROM a", "SELECT * FROM b WHERE id IN (1, 2)"];
        assert_eq!(judged(None, Some(&few), &many), None);
    }

    #[test]
    fn names_and_parameters_keep_their_digits() {
        assert_eq!(
            without_values("SELECT a1 FROM t2\n WHERE x = $1 AND y = 1.5"),
            "SELECT a1 FROM t2 WHERE x = $1 AND y = ?"
        );
        assert_eq!(without_values("SELECT 'it''s' AS b"), "SELECT ?? AS b");
    }
}
