//! What is told of a run, a file a format. A reporter listens to the events of a
//! hunt; it knows `model` alone, and the hunt does not know it.
//!
//! To add a format: write its file, and list it where `cli/run.rs` makes the
//! listeners.

pub mod coverage;
pub mod curl;
pub mod faults;
pub mod finding;
mod interleaving;
pub mod json;
pub mod terminal;
