//! PostgreSQL's protocol, version 3, as far as someone in the middle has to read it.
//!
//! Framing and values come from `postgres-protocol`. That crate reads what servers
//! say but not what clients say, and `pgwire`, which does, panics on a Bind that is
//! cut short; so the bodies of the few client messages of interest are read in
//! [`frontend`].

pub mod backend;
pub mod frames;
pub mod frontend;
pub mod startup;
pub mod value;

pub use postgres_protocol::Oid;

/// Bytes that are not this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The first packet's length is one that no packet has.
    #[error(
        "the connection opens with a packet of {length} bytes, and a start-up packet has 8 to {}: \
         this is not PostgreSQL's protocol",
        startup::LONGEST
    )]
    Opening {
        /// The length that it gives.
        length: u32,
    },
    /// A message's length is one that no message has.
    #[error(
        "a message `{}` gives {length} as its length, and a message has 4 to {} bytes: \
         this is not PostgreSQL's protocol, or its framing is lost",
        tag.escape_ascii(),
        frames::LONGEST
    )]
    Length {
        /// The message's first byte.
        tag: u8,
        /// The length that it gives.
        length: i64,
    },
}
