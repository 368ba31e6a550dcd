//! What functions touch: locks by number, large objects, and whatever the user's
//! own functions do.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName};

use super::catalog::parts;
use super::keys::{Kind, Known};
use super::walk::Walker;
use crate::model::step::Mode;

/// The table that advisory locks stand for.
const ADVISORY_LOCK: &str = "advisory lock";
/// The table that large objects stand for.
const LARGE_OBJECT: &str = "large object";

impl Walker<'_> {
    /// A function is called.
    pub(super) fn function(&mut self, name: &ObjectName, arguments: &[FunctionArg]) {
        let parts = parts(name);
        let (schema, name) = match parts.as_slice() {
            [name] => (None, name.as_str()),
            [.., schema, name] => (Some(schema.as_str()), name.as_str()),
            [] => return self.writes_anything(),
        };
        if schema != Some("pg_catalog") {
            match (self.catalog.function_writes(name), schema) {
                (Some(true), _) | (None, Some(_)) => return self.writes_anything(),
                (Some(false), _) => return self.reads_anything(),
                // The database's own: the statement fails if there is none such.
                (None, None) => {}
            }
        }
        if name == "pg_advisory_unlock_all" {
            // Pools clear a connection with it after each use, as a rule with nothing
            // to give back. Where there is, it goes as at the end of a session:
            // without a step.
        } else if name.starts_with("pg_advisory") || name.starts_with("pg_try_advisory") {
            self.advisory_lock(name, arguments);
        } else if name.starts_with("lo_") || matches!(name, "loread" | "lowrite") {
            self.push(LARGE_OBJECT, Mode::Write, &Known::new());
        } else if name.contains("_to_xml") || matches!(name, "ts_stat" | "ts_rewrite") {
            // They run a query, or read a table, that is given as text.
            self.reads_anything();
        } else if matches!(name, "pg_terminate_backend" | "pg_cancel_backend") {
            self.writes_anything();
        }
    }

    fn advisory_lock(&mut self, name: &str, arguments: &[FunctionArg]) {
        // Two that share a lock do not meet; who wants it alone meets both.
        let mode = if name.ends_with("_shared") {
            Mode::Read
        } else {
            Mode::Write
        };
        let arguments: Vec<&Expr> = arguments.iter().filter_map(expression).collect();
        let number = |argument: &&Expr| self.parameters.constant(argument, Kind::Number);
        let mut known = Known::new();
        let numbers: Option<Vec<String>> = arguments.iter().map(number).collect();
        match numbers {
            // One number and two numbers are different locks.
            Some(numbers) if !numbers.is_empty() => {
                known.insert("key".to_owned(), [numbers.join(" ")].into());
            }
            _ => {
                if let [only] = arguments.as_slice() {
                    known.extend(
                        self.hashed(only)
                            .map(|(column, text)| (column, [text].into())),
                    );
                }
            }
        }
        self.push(ADVISORY_LOCK, mode, &known);
    }

    /// `hashtext('a text')`: the function, and the text that it is given. Another
    /// text of the same hash would only be waited for.
    fn hashed(&self, argument: &Expr) -> Option<(String, String)> {
        match argument {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => self.hashed(inner),
            Expr::Function(function) => {
                let name = parts(&function.name).pop()?;
                let FunctionArguments::List(list) = &function.args else {
                    return None;
                };
                let first = list.args.first().and_then(expression)?;
                let is_hash = matches!(name.as_str(), "hashtext" | "hashtextextended");
                is_hash.then_some((name, self.parameters.spelled(first)?))
            }
            _ => None,
        }
    }
}

fn expression(argument: &FunctionArg) -> Option<&Expr> {
    let (FunctionArg::Unnamed(argument)
    | FunctionArg::Named { arg: argument, .. }
    | FunctionArg::ExprNamed { arg: argument, .. }) = argument;
    match argument {
        FunctionArgExpr::Expr(expression) => Some(expression),
        _ => None,
    }
}
