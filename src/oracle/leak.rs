//! Errors that tell a stranger what the service is made of: SQL, the words of a driver
//! or a database, a stack trace in the body of a 5xx.
//!
//! The patterns are those of texts that no API says on purpose. That something failed,
//! and what the client can do about it, leaks nothing.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::json;

use crate::model::Row;
use crate::model::history::{History, Made};
use crate::model::observed::Observed;
use crate::model::verdict::{Verdict, Violation};

/// The oracle's name in findings.
pub const NAME: &str = "leak";

/// What leaks, and by what it is known.
const PATTERNS: [(&str, &str); 4] = [
    (
        "SQL",
        r#"(?x) \b SELECT \s [^;]{1,300}? \s FROM \s+ ["`\w]
         | \b INSERT \s+ INTO \s+ ["`\w]
         | \b UPDATE \s+ ["`\w.]+ \s+ SET \s+ ["`\w]
         | \b DELETE \s+ FROM \s+ ["`\w]"#,
    ),
    (
        "the words of a database",
        r#"(?x) SQLSTATE | SQLITE_[A-Z]{3,}
         | duplicate\ key\ value\ violates\ unique\ constraint
         | violates\ (foreign\ key|check|not-null)\ constraint
         | current\ transaction\ is\ aborted
         | could\ not\ serialize\ access
         | could\ not\ extend\ file
         | canceling\ statement\ due\ to
         | deadlock\ detected
         | too\ many\ clients\ already
         | (relation|column)\ "[^"]*"\ (of\ relation\ "[^"]*"\ )?does\ not\ exist
         | terminating\ connection\ due\ to
         | server\ closed\ the\ connection\ unexpectedly"#,
    ),
    (
        "the words of a driver",
        r"(?x) \b PG::[A-Z] | \b psycopg2?\. | \b asyncpg\. | \b sqlalchemy\. | \b sqlx::
         | \b tokio_postgres:: | \b org\.postgresql\. | \b java\.sql\. | \b org\.hibernate\.
         | \b PDOException | \b ActiveRecord:: | \b SequelizeDatabaseError | \b QueryFailedError
         | \b PrismaClient\w*Error | \b pq:\ | \b pgx\b.*\bSQLSTATE | \b Npgsql\.
         | expected\ to\ read\ \d+\ bytes,\ got\ \d+\ bytes\ at\ EOF",
    ),
    (
        "a stack trace",
        r#"(?xm) ^\s* File\ "[^"\n]+",\ line\ \d+ | Traceback\ \(most\ recent\ call\ last\)
         | \b at\ [\w.$<>]+\([\w$]+\.(java|kt|scala):\d+\)
         | \b at\ [^\n()]*\(?[^\s()]+\.[cm]?[jt]s:\d+:\d+\)?
         | \b thread\ '[^'\n]*'\ (\(\d+\)\ )?panicked\ at | ^\s*\d+:\ [\w:<>]+::\w
         | \b goroutine\ \d+\ \[ | \.go:\d+\ \+0x[0-9a-f]+
         | [\w/]+\.rb:\d+:in\ [`'] | [\w/]+\.php\(\d+\)"#,
    ),
];

static LEAKS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let compiled = PATTERNS.iter();
    compiled
        .filter_map(|(what, pattern)| Some((*what, Regex::new(pattern).ok()?)))
        .collect()
});

/// Judges the bodies of errors.
pub fn judge(history: &History, _: &Observed) -> Verdict {
    super::verdict(super::by_rule(history.calls.iter().filter_map(of)))
}

fn of(call: &Made) -> Option<Violation> {
    let answer = call.answer().filter(|answer| answer.status >= 500)?;
    // A line's end in a JSON text is written as two characters.
    let text = answer.body.replace("\\n", "\n").replace("\\\"", "\"");
    let (what, found) = LEAKS
        .iter()
        .find_map(|(what, leak)| Some((what, leak.find(&text)?)))?;
    let mut row = Row::new();
    row.insert("operation".to_owned(), json!(call.operation));
    row.insert("status".to_owned(), json!(answer.status));
    row.insert("leaks".to_owned(), json!(what));
    row.insert("text".to_owned(), json!(found.as_str().trim()));
    Some(Violation {
        oracle: NAME.to_owned(),
        name: call.operation.clone(),
        says: format!(
            "An error of `{}` tells its client nothing of what the service is made of.",
            call.operation
        ),
        rows: vec![row],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::answered;

    fn leaks(status: u16, body: &str) -> Option<String> {
        let history = History {
            calls: vec![answered("a", None, status, body)],
            ..History::default()
        };
        match judge(&history, &Observed::default()) {
            Verdict::Violated(found) => Some(found[0].rows[0]["leaks"].as_str()?.to_owned()),
            Verdict::Holds | Verdict::Inconclusive(_) => None,
        }
    }

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(LEAKS.len(), PATTERNS.len());
    }

    #[test]
    fn what_no_client_should_see_is_a_leak() {
        for (what, body) in [
            ("SQL", "failed: SELECT id, name FROM users WHERE id = $1"),
            ("SQL", r#"{"error": "INSERT INTO \"orders\" VALUES"}"#),
            ("SQL", "UPDATE products SET stock = stock - 1"),
            ("SQL", "delete: DELETE FROM carts"),
            ("the words of a database", "ERROR: deadlock detected"),
            (
                "the words of a database",
                "SQLSTATE[40001]: Serialization failure",
            ),
            (
                "the words of a database",
                r#"{"e":"duplicate key value violates unique constraint \"orders_pkey\""}"#,
            ),
            (
                "the words of a database",
                r#"relation "users" does not exist"#,
            ),
            ("the words of a driver", "PG::ConnectionBad"),
            (
                "the words of a driver",
                "psycopg.OperationalError: consuming input failed",
            ),
            (
                "the words of a driver",
                "expected to read 5 bytes, got 0 bytes at EOF",
            ),
            ("the words of a driver", "sqlx::Error::PoolTimedOut"),
            (
                "a stack trace",
                "Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in pay",
            ),
            (
                "a stack trace",
                r#"{"stack":"Error: x\n    at pay (/app/server.js:12:7)\n    at next"}"#,
            ),
            (
                "a stack trace",
                "\tat com.shop.Orders.place(Orders.java:41)",
            ),
            ("a stack trace", "thread 'main' panicked at src/main.rs:4:5"),
            ("a stack trace", "goroutine 1 [running]:\nmain.main()"),
            ("a stack trace", "app/models/order.rb:7:in `save'"),
        ] {
            assert_eq!(leaks(500, body).as_deref(), Some(what), "{body}");
        }
    }

    #[test]
    fn an_error_that_says_what_to_do_leaks_nothing() {
        for body in [
            "",
            "Internal Server Error",
            r#"{"error":"the database failed"}"#,
            r#"{"error":"try again with the same key"}"#,
            r#"{"error":"please select an item from the list, and update your cart"}"#,
            r#"{"error":"the payment provider did not answer"}"#,
            "upstream connect error at 12:07:33",
            "<html><head><title>502 Bad Gateway</title></head></html>",
            r#"{"trace_id":"00-4bf92f3577b34da6a3ce929d0e0e4736","at":"2026-01-01T10:00:00Z"}"#,
        ] {
            assert_eq!(leaks(503, body), None, "{body}");
        }
        assert_eq!(
            leaks(422, "INSERT INTO x"),
            None,
            "no error of the server's"
        );
    }
}
