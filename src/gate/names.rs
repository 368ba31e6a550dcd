//! What the names in a session stand for: prepared statements and portals.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::wire::postgres::frontend::{Bind, Named, Parameter, Parse, parameters};
use crate::wire::postgres::{Oid, value};

use super::event::Statement;
use super::sql::numbered_on;

/// A prepared statement.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    sql: String,
    /// Of those of its session under names that last, counted from 1; 0 under none.
    number: u64,
    /// As the client declared them; 0 is unknown.
    declared: Vec<Oid>,
    /// As the server described them, once it has.
    pub(super) described: OnceLock<Vec<Oid>>,
}

impl Prepared {
    fn type_of(&self, parameter: usize) -> Oid {
        let declared = self.declared.get(parameter).copied().unwrap_or(0);
        if declared != 0 {
            return declared;
        }
        let described = self.described.get();
        described
            .and_then(|types| types.get(parameter).copied())
            .unwrap_or(0)
    }
}

/// A statement with its parameters, as they came.
#[derive(Debug, Default)]
struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<u8>,
}

/// The names of a session. One of no length is a name too, and is used again and
/// again.
#[derive(Debug, Default)]
pub(super) struct Names {
    prepared: HashMap<Vec<u8>, Arc<Prepared>>,
    portals: HashMap<Vec<u8>, Portal>,
    /// How many statements were given a name that lasts.
    lasting: u64,
    /// The last of them that is still there; 0 if none is.
    newest: u64,
}

impl Names {
    pub(super) fn parse(&mut self, body: &[u8]) {
        let parse = Parse::read(body);
        let mut number = 0;
        if !parse.name.is_empty() {
            self.lasting += 1;
            (number, self.newest) = (self.lasting, self.lasting);
        }
        let prepared = Arc::new(Prepared {
            sql: String::from_utf8_lossy(parse.sql).into_owned(),
            number,
            declared: parse.types,
            described: OnceLock::new(),
        });
        // A name that is taken the server refuses; but one that SQL has freed
        // (DEALLOCATE, DISCARD) it takes, and that is the likelier case.
        self.prepared.insert(parse.name.to_owned(), prepared);
    }

    pub(super) fn bind(&mut self, body: &[u8]) {
        let bind = Bind::read(body);
        let prepared = self.prepared.get(bind.statement).cloned();
        let prepared = prepared.unwrap_or_default();
        if let Some(portal) = self.portals.get_mut(bind.portal) {
            portal.prepared = prepared;
            portal.values.clear();
            portal.values.extend_from_slice(bind.values);
        } else {
            let values = bind.values.to_owned();
            let portal = Portal { prepared, values };
            self.portals.insert(bind.portal.to_owned(), portal);
        }
    }

    pub(super) fn close(&mut self, body: &[u8]) {
        match Named::read(body) {
            Some(Named::Statement(name)) => {
                let closed = self.prepared.remove(name);
                if closed.is_some_and(|closed| closed.number == self.newest) {
                    let left = self.prepared.values().map(|prepared| prepared.number);
                    self.newest = left.max().unwrap_or_default();
                }
            }
            Some(Named::Portal(name)) => drop(self.portals.remove(name)),
            None => {}
        }
    }

    /// The number of the last statement that was prepared under a name that lasts and was
    /// not closed; 0 if there is none.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The statement that a Describe asks about; `None` for a portal.
    pub(super) fn described(&self, body: &[u8]) -> Option<Arc<Prepared>> {
        match Named::read(body)? {
            Named::Statement(name) => self.prepared.get(name).cloned(),
            Named::Portal(_) => None,
        }
    }

    /// Outside a transaction there are no portals but the one without a name.
    pub(super) fn end_transaction(&mut self) {
        if self.portals.len() > 1 {
            self.portals.retain(|name, _| name.is_empty());
        }
    }

    /// Adds to a statement what a portal runs.
    pub(super) fn add(&self, portal: &[u8], statement: &mut Statement) {
        let Some(portal) = self.portals.get(portal) else {
            return;
        };
        match statement.parameters.len() {
            0 => add_sql(statement, &portal.prepared.sql),
            before => add_sql(statement, &numbered_on(&portal.prepared.sql, before)),
        }
        let read = |(index, parameter): (usize, Parameter<'_>)| {
            let oid = portal.prepared.type_of(index);
            let value = parameter.value?;
            Some(value::readable(value, parameter.binary, oid))
        };
        let values = parameters(&portal.values).into_iter().enumerate();
        statement.parameters.extend(values.map(read));
    }
}

/// Adds SQL to a statement that may have some.
pub(super) fn add_sql(statement: &mut Statement, sql: &str) {
    if !statement.sql.is_empty() {
        statement.sql.push_str("; ");
    }
    statement.sql.push_str(sql);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_statement_that_lasts_is_known() {
        let mut names = Names::default();
        let parse = |name: &str| format!("{name}\0SELECT 1\0\0\0").into_bytes();
        let close = |name: &str| format!("S{name}\0").into_bytes();
        let mut newest = |step: &dyn Fn(&mut Names)| {
            step(&mut names);
            names.newest()
        };
        assert_eq!(newest(&|names| names.parse(&parse(""))), 0);
        assert_eq!(newest(&|names| names.parse(&parse("a"))), 1);
        assert_eq!(newest(&|names| names.parse(&parse("b"))), 2);
        assert_eq!(newest(&|names| names.close(&close("b"))), 1);
        assert_eq!(
            newest(&|names| names.parse(&parse("b"))),
            3,
            "it is another"
        );
        assert_eq!(newest(&|names| names.close(&close("a"))), 3);
        assert_eq!(newest(&|names| names.close(&close("b"))), 0);
    }
}
