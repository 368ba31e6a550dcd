//! The schedulers on a toy service: what each finds, what it misses as it should,
//! and what each costs.

mod bugs;
mod compared;
mod property;
mod schedules;
pub mod toy;
