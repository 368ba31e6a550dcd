//! Plain data that every part may know: what is raced, what happened, what was
//! judged, and what is told about it. Knows no other part.

pub mod allowance;
pub mod coverage;
pub mod engine;
pub mod event;
pub mod fault;
pub mod finding;
pub mod history;
pub mod observed;
pub mod outcome;
pub mod scenario;
pub mod schedule;
pub mod step;
pub mod verdict;

/// One row of a query: columns in the order in which the query names them.
pub type Row = serde_json::Map<String, serde_json::Value>;
