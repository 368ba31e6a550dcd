//! Recorded schedules: replayed, followed, repeated, made simpler.

use crate::model::schedule::Schedule;
use crate::model::step::Step;
use crate::schedule::simpler::{passes, simplify, switches};
use crate::schedule::tests::bugs;
use crate::schedule::tests::toy::{Op, Service};
use crate::schedule::{Diverged, Exhaustive, Follow, Random, Repeat, Replay, Scheduler};

fn made(service: &Service, by: &mut dyn Scheduler) -> Result<Vec<Step>, Diverged> {
    assert!(by.next_round());
    service.round(by).map(|(past, _)| past)
}

#[test]
fn every_schedule_is_replayed_and_followed_to_the_letter() {
    let mut services: Vec<Service> = bugs::all().into_iter().map(|pair| pair.racy).collect();
    services.push(bugs::deadlock());
    for service in services {
        let mut all = Exhaustive::new();
        while all.next_round() {
            let (past, outcome) = service.round(&mut all).unwrap();
            let mut replay = Replay::new(Schedule::of(&past));
            assert!(replay.next_round());
            assert_eq!(service.round(&mut replay), Ok((past.clone(), outcome)));
            assert!(!replay.next_round());
            assert_eq!(
                made(&service, &mut Follow::new(Schedule::of(&past))),
                Ok(past)
            );
        }
    }
}

#[test]
fn a_replay_says_where_the_service_left_the_schedule() {
    let pair = bugs::lost_update(2);
    let past = made(&pair.racy, &mut Exhaustive::new()).unwrap();
    let diverged = made(&pair.right, &mut Replay::new(Schedule::of(&past))).unwrap_err();
    assert_eq!(
        diverged.to_string(),
        "diverged at choice 2: expected call 1's `Read((\"stock\", 1), 0)`, was offered call \
         1's `Lock((\"stock\", 1), 0)` or call 2's `begin`"
    );
    let mut short = Schedule::of(&past);
    short.choices.truncate(4);
    let diverged = made(&pair.racy, &mut Replay::new(short)).unwrap_err();
    assert_eq!(
        diverged.to_string(),
        "diverged at choice 5: expected the end of the round, was offered call 2's \
         `Read((\"stock\", 1), 0)`"
    );
    let mut long = Schedule::of(&past);
    long.choices.push(long.choices[5].clone());
    let diverged = made(&pair.racy, &mut Replay::new(long)).unwrap_err();
    assert_eq!(
        diverged.to_string(),
        "diverged at choice 7: expected call 2's `Write((\"stock\", 1), Read(0, 1))`, but the \
         round was over"
    );
}

#[test]
fn what_a_schedule_does_not_know_goes_with_the_call_whose_turn_it_is() {
    let pair = bugs::lost_update(2);
    let mut by = Random::new(1);
    let past = made(&pair.racy, &mut by).unwrap();
    let mut changed = pair.racy.clone();
    changed.calls[0].insert(1, Op::Read(("own", 0), 1));
    changed.calls[1].remove(0);
    let calls = |past: &[Step]| past.iter().map(|step| step.call).collect::<Vec<_>>();
    let after = made(&changed, &mut Follow::new(Schedule::of(&past))).unwrap();
    assert_eq!(calls(&past), [0, 1, 0, 1, 0, 1]);
    // Call 0 reads, then does what is new, in its second turn; call 1 has lost its.
    assert_eq!(calls(&after), [0, 1, 0, 0, 0, 1]);
}

#[test]
fn a_service_that_does_other_things_the_second_time_is_told() {
    let pair = bugs::lost_update(2);
    let mut by = Repeat::new(Box::new(Random::new(3)));
    made(&pair.racy, &mut by).unwrap();
    made(&pair.racy, &mut by).unwrap();
    assert!(!by.next_round());
    assert_eq!(by.says(), None);

    let mut by = Repeat::new(Box::new(Random::new(3)));
    made(&pair.racy, &mut by).unwrap();
    let diverged = made(&pair.right, &mut by).unwrap_err();
    assert_eq!((diverged.choice, diverged.offered.len()), (1, 2));
}

#[test]
fn a_failing_schedule_becomes_one_with_the_fewest_switches() {
    let service = bugs::eighty_statements();
    let right = service.one_at_a_time();
    let mut by = Random::new(11);
    let start = loop {
        assert!(by.next_round());
        let (past, outcome) = service.round(&mut by).unwrap();
        if !right.contains(&outcome) {
            break Schedule::of(&past);
        }
    };
    let mut tries = 0;
    let smallest = simplify(&start, &mut passes(), |candidate| {
        tries += 1;
        let mut by = Follow::new(candidate.clone());
        assert!(by.next_round());
        let (past, outcome) = service.round(&mut by).unwrap();
        (!right.contains(&outcome)).then(|| Schedule::of(&past))
    });
    assert_eq!((switches(&start), switches(&smallest)), (52, 2));
    assert!(tries < 60, "{tries}");
    // The first call goes as far as it may: to before the write that would make the
    // other one wait.
    let first = smallest.choices[0].call;
    let place = smallest.choices.iter().position(|next| next.call != first);
    assert_eq!(place, Some(51));
}
