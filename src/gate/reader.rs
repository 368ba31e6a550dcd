//! What steps mean, read from their SQL: asked by the gate for every step, and by
//! the round for those that are held.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gate::Statement;
use crate::gate::sql::{Catalog, Meaning, Statements};

/// Reads statements of a database whose catalog becomes known later than its
/// service starts.
#[derive(Debug, Default)]
pub struct Reader(Mutex<(Statements, Catalog)>);

impl Reader {
    fn inner(&self) -> MutexGuard<'_, (Statements, Catalog)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables are these from now on.
    pub fn learn(&self, catalog: Catalog) {
        self.inner().1 = catalog;
    }

    /// What a step touches.
    pub fn meaning(&self, statement: &Statement) -> Meaning {
        let mut inner = self.inner();
        let (statements, catalog) = &mut *inner;
        statements.meaning(&statement.sql, &statement.parameters, catalog)
    }

    /// Whether a step can matter to another session.
    pub fn matters(&self, statement: &Statement) -> bool {
        self.meaning(statement) != Meaning::Nothing
    }

    /// A step in a few words: verb, table and key.
    pub fn short(&self, statement: &Statement) -> String {
        self.inner().0.short(&statement.sql, &statement.parameters)
    }
}
