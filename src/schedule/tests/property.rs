//! On random small services: the reduction loses nothing, and few preemptions,
//! when there may be many, are all there is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::model::step::{Action, Step};
use crate::schedule::order::{Order, Watch};
use crate::schedule::plan::{Plan, Preemption, Turns, next_permutation};
use crate::schedule::tests::toy::{Op, Outcome, Row, Service, Value};
use crate::schedule::{Conflict, Diverged, Exhaustive, Point, Scheduler};

/// More rounds than this are not searched without reduction.
const MOST_ROUNDS: u64 = 800;

/// The same services at every run; others, and more of them, where `PROPTEST_CASES` is
/// set.
fn config(cases: u32) -> ProptestConfig {
    let set = ProptestConfig::default();
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        failure_persistence: None,
        max_global_rejects: 16 * set.cases.max(cases),
        cases: if is_set { set.cases } else { cases },
        rng_seed: if is_set {
            set.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        ..set
    }
}

/// Writes down the orders of conflicting steps that another scheduler makes.
struct Noting<S> {
    by: S,
    watch: Watch,
    orders: BTreeSet<u64>,
    /// What moved, but for the requests that were let go.
    interleavings: BTreeSet<Vec<(usize, String)>>,
}

impl<S: Scheduler> Noting<S> {
    fn new(by: S) -> Self {
        Noting {
            by,
            watch: Watch::default(),
            orders: BTreeSet::new(),
            interleavings: BTreeSet::new(),
        }
    }
}

impl<S: Scheduler> Scheduler for Noting<S> {
    fn next_round(&mut self) -> bool {
        self.by.next_round()
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        self.watch.see(at);
        self.by.choose(at)
    }

    fn round_ended(&mut self, past: &[Step]) -> Result<(), Diverged> {
        let events = self.watch.end(past);
        let sequence: Vec<usize> = (0..past.len()).collect();
        let order = Order::new(&events, &events.conflicts(), &sequence, past.len());
        self.orders.insert(order.hash(&events));
        let steps = past.iter().filter(|step| step.action != Action::Begin);
        let steps = steps.map(|step| (step.call, format!("{:?}", step.action)));
        self.interleavings.insert(steps.collect());
        self.by.round_ended(past)
    }
}

fn op(registers: usize) -> impl Strategy<Value = Op> {
    let row = || (0..3_u8).prop_map(|key| -> Row { ("t", key) });
    let register = move || 0..registers;
    prop_oneof![
        2 => (row(), register()).prop_map(|(row, into)| Op::Read(row, into)),
        1 => (row(), register()).prop_map(|(row, into)| Op::Lock(row, into)),
        1 => register().prop_map(|into| Op::Count("t", into)),
        2 => (row(), register()).prop_map(|(row, from)| Op::Write(row, Value::Read(from, 1))),
        2 => row().prop_map(|row| Op::Write(row, Value::Held(2))),
        1 => (3..5_u8).prop_map(|key| Op::Insert(("t", key))),
        1 => (register(), 0..2_i64).prop_map(|(of, least)| Op::StopUnless(of, least, 2)),
    ]
}

/// A call of so many operations, in a transaction or each on its own.
fn call(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let ops = prop::collection::vec(op(2), 1..=most);
    (ops, any::<bool>()).prop_map(|(mut ops, transaction)| {
        if transaction {
            ops.insert(0, Op::Open);
            ops.push(Op::Commit);
        }
        ops
    })
}

fn service(calls: usize, most: usize) -> impl Strategy<Value = Service> {
    prop::collection::vec(call(most), calls)
        .prop_map(|calls| Service::new(&[(("t", 0), 1), (("t", 1), 0)], calls))
}

/// Everything that an unreduced search comes to, if it is not too much.
fn unreduced(service: &Service) -> Option<(Noting<Exhaustive>, BTreeSet<Outcome>)> {
    let mut full = Noting::new(Exhaustive::unreduced());
    let (rounds, outcomes) = service.most(&mut full, MOST_ROUNDS);
    (rounds < MOST_ROUNDS).then_some((full, outcomes))
}

fn loses_nothing(service: &Service) -> Result<(), TestCaseError> {
    let Some((full, all)) = unreduced(service) else {
        return Err(TestCaseError::reject("too much to search"));
    };
    let mut reduced = Noting::new(Exhaustive::new());
    let (rounds, outcomes) = service.all(&mut reduced);
    prop_assert_eq!(&outcomes, &all);
    prop_assert_eq!(&reduced.orders, &full.orders, "{} rounds", rounds);
    let many = u128::try_from(full.interleavings.len()).ok();
    prop_assert_eq!(reduced.by.interleavings(), many);
    Ok(())
}

/// One plan, whether or not its preemptions come where calls conflict.
struct Planned(Plan, Turns);

impl Scheduler for Planned {
    fn next_round(&mut self) -> bool {
        true
    }

    fn choose(&mut self, at: &Point<'_>) -> Result<usize, Diverged> {
        let waiting: Vec<usize> = at.waiting.iter().map(|step| step.call).collect();
        let call = self.1.next(&self.0, at.past, &waiting, at.stuck).unwrap();
        Ok(at.index_of(call).unwrap())
    }

    fn round_ended(&mut self, _past: &[Step]) -> Result<(), Diverged> {
        Ok(())
    }
}

/// What every schedule of up to so many preemptions, at whatever steps, makes.
fn orders_of(service: &Service, most: usize) -> BTreeSet<u64> {
    let calls = service.calls.len();
    let preemptions: Vec<Preemption> = (0..calls)
        .flat_map(|call| (1..7).map(move |step| (call, step)))
        .flat_map(|(call, step)| (1..calls).map(move |places| Preemption { call, step, places }))
        .collect();
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        let pairs = longest.iter().flat_map(|plan: &Vec<Preemption>| {
            preemptions
                .iter()
                .map(move |more| [plan.as_slice(), &[*more]].concat())
        });
        longest = pairs.collect();
        all.extend_from_slice(&longest);
    }
    let mut orders = BTreeSet::new();
    let mut order: Vec<usize> = (0..calls).collect();
    loop {
        for preemptions in &all {
            let plan = Plan {
                order: order.clone(),
                preemptions: preemptions.clone(),
            };
            let turns = Turns::of(&plan);
            let mut by = Noting::new(Planned(plan, turns));
            service.round(&mut by).unwrap();
            orders.extend(by.orders);
        }
        if !next_permutation(&mut order) {
            return orders;
        }
    }
}

/// Whether `conflict` misses nothing that so many preemptions make.
fn preempts_where_it_matters(service: &Service, most: usize) -> Result<(), TestCaseError> {
    let mut by = Noting::new(Conflict::new(service.solo()).up_to(most));
    service.all(&mut by);
    by.orders.extend(orders_of(service, 0));
    let missed: Vec<u64> = orders_of(service, most)
        .difference(&by.orders)
        .copied()
        .collect();
    prop_assert!(missed.is_empty(), "{} of {}", missed.len(), by.orders.len());
    Ok(())
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn the_reduction_loses_no_outcome_of_two_calls(service in service(2, 4)) {
        loses_nothing(&service)?;
    }

    #[test]
    fn the_reduction_loses_no_outcome_of_three_calls(service in service(3, 2)) {
        loses_nothing(&service)?;
    }

    #[test]
    fn a_mutex_that_nobody_knows_of_costs_rounds_and_no_outcome(
        service in service(2, 3),
        guarded in prop::collection::vec(any::<bool>(), 2),
    ) {
        let mut service = service;
        for (call, guarded) in service.calls.iter_mut().zip(guarded) {
            if guarded {
                call.insert(0, Op::Take);
                call.push(Op::Give);
            }
        }
        let Some((_, all)) = unreduced(&service) else {
            return Err(TestCaseError::reject("too much to search"));
        };
        prop_assert_eq!(service.all(&mut Exhaustive::new()).1, all);
    }

    #[test]
    fn one_preemption_is_put_wherever_it_matters(service in service(2, 4)) {
        preempts_where_it_matters(&service, 1)?;
    }

    #[test]
    fn two_preemptions_are_put_wherever_they_matter(service in service(2, 4)) {
        preempts_where_it_matters(&service, 2)?;
    }

    #[test]
    fn so_is_one_among_three_calls_that_hold_no_locks_and_do_not_branch(
        calls in prop::collection::vec(prop::collection::vec(op(2), 1..=3), 3),
    ) {
        let mut calls = calls;
        for call in &mut calls {
            // An insert that finds its row there already is a branch, too.
            call.retain(|op| !matches!(op, Op::StopUnless(..) | Op::Insert(_)));
        }
        preempts_where_it_matters(&Service::new(&[(("t", 0), 1)], calls), 1)?;
    }

    #[test]
    fn any_number_of_preemptions_is_every_schedule_of_two_calls(service in service(2, 4)) {
        let (_, all) = service.all(&mut Exhaustive::new());
        let mut by = Conflict::new(service.solo()).up_to(20);
        let (_, mut outcomes) = service.all(&mut by);
        outcomes.extend(service.one_at_a_time());
        prop_assert_eq!(outcomes, all);
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn three_preemptions_are_put_wherever_they_matter(service in service(2, 3)) {
        preempts_where_it_matters(&service, 3)?;
    }
}
