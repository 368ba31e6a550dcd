//! Triggers that only fill in columns of the row at hand: `updated_at`, a slug, a
//! search vector. Very many tables have one, and it touches nothing else.
//!
//! Knows the source of a trigger's function; whatever in it is not plainly
//! harmless makes the trigger one that may do anything.

use serde::Deserialize;
use sqlparser::tokenizer::Token;

use super::parse;

/// A trigger, as the catalog has it.
#[derive(Deserialize)]
pub(super) struct Trigger {
    function: String,
    language: String,
    source: String,
    /// What comes before `EXECUTE`, its condition included.
    head: String,
}

/// Words that reach beyond the row, or that put another row in its place.
const BEYOND: [&str; 26] = [
    "ALIAS", "ALTER", "CALL", "COPY", "CREATE", "CURSOR", "DELETE", "DO", "DROP", "EXECUTE",
    "FETCH", "INSERT", "INTO", "JOIN", "LOCK", "MERGE", "OPEN", "PERFORM", "QUERY", "REFRESH",
    "SELECT", "SET", "TABLE", "TRUNCATE", "UPDATE", "WITH",
];

/// Functions of the database's own that reach beyond.
fn reaches_beyond(function: &str) -> bool {
    let locks = function.starts_with("pg_advisory") || function.starts_with("pg_try_advisory");
    locks || function.starts_with("lo_") || function.contains("_to_xml")
}

impl Trigger {
    /// The columns that it may set, if it does nothing else. `is_users`: whether a
    /// function is one of the user's.
    pub(super) fn sets(&self, is_users: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let head = parse::words(&self.head)?;
        if calls(&head, &is_users) {
            return None;
        }
        match (self.language.as_str(), self.function.as_str()) {
            // They set columns of types whose values are not told apart.
            ("internal", "tsvector_update_trigger" | "suppress_redundant_updates_trigger")
            | ("c", "moddatetime") => Some(Vec::new()),
            ("plpgsql", _) => {
                let body = parse::words(&self.source)?;
                if calls(&body, &is_users) {
                    return None;
                }
                assigned(&body)
            }
            _ => None,
        }
    }
}

fn word(token: Option<&Token>) -> String {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    }
}

/// Whether a function is called that may do anything.
fn calls(tokens: &[Token], is_users: impl Fn(&str) -> bool) -> bool {
    tokens.windows(2).enumerate().any(|(at, pair)| {
        let [Token::Word(name), Token::LParen] = pair else {
            return false;
        };
        let name = match name.quote_style {
            None => name.value.to_lowercase(),
            Some(_) => name.value.clone(),
        };
        let of_schema = at > 0 && tokens[at - 1] == Token::Period;
        let of_database = at > 1 && word(tokens.get(at - 2)) == "PG_CATALOG";
        of_schema && !of_database || is_users(&name) || reaches_beyond(&name)
    })
}

/// The columns of the new row that are set, if nothing else is done.
fn assigned(tokens: &[Token]) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let word_at = |at: usize| word(tokens.get(at));
        let this = word(Some(token));
        match this.as_str() {
            beyond if BEYOND.contains(&beyond) => return None,
            // `x := a FROM t` is a query; `IS DISTINCT FROM` is none.
            "FROM" if at == 0 || word_at(at - 1) != "DISTINCT" => return None,
            "RETURN" => {
                let whole = tokens.get(at + 2) == Some(&Token::SemiColon);
                if !(whole && ["NEW", "OLD", "NULL"].contains(&word_at(at + 1).as_str())) {
                    return None;
                }
            }
            "NEW" => match (tokens.get(at + 1), tokens.get(at + 2)) {
                (Some(Token::Period), Some(Token::Word(column))) => {
                    // A comparison may look the same; then one column too many
                    // is taken to be set.
                    if matches!(
                        tokens.get(at + 3),
                        Some(Token::Assignment | Token::Eq | Token::LBracket | Token::Period)
                    ) {
                        columns.push(match column.quote_style {
                            None => column.value.to_lowercase(),
                            Some(_) => column.value.clone(),
                        });
                    }
                }
                (Some(Token::Assignment | Token::Eq), _) => return None,
                _ => {}
            },
            _ => {}
        }
    }
    Some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(source: &str) -> Option<Vec<String>> {
        let trigger = Trigger {
            function: "f".to_owned(),
            language: "plpgsql".to_owned(),
            source: source.to_owned(),
            head: "CREATE TRIGGER t BEFORE UPDATE ON public.t FOR EACH ROW \
                   WHEN ((old.* IS DISTINCT FROM new.*))"
                .to_owned(),
        };
        trigger.sets(|name| name == "users_own")
    }

    #[test]
    fn what_only_fills_in_columns_is_known_by_them() {
        let columns = |source| sets(source).unwrap();
        assert_eq!(
            columns("BEGIN NEW.updated_at = now(); RETURN NEW; END"),
            ["updated_at"]
        );
        assert_eq!(
            columns(
                "BEGIN -- SELECT is only a word here
                 IF NEW.a IS DISTINCT FROM OLD.a OR TG_OP = 'INSERT' THEN
                   NEW.\"Slug\" := lower(NEW.title); END IF; RETURN NEW; END"
            ),
            ["Slug"]
        );
        assert_eq!(
            columns("BEGIN RAISE EXCEPTION 'no %', OLD.id; RETURN NULL; END"),
            [""; 0]
        );
    }

    #[test]
    fn what_reaches_beyond_the_row_may_do_anything() {
        for source in [
            "BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END",
            "BEGIN NEW.n := (SELECT count(*) FROM t); RETURN NEW; END",
            "BEGIN NEW.n := count(*) FROM t; RETURN NEW; END",
            "BEGIN NEW.n := users_own(1); RETURN NEW; END",
            "BEGIN NEW.n := other.f(1); RETURN NEW; END",
            "BEGIN NEW := OLD; RETURN NEW; END",
            "DECLARE r t; BEGIN RETURN r; END",
            "BEGIN RETURN NEW #= hstore('id', '1'); END",
            "DECLARE r ALIAS FOR NEW; BEGIN r.id := 1; RETURN NEW; END",
            "BEGIN PERFORM pg_notify('a', 'b'); RETURN NEW; END",
            "BEGIN IF pg_try_advisory_lock(1) THEN RETURN NEW; END IF; RETURN NULL; END",
            "BEGIN 'unfinished",
        ] {
            assert_eq!(sets(source), None, "{source}");
        }
    }
}
