//! What a PostgreSQL statement touches, told from its text, its parameters and
//! the database's [`Catalog`].
//!
//! It errs on one side: what it says may be more than is touched, and what it
//! knows of rows less than there is to know. Two statements that do not conflict
//! by what it says give the same in either order, but for `pg_advisory_unlock_all`.
//! Knows no connections, no protocol and no sessions: `search_path` is taken to be
//! `public`.

mod cache;
mod catalog;
mod comment;
mod functions;
mod insert;
mod keys;
mod parse;
mod scope;
mod short;
mod triggers;
mod walk;
mod write;

pub use cache::Statements;
pub use catalog::{CATALOG, Catalog};
pub use comment::uncommented;
pub use parse::is_snapshot_level;
pub(super) use parse::numbered_on;

use crate::model::step::Access;

/// How a text ends the transaction that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What it wrote is there for others.
    Commit,
    /// What it wrote is gone.
    Rollback,
}

/// What the statements of a text mean to other sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// None of them can matter to another session.
    Nothing,
    /// They touch these.
    Touches {
        /// What they touch, of all statements together.
        accesses: Vec<Access>,
        /// Whether they end a transaction.
        ends: Option<End>,
    },
}

impl Meaning {
    /// What two texts mean together, the second after the first.
    #[must_use]
    pub fn and(self, then: Meaning) -> Meaning {
        match (self, then) {
            (one, Meaning::Nothing) => one,
            (Meaning::Nothing, other) => other,
            (
                Meaning::Touches { mut accesses, ends },
                Meaning::Touches {
                    accesses: more,
                    ends: later,
                },
            ) => {
                accesses.extend(more);
                Meaning::Touches {
                    accesses: walk::without_covered(accesses),
                    ends: later.or(ends),
                }
            }
        }
    }
}

/// What the statements of a text mean. See [`Statements`] for texts that come
/// again.
pub fn meaning(sql: &str, parameters: &[Option<String>], catalog: &Catalog) -> Meaning {
    mean(&parse::pieces(sql), parameters, catalog)
}

fn mean(pieces: &[parse::Piece], parameters: &[Option<String>], catalog: &Catalog) -> Meaning {
    let mut walker = walk::Walker::new(catalog, parameters);
    let mut ends = None;
    for piece in pieces {
        if let parse::Piece::Ends(end) = piece {
            ends = Some(*end);
        }
        walker.piece(piece);
    }
    let accesses = walker.into_accesses();
    if accesses.is_empty() && ends.is_none() {
        Meaning::Nothing
    } else {
        Meaning::Touches { accesses, ends }
    }
}

/// A text shortened for a timeline: verb, table and key of each statement.
pub fn short(sql: &str, parameters: &[Option<String>]) -> String {
    short::short(sql, &parse::pieces(sql), parameters)
}

#[cfg(test)]
mod tests;
