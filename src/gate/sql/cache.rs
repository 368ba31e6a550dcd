//! Texts that come again are parsed once.

use std::collections::HashMap;
use std::sync::Arc;

use super::parse::{Piece, pieces};
use super::{Catalog, Meaning, mean, short, uncommented};

/// How many texts are remembered at least; at most twice as many.
const REMEMBERED: usize = 512;

/// A text longer than this, in bytes, is parsed each time: a few such would take more
/// memory than all others, and few come again.
const LONGEST: usize = 16 * 1024;

/// A bounded memory of parsed texts: the most recent ones are kept.
#[derive(Debug, Default)]
pub struct Statements {
    /// Used since the last time that this was full.
    young: HashMap<String, Arc<Vec<Piece>>>,
    /// Used before.
    old: HashMap<String, Arc<Vec<Piece>>>,
    snapshots: bool,
}

impl Statements {
    /// As [`meaning`](super::meaning).
    pub fn meaning(
        &mut self,
        sql: &str,
        parameters: &[Option<String>],
        catalog: &Catalog,
    ) -> Meaning {
        mean(&self.pieces(sql), parameters, catalog)
    }

    /// As [`short`](super::short).
    pub fn short(&mut self, sql: &str, parameters: &[Option<String>]) -> String {
        short::short(sql, &self.pieces(sql), parameters)
    }

    /// Whether some text so far made transactions read what was there when they began
    /// to: REPEATABLE READ, or stricter.
    pub fn snapshots(&self) -> bool {
        self.snapshots
    }

    fn pieces(&mut self, sql: &str) -> Arc<Vec<Piece>> {
        // Comments make another text of each.
        let (sql, _) = uncommented(sql);
        if let Some(known) = self.young.get(&*sql) {
            return Arc::clone(known);
        }
        let parsed = match self.old.remove(&*sql) {
            Some(known) => known,
            None => Arc::new(pieces(&sql)),
        };
        self.snapshots |= parsed.iter().any(|piece| matches!(piece, Piece::Snapshot));
        if sql.len() > LONGEST {
            return parsed;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(sql.into_owned(), Arc::clone(&parsed));
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stricter_isolation_level_is_noticed() {
        let snapshots = |sql: &str| {
            let mut statements = Statements::default();
            statements.pieces(sql);
            statements.snapshots()
        };
        assert!(snapshots("begin isolation level repeatable read"));
        assert!(snapshots("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"));
        assert!(snapshots(
            "SET default_transaction_isolation TO 'repeatable read'"
        ));
        assert!(!snapshots("BEGIN ISOLATION LEVEL READ COMMITTED"));
        assert!(!snapshots("SELECT 'serializable'"));
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let mut statements = Statements::default();
        let first = statements.pieces("SELECT 1");
        for number in 0..REMEMBERED * 5 {
            statements.pieces(&format!("SELECT {number} + 0"));
            assert!(Arc::ptr_eq(&first, &statements.pieces("SELECT 1")));
        }
        assert!(statements.young.len() + statements.old.len() <= REMEMBERED * 2);
        let known = statements.young.len();
        statements.pieces(&format!("SELECT '{}'", "x".repeat(LONGEST)));
        assert_eq!(statements.young.len(), known);
    }
}
