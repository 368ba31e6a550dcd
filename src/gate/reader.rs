//! What steps mean, read from their SQL: asked by the gate for every step, and by
//! the round for those that are held.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gate::Statement;
use crate::gate::sql::{Catalog, Meaning, Statements, is_snapshot_level};

/// Reads statements of a database whose catalog becomes known later than its
/// service starts.
#[derive(Debug, Default)]
pub struct Reader(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    statements: Statements,
    catalog: Catalog,
    /// Whether transactions read as of their first statement unless they say otherwise.
    snapshots: bool,
}

impl Reader {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables are these from now on, and so is the isolation level of transactions
    /// that ask for none.
    pub fn learn(&self, catalog: Catalog, isolation: &str) {
        let mut inner = self.inner();
        inner.catalog = catalog;
        inner.snapshots = is_snapshot_level(isolation);
    }

    /// Whether some transactions read as of their first statement. Which do is not
    /// told apart: to take one that does not for one that does costs rounds, and the
    /// other way findings.
    pub fn snapshots(&self) -> bool {
        let inner = self.inner();
        inner.snapshots || inner.statements.snapshots()
    }

    /// What a step touches.
    pub fn meaning(&self, statement: &Statement) -> Meaning {
        let mut inner = self.inner();
        let Inner {
            statements,
            catalog,
            ..
        } = &mut *inner;
        statements.meaning(&statement.sql, &statement.parameters, catalog)
    }

    /// Whether a step can matter to another session.
    pub fn matters(&self, statement: &Statement) -> bool {
        self.meaning(statement) != Meaning::Nothing
    }

    /// A step in a few words: verb, table and key.
    pub fn short(&self, statement: &Statement) -> String {
        self.inner()
            .statements
            .short(&statement.sql, &statement.parameters)
    }
}
