//! Races as they are heard, with a clock that only moves when it is told to.

mod waiting;

use super::*;
use crate::model::step::{Access, Mode};

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

    fn arrives(&mut self, session: u64, sql: &'static str) {
        self.says(Whose::ACalls, session, sql);
    }

    /// A step that may say whose it is.
    fn says(&mut self, whose: Whose, session: u64, sql: &'static str) {
        let all: Vec<usize> = (0..self.control.calls.len()).collect();
        self.comes(whose, &all, session, sql);
    }

    /// A step of one of these calls.
    fn comes(&mut self, whose: Whose, among: &[usize], session: u64, sql: &'static str) {
        let arrival = Arrival {
            session: Session::Database(session),
            whose,
            among: among.to_vec(),
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
            ends: sql == "COMMIT" || sql == "ROLLBACK",
            snapshot: self.snapshot,
            awaited: sql != "ROLLBACK",
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

    fn answered(&mut self, session: u64, in_transaction: bool) {
        let left = if in_transaction {
            Left::InTransaction
        } else {
            Left::Idle
        };
        let session = Session::Database(session);
        self.control.answered(self.now, session, left);
    }

    /// A request reaches a stand-in.
    fn asks(&mut self, exchange: u64, call: Option<usize>) {
        let arrival = Arrival {
            session: Session::ThirdParty(exchange),
            whose: call.map_or(Whose::ACalls, Whose::Named),
            among: (0..self.control.calls.len()).collect(),
            action: Action::ThirdParty {
                stub: "provider".to_owned(),
                request: "POST /charges".to_owned(),
            },
            accesses: Vec::new(),
            ends: false,
            snapshot: false,
            awaited: true,
            go: "POST /charges",
        };
        self.control.arrived(self.now, arrival);
    }

    fn told(&mut self, exchange: u64) {
        let session = Session::ThirdParty(exchange);
        self.control.answered(self.now, session, Left::Idle);
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
fn a_connection_that_closes_takes_its_steps_along() {
    let mut race = Race::of(&[After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    assert_eq!(race.calls_waiting(), [0]);
    race.control.closed(race.now, Session::Database(1));
    race.control.ended(race.now, 0);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn a_third_party_is_a_choice_and_is_asked_for_no_locks() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.asks(1, None);
    assert_eq!(race.calls_waiting(), [0, 1]);
    let step = race.control.waiting().remove(0);
    assert!(matches!(step.action, Action::ThirdParty { .. }));
    assert!(matches!(race.go(0), Let::Step("POST /charges")));
    assert!(
        matches!(race.next(), Next::Listen(_)),
        "it is answered, however long that takes"
    );
    race.told(1);
    race.arrives(1, "a");
    assert_eq!(
        race.calls_waiting(),
        [0, 1],
        "numbers of two kinds are apart"
    );
    race.go(0);
    assert_eq!(race.next(), Next::AskLocks(1));
    race.answered(1, false);
    race.control.ended(race.now, 0);
    race.go(1);
    race.asks(2, None);
    assert_eq!(race.calls_waiting(), [1]);
    race.control.closed(race.now, Session::ThirdParty(2));
    race.control.ended(race.now, 1);
    assert_eq!(race.next(), Next::Over);
}

#[test]
fn a_step_that_says_whose_it_is_needs_no_guess() {
    let mut race = Race::of(&[After::Nothing, After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(1);
    race.arrives(2, "b");
    race.go(1);
    // One who moved long ago, while another runs.
    race.asks(1, Some(0));
    race.answered(2, false);
    race.control.ended(race.now, 1);
    assert_eq!(race.calls_waiting(), [0, 2]);
    race.go(0);
    race.answered(1, true);
    // On a connection that another's transaction was taken to be on.
    race.go(0);
    race.told(1);
    race.go(2);
    race.says(Whose::Named(2), 1, "c");
    race.control.ended(race.now, 0);
    assert_eq!(race.calls_waiting(), [2]);
    // Who has not begun, or does not exist, has sent nothing.
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.says(Whose::Named(1), 1, "a");
    race.says(Whose::Named(7), 2, "b");
    assert_eq!(race.control.waiting().len(), 2);
    race.go(0);
    race.answered(1, false);
    race.go(0);
    assert_eq!(race.control.past().len(), 3);
    assert!(race.control.past().iter().all(|step| step.call == 0));
}

#[test]
fn what_nobody_waits_for_goes_by_itself() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.says(Whose::Doubtful, 9, "job");
    assert!(
        matches!(race.control.next(race.now), Next::Listen(_)),
        "the call may be about to say that it is another's"
    );
    race.arrives(1, "a");
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert_eq!(race.control.waiting().len(), 2);
    assert!(race.control.unclaimed.is_empty(), "it has gone");
    race.answered(9, true);
    assert!(matches!(race.go(0), Let::Step("a")));
    race.answered(1, false);
    race.says(Whose::Doubtful, 9, "b");
    assert_eq!(race.calls_waiting(), [0, 1], "the call waits for this one");
    assert!(matches!(race.go(0), Let::Step("b")));
    race.answered(9, false);
    race.control.ended(race.now, 0);
    race.go(1);
    race.control.ended(race.now, 1);
    race.says(Whose::Doubtful, 9, "job");
    assert_eq!(race.next(), Next::Over);
    assert_eq!(race.control.past().len(), 4);
}

#[test]
fn a_rollback_may_go_beside_what_its_call_does_next() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.arrives(1, "ROLLBACK");
    race.go(1);
    race.asks(1, None);
    race.arrives(2, "b");
    // Either may have sent either: that who moved last has sent what came first is
    // likelier, and the other has sent the rest.
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert!(matches!(race.go(1), Let::Step("POST /charges")));
    race.told(1);
    race.control.ended(race.now, 1);
    assert!(matches!(race.go(0), Let::Step("ROLLBACK")));
    race.answered(1, false);
    assert!(matches!(race.go(0), Let::Step("b")));
}

#[test]
fn a_call_that_does_two_things_at_once_is_not_stopped_by_one() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.says(Whose::Named(0), 2, "b");
    race.go(0);
    assert_eq!(race.next(), Next::AskLocks(1));
    race.control.locked(race.now, 1, true);
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert!(matches!(race.go(0), Let::Step("b")));
}

#[test]
fn of_a_process_come_only_the_steps_of_the_calls_that_were_sent_to_it() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.go(1);
    // Both are under way, and the last that moved is the other.
    race.comes(Whose::ACalls, &[0], 1, "a");
    race.comes(Whose::ACalls, &[1], 2, "b");
    assert!(race.control.unclaimed.is_empty());
    assert_eq!(race.calls_waiting(), [0, 1]);
    assert!(matches!(race.go(0), Let::Step("a")));
    // It does two things at once, while another has moved.
    assert!(matches!(race.control.next(race.now), Next::Listen(_)));
    race.answered(1, true);
    race.arrives(1, "COMMIT");
    race.go(1);
    race.answered(2, true);
    race.arrives(2, "COMMIT");
    race.comes(Whose::ACalls, &[0], 3, "c");
    assert_eq!(race.calls_waiting(), [0, 1]);
    race.go(0);
    race.answered(1, false);
    assert!(matches!(race.go(0), Let::Step("c")));
}
