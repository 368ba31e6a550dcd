//! deadheat: a concurrency and race-condition fuzzer for HTTP APIs on SQL databases.

pub mod exit;
