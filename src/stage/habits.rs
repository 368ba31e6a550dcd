//! What the service does at the database of its own accord: jobs that poll a table
//! are nobody's call, and are not to be held, chosen or recorded.
//!
//! A step is the service's own if its connection has sent the same statement while no
//! call was under way, or if it stands in a transaction that such a step began. What
//! else comes on such a connection may be a call's, which shares it, or what the job
//! does when it has found something. Knows no gate: it is told what was seen there.

use std::collections::{HashMap, HashSet};

/// What is known of every connection that has sent something of its own accord.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    sessions: HashMap<u64, Habit>,
    /// Whether anything was ever learned, of connections that may be gone.
    any: bool,
}

#[derive(Debug, Default)]
struct Habit {
    statements: HashSet<String>,
    /// A transaction, or a step outside one, is under way.
    at_work: bool,
}

/// The most statements of a connection that are learned: a job that writes its values
/// into its SQL says the same thing ever differently.
const MOST_STATEMENTS: usize = 256;

impl Habits {
    /// A statement was sent while no call was under way.
    pub(crate) fn learn(&mut self, session: u64, statement: &str) {
        self.any = true;
        let known = &mut self.sessions.entry(session).or_default().statements;
        if known.len() < MOST_STATEMENTS && !known.contains(statement) {
            known.insert(statement.to_owned());
        }
    }

    /// Whether the service does anything of its own accord.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// A step arrives, while calls are under way, in no transaction of theirs: whether
    /// it is the service's own.
    pub(crate) fn arrives(&mut self, session: u64, statement: &str, in_transaction: bool) -> bool {
        let Some(habit) = self.sessions.get_mut(&session) else {
            return false;
        };
        let goes_on = habit.at_work && in_transaction;
        habit.at_work = goes_on || habit.statements.contains(statement);
        habit.at_work
    }

    /// Whether a connection has ever sent something of the service's own.
    pub(crate) fn has(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// A step was answered: whether it was the service's own.
    pub(crate) fn answered(&mut self, session: u64, in_transaction: bool) -> bool {
        let Some(habit) = self.sessions.get_mut(&session) else {
            return false;
        };
        let was_at_work = habit.at_work;
        habit.at_work &= in_transaction;
        was_at_work
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, session: u64) {
        self.sessions.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_while_nobody_calls_is_the_services_own() {
        let mut habits = Habits::default();
        habits.learn(1, "poll");
        assert!(habits.arrives(1, "poll", false) && habits.answered(1, false));
        assert!(!habits.answered(1, false), "that was all");
        assert!(!habits.arrives(2, "poll", false), "another connection");
        assert!(!habits.arrives(1, "order", false), "shared with a call");
        assert!(habits.has(1) && !habits.has(2));
        assert!(!habits.answered(1, true));
        habits.closed(1);
        assert!(
            !habits.arrives(1, "poll", false),
            "the number means another"
        );
    }

    #[test]
    fn a_transaction_of_its_own_is_its_own_to_the_end() {
        let mut habits = Habits::default();
        habits.learn(1, "poll");
        assert!(habits.arrives(1, "poll", true) && habits.answered(1, true));
        assert!(habits.arrives(1, "found", true) && habits.answered(1, true));
        assert!(habits.arrives(1, "COMMIT", true) && habits.answered(1, false));
        assert!(!habits.arrives(1, "found", true), "a call's transaction");
        assert!(habits.arrives(1, "poll", true));
        assert!(
            !habits.arrives(1, "order", false),
            "that one has ended unseen"
        );
    }
}
