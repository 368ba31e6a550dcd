//! Races as they are heard, with a clock that only moves when it is told to.

use super::*;
use crate::model::step::Mode;

/// A control with a clock that only moves when it is told to.
struct Race {
    control: Control<&'static str>,
    now: Instant,
    /// Whether transactions read as of their first statement.
    snapshot: bool,
}

impl Race {
    fn of(begins: &[After]) -> Race {
        let now = Instant::now();
        Race {
            control: Control::new(begins, Pace::default(), now),
            now,
            snapshot: false,
        }
    }

    fn arrives(&mut self, session: Session, sql: &'static str) {
        let arrival = Arrival {
            session,
            action: Action::Sql {
                statement: sql.to_owned(),
                parameters: Vec::new(),
                short: sql.to_owned(),
            },
            accesses: if sql == "COMMIT" {
                Vec::new()
            } else {
                vec![Access {
                    table: sql.to_owned(),
                    mode: Mode::Write,
                    rows: BTreeMap::new(),
                }]
            },
            ends: sql == "COMMIT",
            snapshot: self.snapshot,
            go: sql,
        };
        self.control.arrived(self.now, arrival);
    }

    /// What a step of the past is known to touch, by modes and tables.
    fn touched(&self, step: usize) -> Vec<(Mode, &str)> {
        let accesses = self.control.past()[step].accesses.iter();
        accesses
            .map(|access| (access.mode, access.table.as_str()))
            .collect()
    }

    fn answered(&mut self, session: Session, in_transaction: bool) {
        let left = if in_transaction {
            Left::InTransaction
        } else {
            Left::Idle
        };
        self.control.answered(self.now, session, left);
    }

    /// Lets time pass until there is something to do.
    fn next(&mut self) -> Next {
        loop {
            match self.control.next(self.now) {
                Next::Listen(until) if until < self.now + pace::IDLE => {
                    self.now = until;
                }
                next => return next,
            }
        }
    }

    fn go(&mut self, call: usize) -> Let<&'static str> {
        assert_eq!(self.next(), Next::Choose);
        self.control.go(self.now, call).unwrap()
    }

    fn calls_waiting(&mut self) -> Vec<usize> {
        assert_eq!(self.next(), Next::Choose);
        self.control
            .waiting()
            .iter()
            .map(|step| step.call)
            .collect()
    }
}

#[test]
fn one_call_runs_at_a_time_and_what_arrives_is_its_own() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert!(matches!(race.go(0), Let::Begin(0)));
    assert!(
        matches!(race.control.next(race.now), Next::Listen(_)),
        "it runs"
    );
    race.arrives(1, "a");
    assert!(matches!(race.go(1), Let::Begin(1)));
    race.arrives(2, "b");
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert!(matches!(race.go(1), Let::Step("b")));
    race.answered(2, false);
    race.control.ended(race.now, 1);
    assert_eq!(race.calls_waiting(), [0]);
    assert!(matches!(race.go(0), Let::Step("a")));
    race.answered(1, false);
    race.control.ended(race.now, 0);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn who_waits_for_a_lock_goes_on_with_its_holders_commit() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.arrives(1, "COMMIT");
    race.go(1);
    race.arrives(2, "b");
    race.go(1);
    assert_eq!(race.next(), Next::AskLocks(2), "no answer comes");
    race.control.locked(race.now, 2, true);
    assert_eq!(race.calls_waiting(), [0], "one waits for a lock");
    let commit = race.control.waiting().remove(0);
    assert_eq!(
        commit.accesses.len(),
        1,
        "it shows what the transaction changed"
    );
    race.go(0);
    race.answered(1, false);
    race.control.ended(race.now, 0);
    race.answered(2, true);
    race.arrives(2, "COMMIT");
    assert_eq!(race.calls_waiting(), [1]);
    race.go(1);
    race.answered(2, false);
    race.control.ended(race.now, 1);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn a_mutex_of_the_services_makes_others_wait_elsewhere() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(1);
    assert_eq!(race.calls_waiting(), [0], "the other is not heard of");
    race.go(0);
    race.answered(1, false);
    // The mutex is let go: the other's step comes before the first has its
    // answer, and only the answer tells whose it is.
    race.arrives(2, "b");
    assert!(matches!(race.control.next(race.now), Next::Listen(_)));
    race.control.ended(race.now, 0);
    assert_eq!(race.calls_waiting(), [1]);
    race.go(1);
    race.answered(2, false);
    race.control.ended(race.now, 1);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn a_rollback_after_the_answer_is_part_of_the_round() {
    let mut race = Race::of(&[After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.control.ended(race.now, 0);
    assert!(
        matches!(race.next(), Next::Listen(_)),
        "its transaction is open"
    );
    race.arrives(1, "COMMIT");
    race.go(0);
    race.answered(1, false);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn a_retry_begins_when_what_it_waits_for_has_happened() {
    let mut race = Race::of(&[After::Nothing, After::Ended(0), After::Begun(0)]);
    assert_eq!(race.calls_waiting(), [0]);
    race.go(0);
    race.arrives(1, "a");
    assert_eq!(race.calls_waiting(), [0, 2]);
    race.go(0);
    race.answered(1, false);
    race.control.ended(race.now, 0);
    assert_eq!(race.calls_waiting(), [1, 2]);
}

#[test]
fn a_statement_that_fails_undoes_its_transaction_and_frees_who_waited() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.arrives(1, "b");
    race.go(1);
    race.arrives(2, "c");
    race.go(1);
    assert_eq!(race.next(), Next::AskLocks(2));
    race.control.locked(race.now, 2, true);
    race.go(0);
    race.control.answered(race.now, 1, Left::Failed);
    assert_eq!(race.touched(4), [(Mode::Write, "b"), (Mode::Write, "a")]);
    race.arrives(1, "COMMIT");
    assert!(
        matches!(race.control.next(race.now), Next::Listen(_)),
        "who waited runs"
    );
    race.answered(2, false);
    race.control.ended(race.now, 1);
    assert_eq!(race.calls_waiting(), [0]);
}

#[test]
fn the_first_statement_sees_what_its_snapshot_is_read_for_later() {
    let mut race = Race::of(&[After::Nothing]);
    race.snapshot = true;
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.arrives(1, "b");
    race.go(0);
    race.answered(1, false);
    assert_eq!(race.touched(1), [(Mode::Write, "a"), (Mode::Read, "b")]);
    race.arrives(1, "c");
    race.go(0);
    assert_eq!(race.touched(3), [(Mode::Write, "c")], "another transaction");
}

#[test]
fn a_connection_that_closes_takes_its_steps_along() {
    let mut race = Race::of(&[After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    assert_eq!(race.calls_waiting(), [0]);
    race.control.closed(race.now, 1);
    race.control.ended(race.now, 0);
    assert_eq!(race.next(), Next::Over);
}
