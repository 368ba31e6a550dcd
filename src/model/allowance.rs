//! What may depart from every one-at-a-time order, because the target file says so.

use serde::Serialize;

/// One allowance, under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// Its name in the target file.
    pub name: String,
    /// Why it is right, in the business's words.
    pub says: String,
    /// What it covers: a table, a column, or a field of an operation's answer.
    pub place: String,
    /// Whether only the order of the list there is free.
    pub order_only: bool,
}

impl Allowance {
    /// Whether a place lies within what it covers.
    pub fn covers(&self, place: &str) -> bool {
        place
            .strip_prefix(&self.place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
    }
}
