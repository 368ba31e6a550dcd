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
}

impl Names {
    pub(super) fn parse(&mut self, body: &[u8]) {
        let parse = Parse::read(body);
        let prepared = Arc::new(Prepared {
            sql: String::from_utf8_lossy(parse.sql).into_owned(),
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
            Some(Named::Statement(name)) => drop(self.prepared.remove(name)),
            Some(Named::Portal(name)) => drop(self.portals.remove(name)),
            None => {}
        }
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
