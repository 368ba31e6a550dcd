//! Which races are searched first at the gate: pairs of calls, each kind of pair
//! once before any is tried with other values. Knows scenarios and steps, and not
//! how they are run.

use std::collections::BTreeMap;

use crate::generate::{Generator, round_seed};
use crate::hunt::{Halt, tree};
use crate::model::scenario::{RetryWhen, Role, Scenario};
use crate::model::step::{ANYTHING, Mode, Step};

/// How many scenarios are drawn in search of kinds that are not there yet.
const DRAWS: u64 = 600;

/// How many pairs of one kind are drawn in a lap.
const OF_A_KIND: usize = 3;

/// A pair of calls to race.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The seed that draws it.
    pub seed: u64,
    pub scenario: Scenario,
}

/// What makes two pairs alike but for their values.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    operations: [String; 2],
    repeats: bool,
    one_actor: bool,
}

/// Pairs of each kind, drawn from the seeds of one lap, a few of each: the values of
/// one may keep its calls apart.
pub(super) fn draw(generator: &Generator, run: u64, lap: u64) -> Result<Vec<Vec<Pair>>, Halt> {
    let mut kinds: Vec<Vec<Pair>> = Vec::new();
    let mut places = BTreeMap::new();
    for number in lap * DRAWS..(lap + 1) * DRAWS {
        let seed = round_seed(run, number);
        let scenario = tree(generator, seed)?.current();
        if let Some(kind) = kind(&scenario) {
            let place = *places.entry(kind).or_insert(kinds.len());
            if place == kinds.len() {
                kinds.push(Vec::new());
            }
            if kinds[place].len() < OF_A_KIND {
                kinds[place].push(Pair { seed, scenario });
            }
        }
    }
    Ok(kinds)
}

/// The leading calls of drawn pairs, so many of each operation at most, in order of the
/// operations' names.
pub(super) fn calls(generator: &Generator, run: u64, most: usize) -> Result<Vec<Vec<Pair>>, Halt> {
    let mut operations: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
    for number in 0..DRAWS {
        let seed = round_seed(run, number);
        let scenario = tree(generator, seed)?.current();
        let known = operations.entry(scenario.race[0].operation.clone());
        let known = known.or_default();
        if known.len() < most {
            known.push(Pair { seed, scenario });
        }
    }
    Ok(operations.into_values().collect())
}

/// `None` for a pair that has nothing to decide at the gate: a bystander, a retry
/// after the answer, a client that leaves in the middle.
fn kind(scenario: &Scenario) -> Option<Kind> {
    let [first, second] = scenario.race.as_slice() else {
        return None;
    };
    if scenario.race.iter().any(|call| call.hang_up.is_some()) {
        return None;
    }
    let repeats = match second.role {
        Role::Original => false,
        Role::Duplicate { .. } => true,
        // At the gate, when the retry begins is a choice like another; after the
        // answer there is none.
        Role::Retry { when, .. } => match when {
            RetryWhen::InFlight { .. } => true,
            RetryWhen::AfterAnswer | RetryWhen::AfterHangUp => return None,
        },
        Role::Bystander => return None,
    };
    let mut operations = [first.operation.clone(), second.operation.clone()];
    operations.sort();
    Some(Kind {
        operations,
        repeats,
        one_actor: first.actor == second.actor,
    })
}

/// How many calls of an operation are looked at in search of one that changes something:
/// one may have been refused.
const LOOKS: u32 = 6;

/// The tables that operations were seen to touch, by what their calls did alone.
#[derive(Debug, Default)]
pub(super) struct Footprints(BTreeMap<String, Footprint>);

#[derive(Debug, Default)]
struct Footprint {
    /// By table, whether it was changed.
    tables: BTreeMap<String, bool>,
    looks: u32,
}

impl Footprints {
    /// Whether enough was seen of an operation.
    pub(super) fn knows(&self, operation: &str) -> bool {
        self.0.get(operation).is_some_and(|seen| {
            seen.looks >= LOOKS || seen.tables.values().any(|is_changed| *is_changed)
        })
    }

    /// An operation was seen to do this.
    pub(super) fn learn(&mut self, operation: &str, steps: &[Step]) {
        let seen = self.0.entry(operation.to_owned()).or_default();
        seen.looks += 1;
        for access in steps.iter().flat_map(|step| &step.accesses) {
            *seen.tables.entry(access.table.clone()).or_default() |= access.mode != Mode::Read;
        }
    }

    /// How many tables two calls can fight over, those that both write counted
    /// twice. Zero: nothing to race for.
    pub(super) fn heat(&self, scenario: &Scenario) -> usize {
        let of = |call: usize| Some(&self.0.get(&scenario.race[call].operation)?.tables);
        let (Some(one), Some(other)) = (of(0), of(1)) else {
            return 0;
        };
        if one.get(ANYTHING).or(other.get(ANYTHING)).is_some() {
            return 1;
        }
        one.iter()
            .filter_map(|(table, written)| Some((written, other.get(table)?)))
            .map(|(one, other)| usize::from(*one) + usize::from(*other))
            .sum()
    }
}
