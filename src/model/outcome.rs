//! What the calls of a race have left behind, whole: their answers, the rows that are
//! there now and were not, or were and are not, and what third parties were asked.

use serde_json::Value;

use crate::model::Row;

/// What is left of a race.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The answer of each call, in the order of the scenario; `None` for a call that
    /// was not made, or had none.
    pub answers: Vec<Option<Reply>>,
    /// What has changed in the database and at third parties, in no order.
    pub traces: Vec<Trace>,
}

/// An answer, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The operation's name.
    pub operation: String,
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON if it is, else its text; null for none.
    pub body: Value,
}

/// One thing that was not so before.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What kind of thing.
    pub kind: TraceKind,
    /// The table's name, or the third party's and the method.
    pub place: String,
    /// The row, or the request's `path` and `body`.
    pub row: Row,
}

/// What kind of thing is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TraceKind {
    /// A row that was there is gone, or stands changed among the added.
    Removed,
    /// A row is there that was not, in all of its columns.
    Added,
    /// A third party was asked for something.
    Asked,
}
