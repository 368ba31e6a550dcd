//! The calls of a race, as far as the clients' eyes tell their order: which came before
//! which, which may not have happened, and which nobody can tell apart.

use crate::model::history::{History, Made, Request};
use crate::model::outcome::Outcome;
use crate::oracle::outcome::canon::Reader;
use crate::oracle::outcome::known::Order;

/// How many orders of the same requests are looked at. Calls that send the same can be
/// told apart by their answers, and eight of them have forty thousand orders.
const MOST_OF_ONE: usize = 100;

/// The calls of a race, as far as their order is told by what the clients saw.
#[derive(Debug)]
pub struct Race {
    calls: Vec<Seen>,
    /// For each call the first that sends the very same request: in a row, these are one.
    twins: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Whether it may not have happened at all: it was refused, or ended in doubt.
    may_be_absent: bool,
    /// Whether its answer says what it did.
    is_told: bool,
    begun: u64,
    /// When its client knew; never, if in doubt: it may take effect at any time.
    ended: u64,
}

/// When the service can first have known of a call. Races without a gate write every
/// request up to its last byte before the barrier; where that byte is one of the body, the
/// service has the head, and may have looked up who calls.
fn begun(call: &Made, history: &History) -> u64 {
    let is_free = history.steps.is_empty();
    let has_head = is_free && !call.request.body.is_empty();
    match call.released_us {
        _ if has_head => 0,
        Some(released) => released,
        None => u64::MAX,
    }
}

impl Race {
    /// The race of a history.
    pub fn of(history: &History) -> Race {
        let seen = |call: &Made| Seen {
            may_be_absent: call.is_in_doubt() || call.is_refused(),
            is_told: !call.is_in_doubt(),
            begun: begun(call, history),
            ended: call
                .ended_us
                .filter(|_| !call.is_in_doubt())
                .unwrap_or(u64::MAX),
        };
        let calls = &history.calls;
        let requests: Vec<&Request> = calls.iter().map(|call| &call.request).collect();
        Race {
            calls: calls.iter().map(seen).collect(),
            twins: first_like(&requests),
        }
    }

    /// Whether one call was over before another began.
    fn is_before(&self, one: usize, other: usize) -> bool {
        self.calls[one].ended < self.calls[other].begun
    }

    /// The calls that may come next, the likeliest first. Of calls that are `alike`, so
    /// that nobody can tell them apart, which comes first is no question.
    pub(super) fn next(&self, order: &[usize], alike: &[usize]) -> Vec<usize> {
        let absent = |call: usize| !order.contains(&call);
        let may_come = |call: &usize| {
            let has_to_wait =
                |other: usize| !self.calls[other].may_be_absent && self.is_before(other, *call);
            absent(*call)
                && !(0..self.calls.len()).any(|other| absent(other) && has_to_wait(other))
                && !order.iter().any(|later| self.is_before(*call, *later))
        };
        let mut next: Vec<usize> = (0..self.calls.len()).filter(may_come).collect();
        next.sort_by_key(|call| (self.calls[*call].may_be_absent, self.calls[*call].ended));
        let mut known = Vec::new();
        next.retain(|call| {
            let is_new = !known.contains(&alike[*call]);
            known.push(alike[*call]);
            is_new
        });
        next
    }

    /// For each call the first that sends the same and was answered the same, as far as
    /// its answer counts. Where `names` count, an answer that names a thing is like no
    /// other: something else may tell of that thing.
    pub(super) fn alike(&self, outcome: &Outcome, reader: &Reader<'_>, names: bool) -> Vec<usize> {
        let calls = self.calls.iter().zip(&self.twins).zip(&outcome.answers);
        let all = calls.enumerate().map(|(call, ((seen, twin), answer))| {
            let told = answer.as_ref().filter(|_| seen.is_told);
            let own = told.filter(|answer| names && reader.names_something(answer));
            let told = told.map(|answer| reader.reply(answer));
            (
                *twin,
                seen.may_be_absent,
                seen.is_told,
                told,
                own.map(|_| call),
            )
        });
        first_like(&all.collect::<Vec<_>>())
    }

    /// Whether all the calls that must have happened are there.
    pub(super) fn is_whole(&self, order: &[usize]) -> bool {
        let missing = (0..self.calls.len()).filter(|call| !order.contains(call));
        missing
            .into_iter()
            .all(|call| self.calls[call].may_be_absent)
    }

    /// The orders that these calls can have had and in which these requests are sent; of
    /// too many, the first.
    pub(super) fn orders_of(&self, requests: &[usize], alike: &[usize]) -> Vec<Order> {
        let mut orders = vec![Order::new()];
        for request in requests {
            let longer = orders.iter().flat_map(|order| {
                let next = self.next(order, alike).into_iter();
                let fitting = next.filter(|call| self.twins[*call] == *request);
                fitting.map(|call| order.iter().copied().chain([call]).collect())
            });
            orders = longer.take(MOST_OF_ONE).collect();
        }
        orders.retain(|order| self.is_whole(order));
        orders
    }

    /// Whether a call may not have happened.
    pub(super) fn may_be_absent(&self, call: usize) -> bool {
        self.calls[call].may_be_absent
    }

    /// What is sent in this order, by which it is known.
    pub fn requests(&self, order: &[usize]) -> Order {
        order.iter().map(|call| self.twins[*call]).collect()
    }

    /// A race's outcome with the answers of an order's calls, in that order, as far as
    /// the order has to explain them.
    pub(super) fn told(&self, order: &[usize], outcome: &Outcome) -> Outcome {
        let told = |call: &usize| {
            let answer = outcome.answers[*call].clone();
            answer.filter(|_| self.calls[*call].is_told)
        };
        Outcome {
            answers: order.iter().map(told).collect(),
            traces: outcome.traces.clone(),
        }
    }

    /// The same of what an order came to, whose answers are in its order.
    pub(super) fn told_in_order(&self, order: &[usize], outcome: &Outcome) -> Outcome {
        let mut told = outcome.clone();
        for (answer, call) in told.answers.iter_mut().zip(order) {
            if !self.calls[*call].is_told {
                *answer = None;
            }
        }
        told
    }
}

/// For each the first that is equal to it.
fn first_like<T: PartialEq>(all: &[T]) -> Vec<usize> {
    let twin = |at: usize| all[..at].iter().position(|other| *other == all[at]);
    (0..all.len()).map(|at| twin(at).unwrap_or(at)).collect()
}
