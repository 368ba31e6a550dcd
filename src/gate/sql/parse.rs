//! From a text to its statements, each parsed once. Knows what a statement is,
//! and nothing of tables.
//!
//! The parser is `sqlparser`; what it does not take, or what is told sooner by the
//! first words, is told here from the tokens.

use sqlparser::ast::{ObjectName, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::End;

/// How deep expressions may nest; object-relational mappers love parentheses.
const DEEPEST: usize = 300;

/// Chains of operators are as deep as they are long once they are parsed, and all
/// that is deep costs stack.
const LONGEST_CHAIN: usize = 5000;

const DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// One statement of a text.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Nothing that another session could notice.
    Harmless,
    /// Makes transactions read what was there when they began to.
    Snapshot,
    /// The end of a transaction.
    Ends(End),
    /// Reads what cannot be told.
    ReadsAnything,
    /// `COPY` into a table.
    CopyIn(ObjectName),
    /// `COPY` out of a table.
    CopyOut(ObjectName),
    /// A statement that is looked into.
    Statement(Box<Statement>),
    /// May do whatever it likes.
    Unknown,
}

/// The statements of a text.
pub(super) fn pieces(sql: &str) -> Vec<Piece> {
    let Ok(tokens) = Tokenizer::new(&DIALECT, sql).tokenize_with_location() else {
        return vec![Piece::Unknown];
    };
    // White space holds the comments as well.
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|tokens| !tokens.is_empty())
        .map(piece)
        .collect()
}

/// Whether a token is this word, not in quotes.
fn is(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(word))
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

fn piece(tokens: &[TokenWithSpan]) -> Piece {
    let first = match tokens.first().map(|token| &token.token) {
        Some(Token::Word(word)) => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let second = |word: &str| is(tokens.get(1), word);
    match first.as_str() {
        // Checks at once what was put off, in tables that are not named here.
        "SET" if second("CONSTRAINTS") => Piece::ReadsAnything,
        "PREPARE" if second("TRANSACTION") => Piece::Ends(End::Commit),
        // Another session's transaction.
        "COMMIT" | "ROLLBACK" if second("PREPARED") => Piece::Unknown,
        "COMMIT" | "END" => Piece::Ends(End::Commit),
        // To a savepoint it ends nothing.
        "ROLLBACK" | "ABORT" if !tokens.iter().any(|token| is(Some(token), "TO")) => {
            Piece::Ends(End::Rollback)
        }
        "BEGIN" | "START" | "SET" if tokens.iter().any(is_snapshot) => Piece::Snapshot,
        // What is prepared is done by EXECUTE.
        "BEGIN" | "START" | "SAVEPOINT" | "RELEASE" | "ROLLBACK" | "ABORT" | "SET" | "SHOW"
        | "RESET" | "DISCARD" | "PREPARE" | "DEALLOCATE" | "LISTEN" | "UNLISTEN" | "NOTIFY"
        | "CLOSE" => Piece::Harmless,
        // A cursor reads what was there when it was declared, but locks as it goes.
        "FETCH" | "MOVE" => Piece::ReadsAnything,
        "DECLARE" => match tokens.iter().position(|token| is(Some(token), "FOR")) {
            Some(at) => statement(&tokens[at + 1..]),
            None => Piece::Unknown,
        },
        "COPY" => copy(tokens),
        _ => statement(tokens),
    }
}

/// Whether a token names an isolation level under which a transaction reads as of its
/// first statement.
fn is_snapshot(token: &TokenWithSpan) -> bool {
    let level = match &token.token {
        Token::Word(word) => &word.value,
        Token::SingleQuotedString(text) => text,
        _ => return false,
    };
    is_snapshot_level(level)
}

/// Whether `REPEATABLE READ`, or a word of it, is such a level.
pub fn is_snapshot_level(level: &str) -> bool {
    let level = level.to_ascii_lowercase();
    level.starts_with("repeatable") || level == "serializable"
}

fn copy(tokens: &[TokenWithSpan]) -> Piece {
    let rest = &tokens[1..];
    if rest.first().map(|token| &token.token) == Some(&Token::LParen) {
        let mut depth = 0_usize;
        let close = rest.iter().position(|token| {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        return close.map_or(Piece::Unknown, |close| statement(&rest[1..close]));
    }
    let direction = rest
        .iter()
        .position(|token| is(Some(token), "FROM") || is(Some(token), "TO"));
    let (Some(direction), Ok(name)) = (direction, parser(rest.to_vec()).parse_object_name(false))
    else {
        return Piece::Unknown;
    };
    if is(rest.get(direction), "FROM") {
        Piece::CopyIn(name)
    } else {
        Piece::CopyOut(name)
    }
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&DIALECT)
        .with_recursion_limit(DEEPEST)
        .with_tokens_with_locations(tokens)
}

fn statement(tokens: &[TokenWithSpan]) -> Piece {
    let joins = |token: &&TokenWithSpan| match token.token {
        Token::Word(_) => ["AND", "OR", "UNION", "EXCEPT", "INTERSECT"]
            .iter()
            .any(|word| is(Some(token), word)),
        // These stand beside values, and make nothing deeper.
        Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::Eq
        | Token::DoubleColon
        | Token::LBracket
        | Token::RBracket
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_) => false,
        _ => true,
    };
    if tokens.iter().filter(joins).count() > LONGEST_CHAIN {
        return Piece::Unknown;
    }
    let mut parser = parser(plain_locks(tokens));
    let Ok(statement) = parser.parse_statement() else {
        return Piece::Unknown;
    };
    if parser.peek_token().token == Token::EOF {
        Piece::Statement(Box::new(statement))
    } else {
        Piece::Unknown
    }
}

/// Row locks as the parser knows them: two strengths, and of one table or of all.
/// What is left out makes a lock stronger, never weaker.
fn plain_locks(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut plain = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        plain.push(token.clone());
        at += 1;
        if !is(Some(token), "FOR") {
            continue;
        }
        let next = |by: usize| tokens.get(at + by);
        if is(next(0), "NO") && is(next(1), "KEY") && is(next(2), "UPDATE") {
            at += 2;
        } else if is(next(0), "KEY") && is(next(1), "SHARE") {
            at += 1;
        }
        let strength = tokens.get(at);
        if !(is(strength, "UPDATE") || is(strength, "SHARE")) {
            continue;
        }
        plain.extend(strength.cloned());
        at += 1;
        if is(tokens.get(at), "OF") {
            let names = &tokens[at..];
            let ends = |token: &TokenWithSpan| {
                ["NOWAIT", "SKIP", "FOR", "LIMIT", "OFFSET"]
                    .iter()
                    .any(|word| is(Some(token), word))
                    || token.token == Token::RParen
            };
            let length = names.iter().position(ends).unwrap_or(names.len());
            if names[..length]
                .iter()
                .any(|token| token.token == Token::Comma)
            {
                at += length;
            }
        }
    }
    plain
}

/// The tokens of a text, without white space and comments.
pub(super) fn words(sql: &str) -> Option<Vec<Token>> {
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize().ok()?;
    let solid = |token: &Token| !matches!(token, Token::Whitespace(_));
    Some(tokens.into_iter().filter(solid).collect())
}

/// A text with its parameters numbered on by so many, as it stands behind others. One
/// that cannot be read stays as it is: nobody can tell what it does.
pub(in crate::gate) fn numbered_on(sql: &str, by: usize) -> String {
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
    let mut numbers = tokens.unwrap_or_default().into_iter().filter_map(|token| {
        let Token::Placeholder(name) = &token.token else {
            return None;
        };
        let number: usize = name.strip_prefix('$')?.parse().ok()?;
        Some((token.span.start, name.len(), number))
    });
    let mut next = numbers.next();
    let mut told = String::with_capacity(sql.len() + 8);
    let (mut line, mut column, mut passed_over) = (1, 1, 0);
    for character in sql.chars() {
        if let Some((start, length, number)) = next
            && (start.line, start.column) == (line, column)
        {
            told.push('$');
            told += &(number + by).to_string();
            passed_over = length;
            next = numbers.next();
        }
        if passed_over > 0 {
            passed_over -= 1;
        } else {
            told.push(character);
        }
        (line, column) = match character {
            '\n' => (line + 1, 1),
            _ => (line, column + 1),
        };
    }
    told
}

/// An expression as the database's catalog writes it.
pub(super) fn expression(sql: &str) -> Option<sqlparser::ast::Expr> {
    let mut parser = Parser::new(&DIALECT).try_with_sql(sql).ok()?;
    let expression = parser.parse_expr().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(expression)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sql::{Catalog, Meaning, meaning, short};

    #[test]
    fn long_chains_and_deep_nests_cost_no_stack() {
        let told = |sql: &str| {
            short(sql, &[]);
            meaning(sql, &[], &Catalog::default())
        };
        let anything = told("CALL anything()");
        for join in [
            "AND",
            "OR",
            "+",
            "||",
            "%",
            "UNION SELECT a FROM t WHERE a =",
        ] {
            let chain = |length| vec!["a"; length].join(&format!(" {join} "));
            let sql = |length| format!("SELECT 1 FROM pg_class WHERE {}", chain(length));
            assert_ne!(told(&sql(LONGEST_CHAIN)), anything, "{join}");
            assert_eq!(told(&sql(LONGEST_CHAIN + 2)), anything, "{join}");
        }
        let deep = format!("SELECT {}1{}", "(".repeat(2000), ")".repeat(2000));
        assert_eq!(told(&deep), anything);
        let rows = vec!["(1, 'a', $1::text)"; 5000].join(", ");
        let rows = format!("SELECT 1 FROM (VALUES {rows}) v");
        assert_eq!(told(&rows), Meaning::Nothing);
    }

    #[test]
    fn parameters_are_numbered_on_and_nothing_else_is() {
        let sql = "SELECT '☃ $1', $1,\n a$2, $2::int, \"$3\", $a$ $4 $a$, -- $5\n$12 /* $6 */";
        let told = "SELECT '☃ $1', $8,\n a$2, $9::int, \"$3\", $a$ $4 $a$, -- $5\n$19 /* $6 */";
        assert_eq!(numbered_on(sql, 7), told);
        assert_eq!(numbered_on("SELECT $1, 'no end", 7), "SELECT $1, 'no end");
    }

    #[test]
    fn row_locks_are_made_plain_and_never_weaker() {
        let plain = |sql: &str| match &pieces(sql)[..] {
            [Piece::Statement(statement)] => statement.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(
            plain("SELECT 1 FROM t FOR NO KEY UPDATE"),
            "SELECT 1 FROM t FOR UPDATE"
        );
        assert_eq!(
            plain("SELECT 1 FROM t FOR KEY SHARE OF t SKIP LOCKED"),
            "SELECT 1 FROM t FOR SHARE OF t SKIP LOCKED"
        );
        assert_eq!(
            plain("SELECT 1 FROM t, u FOR UPDATE OF t, u NOWAIT"),
            "SELECT 1 FROM t, u FOR UPDATE NOWAIT"
        );
        assert_eq!(
            plain("SELECT 1 FROM t FOR UPDATE LIMIT 1"),
            "SELECT 1 FROM t LIMIT 1 FOR UPDATE"
        );
    }
}
