//! What third parties make the service do while calls are held: a webhook is nobody's
//! call, and its statements are not to be held, chosen or recorded.
//!
//! It is sent only while the call that caused it waits for its answer, and one call
//! moves at a time: what comes then in no call's transaction is the webhook's. Knows no
//! gate: it is told what was seen there.

use std::collections::HashSet;

/// The webhooks under way, and where they are at work.
#[derive(Debug, Default)]
pub(super) struct Outsiders {
    under_way: usize,
    /// The sessions that a transaction or a step of theirs is under way in.
    at_work: HashSet<u64>,
}

impl Outsiders {
    /// A webhook is sent.
    pub(super) fn begins(&mut self) {
        self.under_way += 1;
    }

    /// Whether one is.
    pub(super) fn are_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// It was answered, or is not waited for any longer.
    pub(super) fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A step arrives, in no transaction of a call's: whether it is a webhook's.
    pub(super) fn arrives(&mut self, session: u64, in_transaction: bool) -> bool {
        let goes_on = in_transaction && self.at_work.contains(&session);
        let its = goes_on || self.are_under_way();
        if its {
            self.at_work.insert(session);
        } else {
            self.at_work.remove(&session);
        }
        its
    }

    /// A step was answered: whether it was a webhook's.
    pub(super) fn answered(&mut self, session: u64, in_transaction: bool) -> bool {
        if in_transaction {
            self.at_work.contains(&session)
        } else {
            self.at_work.remove(&session)
        }
    }

    /// A connection has ended.
    pub(super) fn closed(&mut self, session: u64) {
        self.at_work.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_a_webhook_is_under_way_is_its_own_to_the_end() {
        let mut outsiders = Outsiders::default();
        assert!(!outsiders.arrives(1, false), "a call's");
        assert!(!outsiders.answered(1, false));
        outsiders.begins();
        assert!(outsiders.arrives(1, false) && outsiders.answered(1, false));
        assert!(outsiders.arrives(2, false) && outsiders.answered(2, true));
        outsiders.ended();
        assert!(!outsiders.arrives(1, false), "answered, and a call's again");
        assert!(
            outsiders.arrives(2, true) && outsiders.answered(2, false),
            "the client has gone, its transaction has not"
        );
        assert!(!outsiders.arrives(2, false));
    }

    #[test]
    fn a_connection_that_ends_takes_its_transaction_along() {
        let mut outsiders = Outsiders::default();
        outsiders.begins();
        assert!(outsiders.arrives(1, false) && outsiders.answered(1, true));
        outsiders.ended();
        outsiders.closed(1);
        assert!(!outsiders.arrives(1, true));
    }
}
