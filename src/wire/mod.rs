//! Database protocols as bytes and messages, a file (or folder) a protocol.
//!
//! Knows nothing of deadheat: neither what messages are read for nor what becomes
//! of them. Does no input or output.

pub mod postgres;
