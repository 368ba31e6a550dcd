//! deadheat: a concurrency and race-condition fuzzer for HTTP APIs on SQL databases.
//!
//! The ideas, in the order in which data takes them, and where each lives:
//!
//! 1. [`target`]: the service under test, as its file describes it;
//! 2. [`stage`]: what rounds run on, put up from [`database`], [`stub`],
//!    [`service`] and [`drive`];
//! 3. [`generate`]: from a seed to a [scenario](model::scenario);
//! 4. [`round`]: restore, set up, race, settle, observe, judge;
//! 5. [`oracle`]: from what happened to a [verdict](model::verdict);
//! 6. [`hunt`]: round after round, and what becomes of a violation;
//! 7. [`shrink`]: from a failing scenario to one that a person would have written;
//! 8. [`corpus`]: findings on disk;
//! 9. [`report`]: what is told of it all.
//!
//! ARCHITECTURE.md tells the same at more length, with who may know whom.

pub mod cli;
pub mod corpus;
pub mod database;
pub mod drive;
pub mod exit;
pub mod failure;
mod files;
pub mod generate;
pub mod guard;
pub mod hunt;
pub mod model;
pub mod oracle;
pub mod process;
pub mod report;
pub mod round;
pub mod service;
pub mod shrink;
pub mod stage;
pub mod stub;
pub mod target;
