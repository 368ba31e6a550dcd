//! What calls do at the database, a step at a time: the words that the gate, the
//! schedulers and the diagnosis share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What moves at once: a call of the race between two choices of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Index of the call in the scenario's race.
    pub call: usize,
    /// What it is about to do.
    pub action: Action,
    /// What it may touch that another call could touch as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accesses: Vec<Access>,
}

/// What a call is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The request itself is let go.
    Begin,
    /// Statements that the database runs at once.
    Sql {
        /// The statements, prepared names resolved.
        statement: String,
        /// Their parameters in readable form; `None` is NULL.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parameters: Vec<Option<String>>,
        /// In a few words: verb, table and key.
        short: String,
    },
    /// A request of the service to a third party.
    ThirdParty {
        /// The stand-in's name.
        stub: String,
        /// Method and path.
        request: String,
    },
}

impl Action {
    /// In a few words.
    pub fn short(&self) -> String {
        match self {
            Action::Begin => "begins".to_owned(),
            Action::Sql { short, .. } => short.clone(),
            Action::ThirdParty { stub, request } => format!("{stub}: {request}"),
        }
    }
}

/// How a step touches a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It reads rows.
    Read,
    /// It adds rows.
    Insert,
    /// It changes, removes or locks rows that are there.
    Write,
}

/// One table that a step touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The table, or [`ANYTHING`].
    pub table: String,
    /// How.
    pub mode: Mode,
    /// What is known of every row touched: the value of a column, as text. Empty:
    /// any row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, String>,
}

/// The table of a step of which it is not known what it touches.
pub const ANYTHING: &str = "*";

impl Access {
    /// Whether the order of two accesses can matter: they may touch the same row,
    /// and one of them is no read. Two new rows are never the same; a key that both
    /// would have is looked for before, which is a read.
    pub fn conflicts(&self, other: &Access) -> bool {
        match (self.mode, other.mode) {
            (Mode::Read, Mode::Read) | (Mode::Insert, Mode::Insert) => return false,
            _ => {}
        }
        if self.table == ANYTHING || other.table == ANYTHING {
            return true;
        }
        self.table == other.table && !self.is_apart(other)
    }

    /// Whether what is known of the rows rules out that one is the same.
    fn is_apart(&self, other: &Access) -> bool {
        let mut known = self.rows.iter();
        known.any(|(column, value)| other.rows.get(column).is_some_and(|others| others != value))
    }
}

impl Step {
    /// Whether the order of two steps can matter.
    pub fn conflicts(&self, other: &Step) -> bool {
        let accesses = self.accesses.iter();
        accesses
            .flat_map(|own| other.accesses.iter().map(move |others| (own, others)))
            .any(|(own, others)| own.conflicts(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(table: &str, mode: Mode, rows: &[(&str, &str)]) -> Access {
        Access {
            table: table.to_owned(),
            mode,
            rows: rows
                .iter()
                .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn order_matters_where_one_row_may_be_meant_and_is_not_only_read() {
        use Mode::{Insert, Read, Write};
        let one = |mode| access("t", mode, &[("id", "1")]);
        let two = |mode| access("t", mode, &[("id", "2")]);
        let any = |mode| access("t", mode, &[]);
        assert!(one(Read).conflicts(&one(Write)) && one(Write).conflicts(&any(Read)));
        assert!(!one(Read).conflicts(&one(Read)) && !one(Write).conflicts(&two(Write)));
        assert!(!one(Read).conflicts(&two(Insert)));
        assert!(!one(Write).conflicts(&access("u", Write, &[])));
        assert!(access(ANYTHING, Write, &[]).conflicts(&one(Read)));
        assert!(one(Insert).conflicts(&any(Read)) && one(Insert).conflicts(&one(Write)));
        assert!(!any(Insert).conflicts(&any(Insert)), "two new rows are two");
    }
}
