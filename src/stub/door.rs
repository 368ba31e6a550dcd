//! Where requests to the stand-ins wait until they may be answered, and what is
//! told of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::hold::{self, Go, Hold, Holding};
use crate::model::observed::StubCall;

use super::webhook::Delivery;

/// What a held request can be struck with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It is answered 500, and nothing is done.
    ServerError,
    /// It is done, and answered so much later.
    Slow(Duration),
    /// It is done, and not answered until holding ends; then the connection is closed.
    NeverAnswers,
    /// It is done, and the connection closed instead of an answer.
    HangsUp,
    /// It is done, and its webhook comes otherwise.
    Webhook(Delivery),
}

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
        /// Lets it go, or strikes it.
        go: Go<Strike>,
    },
    /// It is remembered, and about to be answered.
    Answered {
        /// Its number.
        exchange: u64,
    },
    /// Its connection was lost before, or it will get no answer.
    Closed {
        /// Its number.
        exchange: u64,
    },
    /// A webhook is about to be sent before the answer that causes it. Followed by
    /// [`Called`](Event::Called).
    Calling {
        /// Lets it go.
        go: Go<()>,
    },
    /// The service has answered that webhook, or was not waited for any longer.
    Called,
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
        let mut passing = Passing {
            door: self,
            exchange,
            hold,
            strike: None,
            answered: false,
        };
        let mut holding = self.holding.clone();
        passing.strike = tokio::select! {
            biased;
            strike = gone.wait() => strike,
            () = holding.released(hold) => None,
        };
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
    hold: Hold,
    strike: Option<Strike>,
    answered: bool,
}

impl Passing<'_> {
    /// What it was struck with.
    pub(super) fn strike(&self) -> Option<Strike> {
        self.strike
    }

    /// It will get no answer: waits until what was held with it is let go.
    pub(super) async fn never_answered(self) {
        let (mut holding, hold) = (self.door.holding.clone(), self.hold);
        drop(self);
        holding.released(hold).await;
    }

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
