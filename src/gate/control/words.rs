//! What [`Control`](super::Control) is told, and what it says.

use std::time::Instant;

use crate::model::step::{Access, Action};

/// Where a step comes from, and its answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Session {
    /// A connection to the database.
    Database(u64),
    /// A request to a stand-in for a third party.
    ThirdParty(u64),
}

/// What has to happen before a call may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// Another call has begun.
    Begun(usize),
    /// Another call has ended.
    Ended(usize),
}

/// What is known of whose a step is, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This call's: it says so.
    Named(usize),
    /// A call's.
    ACalls,
    /// A call's, or the service's own: nobody waits for it then.
    Doubtful,
}

/// A step that has reached the gate; `G` lets it go.
#[derive(Debug)]
pub struct Arrival<G> {
    /// Where it came from.
    pub session: Session,
    /// Whose it is, as far as it tells itself.
    pub whose: Whose,
    /// The calls that it can be of: of one of several processes come only the steps of
    /// the calls that were sent to it.
    pub among: Vec<usize>,
    /// What it is about to do.
    pub action: Action,
    /// What it touches itself.
    pub accesses: Vec<Access>,
    /// Whether it ends the transaction of its connection.
    pub ends: bool,
    /// Whether its transaction may read what was there at its first statement.
    pub snapshot: bool,
    /// Whether its call waits for its answer. Many let a transaction go and have it
    /// rolled back beside what they do next.
    pub awaited: bool,
    /// Lets it go.
    pub go: G,
}

/// How a step left its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Outside a transaction.
    Idle,
    /// Inside one.
    InTransaction,
    /// Inside one that can only be rolled back, and holds nothing any more.
    Failed,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Listen, at most until then.
    Listen(Instant),
    /// Find out whether the step in flight on this connection to the database waits
    /// for a lock, and tell [`Control::locked`].
    AskLocks(u64),
    /// All have settled: choose among [`Control::waiting`].
    Choose,
    /// The race is over.
    Over,
}

/// What a choice lets go.
#[derive(Debug)]
pub enum Let<G> {
    /// The call's request.
    Begin(usize),
    /// A held step.
    Step(G),
}
