//! Comments: what services write beside their SQL (sqlcommenter, Rails' query log
//! tags), which is another text each time and no part of the statement.

use std::borrow::Cow;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer, Whitespace};

/// A text without its `/* comments */`, and what these say, together. A text that is
/// not understood is taken to have none.
pub fn uncommented(sql: &str) -> (Cow<'_, str>, String) {
    let mut comments = String::new();
    if !sql.contains("/*") {
        return (Cow::Borrowed(sql), comments);
    }
    let tokenizer = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    let Ok(tokens) = tokenizer else {
        return (Cow::Borrowed(sql), comments);
    };
    let mut plain = String::with_capacity(sql.len());
    let mut from = 0;
    for token in tokens {
        let Token::Whitespace(Whitespace::MultiLineComment(comment)) = token.token else {
            continue;
        };
        comments.push_str(&comment);
        plain.push_str(
            sql.get(from..place(sql, token.span.start))
                .unwrap_or_default(),
        );
        from = place(sql, token.span.end);
        // It may be all that stands between two words.
        if !plain.is_empty() && !plain.ends_with(char::is_whitespace) {
            plain.push(' ');
        }
    }
    plain.push_str(sql.get(from..).unwrap_or_default());
    (Cow::Owned(plain.trim().to_owned()), comments)
}

/// Where a location, which counts lines and characters from 1, is in a text.
fn place(sql: &str, at: Location) -> usize {
    let index = |number: u64| {
        usize::try_from(number)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
    };
    let mut lines = sql.split_inclusive('\n');
    let before: usize = lines.by_ref().take(index(at.line)).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    let mut places = line.char_indices().map(|(place, _)| place);
    before + places.nth(index(at.column)).unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_told_apart_from_what_only_looks_like_them() {
        let plain = |sql: &str| {
            let (plain, comments) = uncommented(sql);
            (plain.into_owned(), comments)
        };
        let apart = |sql: &str, comments: &str| (sql.to_owned(), comments.to_owned());
        assert_eq!(
            plain("SELECT 1 /*traceparent='00-5b-c5-01'*/"),
            apart("SELECT 1", "traceparent='00-5b-c5-01'")
        );
        assert_eq!(
            plain("/*a*/ SELECT/*b*/1; /* c /* d */ */ SELECT 2 /*e*/;"),
            apart("SELECT 1;  SELECT 2 ;", "ab c /* d */ e")
        );
        for same in [
            "SELECT 'é\n/* no */', \"/*\", $$/* no */$$, $a$/* no */$a$",
            "SELECT E'it\\'s /* no */', 'it''s', \"a\"\"b\", U&'\\0061' -- /* no */",
            "SELECT 1 WHERE a @> '{}' AND b ->> 'c' = $1::text /",
        ] {
            assert_eq!(plain(same), apart(same, ""));
            assert_eq!(
                plain(&format!("/*yes*/{same}\n/*yes*/")),
                apart(same, "yesyes")
            );
        }
        let broken = "SELECT 'never ended /* no */";
        assert_eq!(plain(broken), apart(broken, ""));
    }
}
