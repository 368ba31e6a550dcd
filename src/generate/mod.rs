//! From a target and a 64-bit seed to scenarios.
//!
//! proptest's strategies are driven by hand: a seed makes one value tree, whose
//! current value is the scenario, and whose simplification is the first half of
//! shrinking. The same seed on the same target file (and fixtures) gives the
//! same scenario on every machine. Knows neither HTTP nor a database: rows to
//! draw from come in as [`Pools`].

mod probe;
mod race;
mod spoil;
mod values;

use proptest::prelude::Strategy;
use proptest::strategy::{BoxedStrategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::model::scenario::Scenario;
use crate::target::Target;
use crate::target::error::TargetError;

pub use probe::{no_row, rows, set_up};
pub use spoil::spoils;
pub use values::{PoolQuery, Pools, simplest};

/// The most calls that a race may have: beyond it, one machine's own scheduling
/// is all that is measured.
pub const MOST_CALLS: usize = 64;

/// A scenario that can be made simpler.
pub type Tree = Box<dyn ValueTree<Value = Scenario>>;

/// Generates a target's scenarios.
#[derive(Debug)]
pub struct Generator {
    scenarios: BoxedStrategy<Scenario>,
    calls: (usize, usize),
}

impl Generator {
    /// A generator of races of `calls.0` to `calls.1` calls.
    ///
    /// # Panics
    /// Unless `2 <= calls.0 <= calls.1 <= MOST_CALLS`, which the command line checks.
    pub fn new(
        target: &Target,
        pools: &Pools,
        calls: (usize, usize),
    ) -> Result<Generator, TargetError> {
        assert!(2 <= calls.0 && calls.0 <= calls.1 && calls.1 <= MOST_CALLS);
        Ok(Generator {
            scenarios: race::scenarios(target, pools, calls)?,
            calls,
        })
    }

    /// The fewest and the most calls of its races.
    pub fn calls(&self) -> (usize, usize) {
        self.calls
    }

    /// The value tree of a seed.
    pub fn tree(&self, seed: u64) -> Result<Tree, proptest::test_runner::Reason> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        Ok(Box::new(self.scenarios.new_tree(&mut runner)?))
    }
}

/// The queries whose rows values are drawn from, each once.
pub fn pool_queries(target: &Target) -> Result<Vec<PoolQuery>, TargetError> {
    let mut queries: Vec<PoolQuery> = Vec::new();
    let mut add = |query: Option<PoolQuery>| {
        if let Some(query) = query.filter(|new| queries.iter().all(|old| old.sql != new.sql)) {
            queries.push(query);
        }
    };
    for value in target.file.shared.values() {
        add(values::pool_query(target, value.get_ref(), None)?);
    }
    for operation in target.operations.values() {
        for actor in race::actors(target, operation) {
            for value in operation.section.values.values() {
                add(values::pool_query(
                    target,
                    value.get_ref(),
                    actor.as_deref(),
                )?);
            }
        }
    }
    Ok(queries)
}

/// The seed of a run's round. The first round's is the run's own, so that
/// `--seed S --rounds 1` and `replay S` make the same scenario. The others are
/// spread by `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
pub fn round_seed(run: u64, round: u64) -> u64 {
    if round == 0 {
        return run;
    }
    let mut z = run.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scenario::{RetryWhen, Role};
    use serde_json::json;
    use std::path::Path;

    const TARGET: &str = "
        [service]
        start = 'x'
        [database]
        engines = ['sqlite']
        [actors.alice]
        sign_in = ['sign-in']
        [actors.bob]
        [shared]
        product = { rows = 'SELECT id FROM products' }
        [operations.sign-in]
        request = 'POST /sign-in'
        race = false
        capture.token = { json = '$.token' }
        [operations.order]
        request = 'POST /orders'
        body = { product = '{{ product }}', quantity = '{{ quantity }}' }
        values.quantity = { range = [1, 5] }
        [operations.pay]
        request = 'POST /pay'
        idempotency = { header = 'Idempotency-Key' }
        actors = ['bob']
    ";

    fn generator() -> Generator {
        let target = Target::parse(
            Path::new("deadheat.toml"),
            Path::new("/"),
            TARGET.to_owned(),
        )
        .unwrap();
        let mut pools = Pools::default();
        for query in pool_queries(&target).unwrap() {
            let rows = [3, 1, 2].map(|id| json!({ "id": id }).as_object().unwrap().clone());
            pools.insert(query.sql, rows.to_vec());
        }
        Generator::new(&target, &pools, (2, 8)).unwrap()
    }

    #[test]
    fn a_seed_is_a_scenario_on_every_machine() {
        let scenario = generator().tree(20_261_124).unwrap().current();
        insta::assert_json_snapshot!(scenario);
    }

    #[test]
    fn every_kind_of_call_is_drawn_and_every_reference_points_back() {
        let generator = generator();
        let mut kinds = std::collections::BTreeSet::new();
        for round in 0..500 {
            let scenario = generator.tree(round_seed(1, round)).unwrap().current();
            assert!((2..=8).contains(&scenario.race.len()));
            for (index, call) in scenario.race.iter().enumerate() {
                assert_ne!(call.operation, "sign-in", "it only prepares");
                assert!(call.operation != "pay" || call.actor.as_deref() == Some("bob"));
                assert_eq!(call.key.is_some(), call.operation == "pay");
                if call.actor.as_deref() == Some("alice") {
                    assert!(
                        scenario
                            .setup
                            .iter()
                            .any(|setup| setup.operation == "sign-in")
                    );
                }
                if let Some(of) = call.role.of() {
                    assert!(of < index);
                    assert_eq!(scenario.race[of].values, call.values);
                    assert_eq!(scenario.race[of].key, call.key);
                }
                kinds.insert(match call.role {
                    Role::Original => "original",
                    Role::Duplicate { .. } => "duplicate",
                    Role::Bystander => "bystander",
                    Role::Retry {
                        when: RetryWhen::InFlight { .. },
                        ..
                    } => "in flight",
                    Role::Retry {
                        when: RetryWhen::AfterAnswer,
                        ..
                    } => "after the answer",
                    Role::Retry {
                        when: RetryWhen::AfterHangUp,
                        of,
                    } => {
                        assert!(scenario.race[of].hang_up.is_some());
                        "after a hang-up"
                    }
                });
            }
        }
        assert_eq!(kinds.len(), 6, "{kinds:?}");
    }

    #[test]
    fn simplifying_ends_at_two_calls_with_the_simplest_values() {
        let mut tree = generator().tree(7).unwrap();
        while tree.simplify() {}
        let scenario = tree.current();
        assert_eq!(scenario.race.len(), 2);
        assert_eq!(
            scenario.race[0].values,
            *json!({"product": 1, "quantity": 1}).as_object().unwrap()
        );
    }

    #[test]
    fn round_seeds_differ_and_the_first_is_the_runs() {
        assert_eq!(round_seed(42, 0), 42);
        let seeds: std::collections::BTreeSet<u64> =
            (0..1000).map(|round| round_seed(42, round)).collect();
        assert_eq!(seeds.len(), 1000);
    }
}
