//! The strategy of a whole scenario: a leading call, and others that repeat it,
//! conflict with it, or stand by.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::Index;
use proptest::strategy::{BoxedStrategy, Union};
use serde_json::Value;

use crate::generate::values::{Pools, strategy};
use crate::model::Row;
use crate::model::scenario::{Call, HangUp, RetryWhen, Role, Scenario, SetupCall};
use crate::target::error::TargetError;
use crate::target::{Operation, Target};

/// A retry in flight follows within this time: the requests of an ordinary
/// service take about as long.
const RETRY_WITHIN_US: u64 = 4_000;

/// A client that hangs up waits no longer than this. Short, so that it leaves
/// while an ordinary service is at work.
const HANG_UP_WITHIN_US: u64 = 6_000;

/// How often a call of each kind follows the leading one.
const DUPLICATE: u32 = 3;
const RETRY: u32 = 3;
const SAME_OPERATION: u32 = 4;
const CONFLICT: u32 = 3;
const BYSTANDER: u32 = 1;

/// A call as drawn; shared values are added when the scenario is put together.
#[derive(Clone, Debug)]
struct Draw {
    operation: String,
    actor: Option<String>,
    values: Row,
    key: Option<String>,
    before: Vec<SetupCall>,
}

/// What follows the leading call.
#[derive(Clone, Debug)]
enum Follower {
    Duplicate {
        of: Index,
    },
    Retry {
        of: Index,
        when: RetryWhen,
        hang_up: Option<HangUp>,
    },
    Conflict(Draw),
    Bystander(Draw, Vec<Value>),
}

/// Who may call an operation; `None` alone where the target names no actors.
pub(super) fn actors(target: &Target, operation: &Operation) -> Vec<Option<String>> {
    let named: Vec<Option<String>> = match &operation.section.actors {
        Some(names) => names
            .iter()
            .map(|name| Some(name.get_ref().clone()))
            .collect(),
        None => target.file.actors.keys().cloned().map(Some).collect(),
    };
    if named.is_empty() { vec![None] } else { named }
}

/// The strategy of a target's scenarios.
pub(super) fn scenarios(
    target: &Target,
    pools: &Pools,
    calls: (usize, usize),
) -> Result<BoxedStrategy<Scenario>, TargetError> {
    let shared_names: Vec<String> = target.file.shared.keys().cloned().collect();
    let shared_values: Vec<BoxedStrategy<Value>> = target
        .file
        .shared
        .values()
        .map(|section| strategy(target, section.get_ref(), None, pools))
        .collect::<Result<_, _>>()?;
    let mut draws: BTreeMap<&str, BoxedStrategy<Draw>> = BTreeMap::new();
    for (name, operation) in &target.operations {
        draws.insert(name, draw(target, pools, name, operation)?);
    }
    let uses: BTreeMap<String, BTreeSet<String>> = target
        .operations
        .iter()
        .map(|(name, operation)| (name.clone(), names_used(target, operation)))
        .collect();
    let sign_ins = sign_ins(target, pools)?;
    let raced: Vec<(&String, &Operation)> = target
        .operations
        .iter()
        .filter(|(_, operation)| operation.section.race)
        .collect();
    let weight = |operation: &Operation| operation.section.weight.unwrap_or(1).max(1);
    let mut led = Vec::new();
    for (lead, operation) in &raced {
        let shares = |other: &str| {
            let mut common = uses[*lead].intersection(&uses[other]);
            common.any(|name| shared_names.contains(name))
        };
        let mut related: Vec<_> = raced
            .iter()
            .filter(|(name, _)| shares(name.as_str()))
            .collect();
        if related.is_empty() {
            related = raced.iter().collect();
        }
        let union = |chosen: &[&(&String, &Operation)]| {
            Union::new_weighted(
                chosen
                    .iter()
                    .map(|(name, operation)| (weight(operation), draws[name.as_str()].clone()))
                    .collect(),
            )
        };
        let everyone: Vec<_> = raced.iter().collect();
        let bystanders = (union(&everyone), shared_values.clone());
        let follower = Union::new_weighted(vec![
            (
                DUPLICATE,
                any::<Index>()
                    .prop_map(|of| Follower::Duplicate { of })
                    .boxed(),
            ),
            (
                SAME_OPERATION,
                draws[lead.as_str()]
                    .clone()
                    .prop_map(Follower::Conflict)
                    .boxed(),
            ),
            (
                CONFLICT,
                union(&related).prop_map(Follower::Conflict).boxed(),
            ),
            (RETRY, retry().boxed()),
            (
                BYSTANDER,
                bystanders
                    .prop_map(|(draw, shared)| Follower::Bystander(draw, shared))
                    .boxed(),
            ),
        ]);
        let followers = vec(follower, calls.0 - 1..=calls.1 - 1);
        let (shared_names, uses) = (shared_names.clone(), uses.clone());
        let scenario = (
            draws[lead.as_str()].clone(),
            followers,
            shared_values.clone(),
            sign_ins.clone(),
        )
            .prop_map(move |(lead, followers, shared, sign_ins)| {
                let together = Assembly {
                    shared_names: &shared_names,
                    uses: &uses,
                };
                together.scenario(lead, followers, &shared, sign_ins)
            });
        led.push((weight(operation), scenario.boxed()));
    }
    Ok(Union::new_weighted(led).boxed())
}

fn retry() -> impl Strategy<Value = Follower> {
    let hang_up = Union::new(vec![
        (0..=HANG_UP_WITHIN_US)
            .prop_map(|after_us| HangUp::BeforeAnswer { after_us })
            .boxed(),
        Just(HangUp::HalfWay).boxed(),
    ]);
    let when = Union::new(vec![
        Just((RetryWhen::AfterAnswer, None)).boxed(),
        (0..=RETRY_WITHIN_US)
            .prop_map(|after_us| (RetryWhen::InFlight { after_us }, None))
            .boxed(),
        hang_up
            .prop_map(|hang_up| (RetryWhen::AfterHangUp, Some(hang_up)))
            .boxed(),
    ]);
    (any::<Index>(), when).prop_map(|(of, (when, hang_up))| Follower::Retry { of, when, hang_up })
}

/// The strategy of one operation's calls, by any of its actors.
fn draw(
    target: &Target,
    pools: &Pools,
    name: &str,
    operation: &Operation,
) -> Result<BoxedStrategy<Draw>, TargetError> {
    let mut by_actor = Vec::new();
    for actor in actors(target, operation) {
        let values = values_of(target, pools, operation, actor.as_deref())?;
        let mut before = Vec::new();
        for prepared_by in &operation.section.before {
            let call = setup(
                target,
                pools,
                prepared_by.get_ref(),
                actor.as_deref(),
                Some(name),
            )?;
            before.push(call);
        }
        let keyed = operation.section.idempotency.is_some();
        let name = name.to_owned();
        let drawn =
            (values, before, any::<u64>().no_shrink()).prop_map(move |(values, before, bits)| {
                Draw {
                    operation: name.clone(),
                    actor: actor.clone(),
                    values,
                    key: keyed.then(|| format!("key-{bits:016x}")),
                    before,
                }
            });
        by_actor.push(drawn.boxed());
    }
    Ok(Union::new(by_actor).boxed())
}

pub(super) fn values_of(
    target: &Target,
    pools: &Pools,
    operation: &Operation,
    actor: Option<&str>,
) -> Result<BoxedStrategy<Row>, TargetError> {
    let names: Vec<String> = operation.section.values.keys().cloned().collect();
    let values: Vec<BoxedStrategy<Value>> = operation
        .section
        .values
        .values()
        .map(|section| strategy(target, section.get_ref(), actor, pools))
        .collect::<Result<_, _>>()?;
    Ok(values
        .prop_map(move |values| names.iter().cloned().zip(values).collect())
        .boxed())
}

pub(super) fn setup(
    target: &Target,
    pools: &Pools,
    operation: &str,
    actor: Option<&str>,
    prepares: Option<&str>,
) -> Result<BoxedStrategy<SetupCall>, TargetError> {
    let values = values_of(target, pools, &target.operations[operation], actor)?;
    let (operation, actor) = (operation.to_owned(), actor.map(str::to_owned));
    let prepares = prepares.map(str::to_owned);
    Ok(values
        .prop_map(move |values| SetupCall {
            operation: operation.clone(),
            actor: actor.clone(),
            values,
            prepares: prepares.clone(),
        })
        .boxed())
}

/// Every actor's sign-in; those of actors who do not race are dropped later.
fn sign_ins(target: &Target, pools: &Pools) -> Result<Vec<BoxedStrategy<SetupCall>>, TargetError> {
    let mut calls = Vec::new();
    for (name, actor) in &target.file.actors {
        for operation in &actor.sign_in {
            calls.push(setup(target, pools, operation.get_ref(), Some(name), None)?);
        }
    }
    Ok(calls)
}

/// The names that an operation's request, and what its actors add, take values by.
fn names_used(target: &Target, operation: &Operation) -> BTreeSet<String> {
    let section = &operation.section;
    let mut texts: Vec<&str> = vec![section.request.get_ref()];
    let actors = target
        .file
        .actors
        .values()
        .flat_map(|actor| actor.headers.values());
    texts.extend(
        section
            .headers
            .values()
            .chain(actors)
            .map(|text| text.get_ref().as_str()),
    );
    texts.extend(
        section
            .form
            .iter()
            .flat_map(|form| form.values())
            .map(|text| text.get_ref().as_str()),
    );
    texts.extend(section.raw.iter().map(|raw| raw.get_ref().as_str()));
    let mut json: Vec<&Value> = operation.json.iter().collect();
    while let Some(value) = json.pop() {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(items) => json.extend(items),
            Value::Object(fields) => json.extend(fields.values()),
            _ => {}
        }
    }
    texts
        .into_iter()
        .flat_map(|text| target.templates.names(text).unwrap_or_default())
        .collect()
}

/// Puts a scenario together from what was drawn.
struct Assembly<'a> {
    shared_names: &'a [String],
    uses: &'a BTreeMap<String, BTreeSet<String>>,
}

impl Assembly<'_> {
    fn scenario(
        &self,
        lead: Draw,
        followers: Vec<Follower>,
        shared: &[Value],
        mut setup: Vec<SetupCall>,
    ) -> Scenario {
        let mut race: Vec<Call> = Vec::new();
        self.add(&mut race, &mut setup, lead, shared, Role::Original);
        for follower in followers {
            match follower {
                Follower::Conflict(draw) => {
                    self.add(&mut race, &mut setup, draw, shared, Role::Original);
                }
                Follower::Bystander(draw, own) => {
                    self.add(&mut race, &mut setup, draw, &own, Role::Bystander);
                }
                Follower::Duplicate { of } => {
                    let of = repeated(&race, of);
                    let copy = Call {
                        role: Role::Duplicate { of },
                        hang_up: None,
                        ..race[of].clone()
                    };
                    race.push(copy);
                }
                Follower::Retry { of, when, hang_up } => {
                    let of = repeated(&race, of);
                    let copy = Call {
                        role: Role::Retry { of, when },
                        hang_up: None,
                        ..race[of].clone()
                    };
                    if hang_up.is_some() {
                        race[of].hang_up = hang_up;
                    }
                    race.push(copy);
                }
            }
        }
        Scenario {
            setup,
            race,
            ..Scenario::default()
        }
        .with_needed_setup()
    }

    fn add(
        &self,
        race: &mut Vec<Call>,
        setup: &mut Vec<SetupCall>,
        draw: Draw,
        shared: &[Value],
        role: Role,
    ) {
        let used = &self.uses[&draw.operation];
        let mut values: Row = self
            .shared_names
            .iter()
            .cloned()
            .zip(shared.iter().cloned())
            .filter(|(name, _)| used.contains(name))
            .collect();
        values.extend(draw.values);
        // What prepares an operation is made once an actor, however often the
        // actor then calls it: two check-outs of one basket are the race.
        let prepared = |known: &SetupCall| {
            known.actor == draw.actor && known.prepares.as_deref() == Some(&draw.operation)
        };
        if !setup.iter().any(prepared) {
            setup.extend(draw.before.into_iter().map(|mut call| {
                let used = &self.uses[&call.operation];
                for (name, value) in self.shared_names.iter().zip(shared) {
                    if used.contains(name) && !call.values.contains_key(name) {
                        call.values.insert(name.clone(), value.clone());
                    }
                }
                call
            }));
        }
        race.push(Call {
            operation: draw.operation,
            actor: draw.actor,
            values,
            key: draw.key,
            role,
            ..Call::default()
        });
    }
}

/// Which call is repeated: one that repeats none itself.
fn repeated(race: &[Call], of: Index) -> usize {
    let own: Vec<usize> = (0..race.len())
        .filter(|&index| race[index].role.of().is_none())
        .collect();
    own[of.index(own.len())]
}
