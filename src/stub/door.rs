//! Where requests to the stand-ins wait until they may be answered, and what is
//! told of it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use crate::hold::{self, Go, Holding};
use crate::model::observed::StubCall;

/// What happened at a stand-in while requests were held. Every
/// [`Arrived`](Event::Arrived) is followed by [`Answered`](Event::Answered) or
/// [`Closed`](Event::Closed).
#[derive(Debug)]
pub enum Event {
    /// A request has been read whole, and waits to be let go.
    Arrived {
        /// Its number among all the stand-ins' requests, counted from 1.
        exchange: u64,
        /// What was asked, of whom.
        call: StubCall,
        /// The target file's request line that it fits, or its own.
        line: String,
        /// Lets it go.
        go: Go,
    },
    /// It is remembered, and about to be answered.
    Answered {
        /// Its number.
        exchange: u64,
    },
    /// Its connection was lost before.
    Closed {
        /// Its number.
        exchange: u64,
    },
}

/// Shared by all the stand-ins of a target.
#[derive(Debug)]
pub(super) struct Door {
    holding: Holding,
    events: UnboundedSender<Event>,
    last_exchange: AtomicU64,
}

impl Door {
    pub(super) fn new(holding: Holding, events: UnboundedSender<Event>) -> Door {
        Door {
            holding,
            events,
            last_exchange: AtomicU64::new(0),
        }
    }

    /// Holds a request until it may go, if it is to be held.
    pub(super) async fn pass(&self, call: &StubCall, line: String) -> Option<Passing<'_>> {
        let hold = self.holding.now();
        if !hold.on {
            return None;
        }
        let exchange = self.last_exchange.fetch_add(1, Ordering::Relaxed) + 1;
        let (go, gone) = hold::held();
        self.tell(Event::Arrived {
            exchange,
            call: call.clone(),
            line,
            go,
        });
        let passing = Passing {
            door: self,
            exchange,
            answered: false,
        };
        let mut holding = self.holding.clone();
        tokio::select! {
            () = gone.wait() => {}
            () = holding.released(hold) => {}
        }
        Some(passing)
    }

    /// Where nobody listens nothing is held: what is told is dropped.
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// A request that was held. Dropped, its end is told.
#[derive(Debug)]
pub(super) struct Passing<'a> {
    door: &'a Door,
    exchange: u64,
    answered: bool,
}

impl Passing<'_> {
    /// Its answer is ready.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let exchange = self.exchange;
        self.door.tell(if self.answered {
            Event::Answered { exchange }
        } else {
            Event::Closed { exchange }
        });
    }
}
