//! Statements for people: verb, table and key.
//!
//! Knows the text alone, not what its names stand for.

use sqlparser::ast::{
    BinaryOperator, Expr, FromTable, InTarget, ObjectName, Query, SetExpr, Statement, TableFactor,
    TableObject, TableWithJoins, Value,
};

use super::End;
use super::catalog::{folded, parts};
use super::parse::Piece;

/// How much of a text that is not understood is shown, in characters.
const LONGEST: usize = 60;
/// How much of a value is shown.
const LONGEST_VALUE: usize = 24;
/// How many columns tell a row.
const MOST_COLUMNS: usize = 2;

pub(super) fn short(sql: &str, pieces: &[Piece], parameters: &[Option<String>]) -> String {
    let whole = || {
        let words: Vec<&str> = sql.split_whitespace().collect();
        cut(&words.join(" "), LONGEST)
    };
    let mut told = Vec::new();
    for piece in pieces {
        let one = match piece {
            Piece::Statement(statement) => Shortener { parameters }.statement(statement),
            Piece::CopyIn(name) => Some(format!("COPY {} FROM", called(name))),
            Piece::CopyOut(name) => Some(format!("COPY {} TO", called(name))),
            // Beside others, they are told by their first word or not at all.
            Piece::Ends(End::Commit) if pieces.len() > 1 => Some("COMMIT".to_owned()),
            Piece::Ends(End::Rollback) if pieces.len() > 1 => Some("ROLLBACK".to_owned()),
            Piece::Harmless | Piece::Snapshot if pieces.len() > 1 => continue,
            _ => None,
        };
        match one {
            Some(one) => told.push(one),
            // Only the whole text has what there is to show.
            None => return whole(),
        }
    }
    if told.is_empty() {
        whole()
    } else {
        told.join("; ")
    }
}

fn cut(text: &str, longest: usize) -> String {
    let text = text.trim_end_matches([';', ' ']);
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest - 1).collect();
    kept.trim_end().to_owned() + "…"
}

fn called(name: &ObjectName) -> String {
    let parts = parts(name);
    match parts.as_slice() {
        [schema, rest @ ..] if schema == "public" && !rest.is_empty() => rest.join("."),
        all => all.join("."),
    }
}

#[derive(Clone, Copy)]
struct Shortener<'a> {
    parameters: &'a [Option<String>],
}

impl Shortener<'_> {
    fn statement(self, statement: &Statement) -> Option<String> {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::Insert(insert) => match &insert.table {
                TableObject::TableName(name) => Some(format!("INSERT {}", called(name))),
                _ => None,
            },
            Statement::Update(update) => {
                self.of("UPDATE", &update.table.relation, update.selection.as_ref())
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                let from = &from.first()?.relation;
                self.of("DELETE", from, delete.selection.as_ref())
            }
            Statement::Merge(merge) => self.of("MERGE", &merge.table, None),
            Statement::Truncate(truncate) => {
                let names = truncate.table_names.iter();
                let names: Vec<String> = names.map(|target| called(&target.name)).collect();
                Some(format!("TRUNCATE {}", names.join(", ")))
            }
            _ => None,
        }
    }

    fn query(self, query: &Query) -> Option<String> {
        let mut text = match &*query.body {
            SetExpr::Select(select) => {
                let from: &TableWithJoins = select.from.first()?;
                self.of("SELECT", &from.relation, select.selection.as_ref())?
            }
            SetExpr::Insert(inner)
            | SetExpr::Update(inner)
            | SetExpr::Delete(inner)
            | SetExpr::Merge(inner) => self.statement(inner)?,
            SetExpr::Query(inner) => self.query(inner)?,
            _ => return None,
        };
        if let Some(lock) = query.locks.first() {
            let lock = lock.lock_type.to_string();
            text = format!("{text} FOR {lock}");
        }
        Some(text)
    }

    fn of(self, verb: &str, table: &TableFactor, condition: Option<&Expr>) -> Option<String> {
        let name = match table {
            TableFactor::Table { name, .. } => called(name),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => return self.of(verb, &table_with_joins.relation, condition),
            TableFactor::Derived { alias, .. } => folded(&alias.as_ref()?.name),
            _ => return None,
        };
        let alias = match table {
            TableFactor::Table { alias, .. } => alias.as_ref().map(|alias| folded(&alias.name)),
            _ => None,
        };
        let of = alias
            .as_deref()
            .or(name.rsplit('.').next())
            .unwrap_or(&name);
        let mut keys = Vec::new();
        if let Some(condition) = condition {
            self.keys(condition, of, &mut keys);
        }
        // What is called so is told first, and enough.
        if let Some(at) = keys.iter().position(|(column, _)| column == "id") {
            keys = vec![keys.swap_remove(at)];
        }
        keys.truncate(MOST_COLUMNS);
        let keys = keys
            .iter()
            .map(|(column, value)| format!(" {column}={value}"));
        Some(format!("{verb} {name}{}", keys.collect::<String>()))
    }

    #[recursive::recursive]
    fn keys(self, condition: &Expr, of: &str, keys: &mut Vec<(String, String)>) {
        match condition {
            Expr::Nested(inner) => self.keys(inner, of, keys),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                self.keys(left, of, keys);
                self.keys(right, of, keys);
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => {
                for (column, value) in [(left, right), (right, left)] {
                    if let (Some(column), Some(value)) = (column_of(column, of), self.value(value))
                    {
                        keys.push((column, value));
                    }
                }
            }
            Expr::In {
                expr,
                target: InTarget::List(list),
                negated: false,
                ..
            } => {
                if let (Some(column), [only]) = (column_of(expr, of), list.as_slice())
                    && let Some(value) = self.value(only)
                {
                    keys.push((column, value));
                }
            }
            _ => {}
        }
    }

    fn value(self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => self.value(inner),
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => {
                    let number: usize = name.strip_prefix('$')?.parse().ok()?;
                    let bound = self.parameters.get(number.checked_sub(1)?)?;
                    Some(cut(bound.as_deref().unwrap_or("NULL"), LONGEST_VALUE))
                }
                Value::SingleQuotedString(text) => Some(cut(text, LONGEST_VALUE)),
                other => Some(cut(&other.to_string(), LONGEST_VALUE)),
            },
            _ => None,
        }
    }
}

/// A column, unless it is another table's than the one `of` which is told.
fn column_of(expression: &Expr, of: &str) -> Option<String> {
    match expression {
        Expr::Nested(inner) => column_of(inner, of),
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(path) => match path.as_slice() {
            [.., table, name] if folded(table) == of => Some(folded(name)),
            _ => None,
        },
        _ => None,
    }
}
