//! Migrations: their files, read and taken apart into statements. Knows no database: how
//! a statement is told from the next is SQL's affair, and `sqlparser`'s.

use std::collections::BTreeSet;
use std::path::Path;

use indexmap::IndexMap;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use toml::Spanned;

use crate::target::error::Problem;
use crate::target::file::TargetFile;

/// A change of the schema, ready to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// Its statements, in the order in which they run.
    pub steps: Vec<String>,
    /// Those that undo it.
    pub undo: Vec<String>,
    /// All words of its statements in lower case, the names of its tables among them.
    pub words: BTreeSet<String>,
}

/// The migrations of a target file.
pub(super) fn migrations(
    file: &TargetFile,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> IndexMap<String, Migration> {
    let mut migrations = IndexMap::new();
    for (name, section) in &file.migrations {
        let at = section.span();
        let section = section.get_ref();
        let mut read = |files: &[Spanned<String>], what: &str| {
            if files.is_empty() {
                let message = format!("the migration `{name}` names no file in `{what}`");
                problems.push(
                    Problem::new(at.clone(), message)
                        .help(format!("write {what} = [\"file.sql\"]")),
                );
            }
            let mut statements = Vec::new();
            for file in files {
                match statements_of(&folder.join(file.get_ref())) {
                    Ok(more) => statements.extend(more),
                    Err(why) => {
                        let message = format!("`{}` {why}", file.get_ref());
                        problems.push(Problem::new(file.span(), message));
                    }
                }
            }
            statements
        };
        let (steps, undo) = (read(&section.steps, "steps"), read(&section.undo, "undo"));
        let words = steps.iter().flat_map(|step| words(step)).collect();
        migrations.insert(name.clone(), Migration { steps, undo, words });
    }
    migrations
}

fn statements_of(path: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot be read: {error}"))?;
    let statements = split(&text).map_err(|why| format!("cannot be taken apart: {why}"))?;
    match statements.as_slice() {
        [] => Err("holds no statement".to_owned()),
        _ => Ok(statements),
    }
}

/// The statements of a text, each as it stands there, comments within included.
fn split(sql: &str) -> Result<Vec<String>, String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| error.to_string())?;
    let places = Places::of(sql);
    let mut statements = Vec::new();
    let mut body = Body::default();
    let mut open: Option<(usize, usize)> = None;
    let mut own: Vec<&TokenWithSpan> = Vec::new();
    for token in tokens.iter().map(Some).chain([None]) {
        let ends = match token.map(|token| &token.token) {
            Some(Token::Whitespace(_)) => continue,
            Some(Token::SemiColon) => !body.is_open(),
            other => other.is_none(),
        };
        if ends {
            if let Some((from, to)) = open.take() {
                see_that_it_runs(&own)?;
                statements.extend(sql.get(from..to).map(str::to_owned));
            }
            own.clear();
        }
        let Some(token) = token.filter(|_| !ends) else {
            continue;
        };
        if token.token == Token::Backslash && own.is_empty() {
            let line = token.span.start.line;
            return Err(format!("psql's own command in line {line} is no SQL"));
        }
        body.see(&token.token);
        let (from, to) = (places.byte(token.span.start), places.byte(token.span.end));
        open = Some((open.map_or(from, |(from, _)| from), to));
        own.push(token);
    }
    Ok(statements)
}

/// Rows that follow a statement in the file are psql's way, and no statement.
fn see_that_it_runs(tokens: &[&TokenWithSpan]) -> Result<(), String> {
    let word =
        |at: usize, wanted: &str| tokens.get(at).is_some_and(|token| is(&token.token, wanted));
    let from_client = tokens.iter().any(|token| is(&token.token, "STDIN"));
    if word(0, "COPY") && from_client {
        return Err("COPY FROM STDIN takes its rows from a client: write INSERT".to_owned());
    }
    Ok(())
}

fn is(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

fn words(sql: &str) -> Vec<String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    let tokens = tokens.unwrap_or_default().into_iter();
    tokens
        .filter_map(|token| match token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value),
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        })
        .collect()
}

/// The body of a function in SQL, `BEGIN ATOMIC ... END`, whose statements are no
/// statements of the file's.
#[derive(Debug, Default)]
struct Body {
    /// How many an END is lacking of; CASE has one too.
    depth: usize,
    begins: bool,
}

impl Body {
    fn is_open(&self) -> bool {
        self.depth > 0
    }

    fn see(&mut self, token: &Token) {
        match self.depth {
            0 if self.begins && is(token, "ATOMIC") => self.depth = 1,
            0 => {}
            _ if is(token, "CASE") => self.depth += 1,
            _ if is(token, "END") => self.depth -= 1,
            _ => {}
        }
        self.begins = is(token, "BEGIN");
    }
}

/// Where the lines of a text begin: the tokenizer counts lines and characters.
struct Places<'a> {
    sql: &'a str,
    lines: Vec<usize>,
}

impl Places<'_> {
    fn of(sql: &str) -> Places<'_> {
        let breaks = sql.match_indices('\n').map(|(at, _)| at + 1);
        Places {
            sql,
            lines: std::iter::once(0).chain(breaks).collect(),
        }
    }

    fn byte(&self, at: Location) -> usize {
        let index = |number: u64| {
            usize::try_from(number)
                .unwrap_or(usize::MAX)
                .saturating_sub(1)
        };
        let Some(&line) = self.lines.get(index(at.line)) else {
            return self.sql.len();
        };
        let rest = self.sql.get(line..).unwrap_or_default();
        let mut characters = rest.char_indices().map(|(place, _)| place);
        let within = characters.nth(index(at.column));
        within.map_or(self.sql.len(), |place| line + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn a_file_is_its_statements_to_the_letter() {
        let sql = "-- first; comment\nALTER TABLE t ADD COLUMN ä text DEFAULT ';'; -- then;\n\
            BEGIN;\n  UPDATE t SET a = 'it''s; ü' /* ; */ WHERE b;\nCOMMIT;;\n\
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN; RETURN NEW; END $body$;\n\
            CREATE FUNCTION g(a int) RETURNS int BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 3; END;\n\
            DROP TABLE \"odd;name\"";
        assert_eq!(
            split(sql).unwrap(),
            [
                "ALTER TABLE t ADD COLUMN ä text DEFAULT ';'",
                "BEGIN",
                "UPDATE t SET a = 'it''s; ü' /* ; */ WHERE b",
                "COMMIT",
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN; RETURN NEW; END $body$",
                "CREATE FUNCTION g(a int) RETURNS int BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 3; END",
                "DROP TABLE \"odd;name\"",
            ]
        );
        assert_eq!(split("  -- nothing\n;;").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_run_as_statements_is_refused() {
        assert!(split("SELECT 'no end").is_err());
        assert!(
            split("\\connect other\nSELECT 1;")
                .unwrap_err()
                .contains("line 1")
        );
        assert!(split("COPY t FROM STDIN;\n1\n\\.\n").is_err());
    }

    #[test]
    fn the_files_are_read_with_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, sql: &str| std::fs::write(folder.path().join(name), sql).unwrap();
        file("one.sql", "ALTER TABLE Orders ADD COLUMN note text;");
        file("undo.sql", "ALTER TABLE orders DROP COLUMN IF EXISTS note");
        let parsed = |steps: &str, undo: &str| {
            let text = format!(
                "[service]\nstart = 'x'\n[database]\nengines = ['postgres']\n\
                 [operations.one]\nrequest = 'GET /'\n\
                 [migrations.note]\nsteps = {steps}\nundo = {undo}\n"
            );
            Target::parse(Path::new("x"), folder.path(), text)
        };
        let target = parsed("['one.sql']", "['undo.sql']").unwrap();
        let note = &target.migrations["note"];
        assert_eq!(note.steps, ["ALTER TABLE Orders ADD COLUMN note text"]);
        assert!(note.words.contains("orders") && note.words.contains("note"));
        file("bad.sql", "SELECT 'no end");
        file("empty.sql", "-- nothing");
        for (steps, says) in [
            ("['two.sql']", "`two.sql` cannot be read"),
            ("['bad.sql']", "cannot be taken apart"),
            ("['empty.sql']", "holds no statement"),
            ("[]", "names no file in `steps`"),
        ] {
            let error = parsed(steps, "['undo.sql']").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
