//! deadheat: a concurrency and race-condition fuzzer for HTTP APIs on SQL databases.
//!
//! The ideas, in the order in which data takes them, and where each lives:
//!
//! 1. [`target`]: the service under test, as its file describes it;
//! 2. [`stage`]: what rounds run on, put up from [`database`], [`stub`],
//!    [`service`] and [`drive`];
//! 3. [`generate`]: from a seed to a [scenario](model::scenario);
//! 4. [`round`]: restore, set up, race, settle, observe, judge; [`contract`] says what
//!    answers must look like;
//! 5. [`schedule`]: which call moves next, where that can be decided;
//! 6. [`oracle`]: from what happened to a [verdict](model::verdict); and, above all,
//!    whether [some one-at-a-time order](oracle::outcome) of the calls explains it;
//! 7. [`hunt`]: round after round, and what becomes of a violation;
//! 8. [`shrink`]: from a failing scenario to one that a person would have written;
//! 9. [`corpus`]: findings on disk;
//! 10. [`report`]: what is told of it all.
//!
//! [`gate`] stands between a service and its PostgreSQL server, holds SQL steps, and
//! strikes them with [faults](model::fault); [`wire`] is the protocol that it speaks.
//!
//! ARCHITECTURE.md tells the same at more length, with who may know whom.

pub mod cli;
mod clock;
pub mod contract;
pub mod corpus;
pub mod database;
pub mod drive;
pub mod exit;
pub mod failure;
mod files;
pub mod gate;
pub mod generate;
pub mod guard;
pub mod hold;
pub mod hunt;
pub mod model;
pub mod oracle;
pub mod process;
pub mod report;
mod roots;
pub mod round;
pub mod schedule;
pub mod service;
pub mod shrink;
pub mod stage;
pub mod stub;
pub mod target;
pub mod wire;
