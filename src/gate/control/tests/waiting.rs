//! Calls that wait: for locks, for each other, for nobody.

use std::time::Duration;

use super::*;

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
fn a_long_statement_that_waits_for_nobody_is_waited_for() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    let begun = race.now;
    let mut asked = 0;
    while race.now < begun + Duration::from_secs(30) {
        assert_eq!(race.next(), Next::AskLocks(1), "nobody else moves");
        race.control.locked(race.now, 1, false);
        asked += 1;
    }
    assert!(asked < 30 * 60, "asked {asked} times");
    race.answered(1, false);
    race.control.ended(race.now, 0);
    assert_eq!(race.calls_waiting(), [1]);
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
fn a_call_that_stirs_is_not_waiting_elsewhere() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(1);
    let silence = Pace::default().silence();
    for _ in 0..3 {
        // It opens a connection, begins a transaction, sets something.
        race.now += silence / 2;
        race.control.stirred(race.now, &[0, 1]);
        assert!(matches!(race.control.next(race.now), Next::Listen(_)));
    }
    assert_eq!(race.calls_waiting(), [0], "then it is silent");
    race.control.stirred(race.now, &[0]);
    assert_eq!(race.next(), Next::Choose, "that was another's");
    race.control.stirred(race.now, &[1]);
    assert!(matches!(race.control.next(race.now), Next::Listen(_)));
    race.arrives(2, "b");
    assert_eq!(race.calls_waiting(), [0, 1]);
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
    race.control
        .answered(race.now, Session::Database(1), Left::Failed);
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
fn an_answer_of_a_third_party_frees_nobody_who_waits_for_a_lock() {
    let mut race = Race::of(&[After::Nothing, After::Nothing]);
    race.go(0);
    race.arrives(1, "a");
    race.go(0);
    race.answered(1, true);
    race.asks(1, None);
    race.go(1);
    race.arrives(2, "b");
    race.go(1);
    assert_eq!(race.next(), Next::AskLocks(2));
    race.control.locked(race.now, 2, true);
    race.go(0);
    race.told(1);
    race.arrives(1, "COMMIT");
    assert_eq!(
        race.control.next(race.now),
        Next::Choose,
        "nothing is asked again"
    );
}
