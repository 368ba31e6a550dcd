//! What needs no race to be seen: calls made one at a time, by everybody and about every
//! kind of row, with something wrong in them, page by page, and on more rows than usual.
//! And the races of calls with those that change who may make them.
//!
//! What makes a call right or wrong the oracles know; here it is decided which are made.
//! What the target file asks for comes before any race; requests with something wrong in
//! them, which nobody asked for, come last: a race is what a run is for.

mod callers;

use serde_json::Value;

use crate::generate::{self, Generator};
use crate::hunt::alone::{Alone, single};
use crate::hunt::pairs::{self, Pair};
use crate::hunt::{Halt, Hunt, Trials};
use crate::model::event::Event;
use crate::model::scenario::{Call, Scenario, SetupCall};
use crate::model::schedule::Schedule;
use crate::round::Round;
use crate::schedule::{Conflict, Follow, Scheduler as _};
use crate::target::Operation;

/// What part of a run's budget it is given.
pub(super) const FOR_CHECKS: f64 = 0.15;

/// What part of that is for calls made one at a time; the rest, for races with calls that
/// grant or revoke.
const FOR_CALLS: f64 = 0.8;

/// How many calls of an operation are looked at in search of one that succeeds.
const DRAWS: usize = 6;

/// How many schedules are tried of a call with one that grants or revokes it.
const SCHEDULES: usize = 6;

/// How many other calls come between the pages of one walk.
const BETWEEN: usize = 2;

/// An operation, by calls of it.
struct Base {
    seed: u64,
    /// A call that succeeded, if one did.
    scenario: Scenario,
    succeeded: bool,
    /// The JSON body of its request.
    body: Option<Value>,
    /// Others that were drawn.
    others: Vec<Scenario>,
}

impl Base {
    fn operation(&self) -> &str {
        &self.scenario.race[0].operation
    }
}

/// A round to be made, and the seed of the call that it is made from.
type Probe = (u64, Scenario);

impl Hunt<'_> {
    /// Makes the calls, as far as a part of the budget goes.
    pub(super) async fn check(&mut self, part: f64) -> Result<(), Halt> {
        let file = &self.stage.target().file;
        let operations = self.stage.target().operations.values();
        let asks =
            |operation: &Operation| operation.section.allow.is_some() || operation.pages.is_some();
        if file.database.grown.is_empty() && !operations.into_iter().any(asks) {
            return Ok(());
        }
        let generator = self.pairs()?;
        let bases = self.bases(&generator, part).await?;
        let (probes, races) = self.probes(&bases).await?;
        let calls = self.each(&generator, probes, part * FOR_CALLS).await?;
        let with_grants = self.race_grants(&generator, races, part).await?;
        let left = calls + with_grants;
        self.left_out("who may call, of pages and of larger fixtures", left);
        Ok(())
    }

    /// Makes requests with something wrong in them, as far as a part of the budget goes.
    pub(super) async fn check_requests(&mut self, part: f64) -> Result<(), Halt> {
        let generator = self.pairs()?;
        let bases = self.bases(&generator, part).await?;
        // What is refused as it is says nothing when it is refused with a field less.
        let right = bases.iter().filter(|base| base.succeeded);
        let spoiled = in_turns(right.map(|base| self.spoiled(base)));
        let left = self.each(&generator, spoiled, part).await?;
        self.left_out("requests with something wrong in them", left);
        Ok(())
    }

    /// Makes calls one at a time; how many were left out.
    async fn each(
        &mut self,
        generator: &Generator,
        probes: Vec<Probe>,
        part: f64,
    ) -> Result<usize, Halt> {
        let mut left_out = 0;
        for (seed, scenario) in probes {
            if self.is_spent(part) {
                left_out += 1;
                continue;
            }
            let round = self.one_call(&scenario).await?;
            self.take(seed, generator, &scenario, round).await?;
        }
        Ok(left_out)
    }

    /// A search that has not seen all it should does not end in silence, unless with a
    /// finding.
    fn left_out(&mut self, what: &str, left: usize) {
        if left > 0 && !self.is_done() {
            (self.emit)(&Event::Warning(format!(
                "{left} rounds of {what} were left out, for their part of the budget is used: \
                 give the run more --rounds or a longer --for, or make nothing else with --checks"
            )));
            self.tally.checks_left_out += left;
        }
    }

    /// All calls that are to be made one at a time, some of each kind before more of any;
    /// and the races of calls with those that grant or revoke them.
    async fn probes(&mut self, bases: &[Base]) -> Result<(Vec<Probe>, Vec<Probe>), Halt> {
        let mut by_caller = Vec::new();
        for base in bases {
            by_caller.push(self.by_everybody(base).await?);
        }
        let all: Vec<Scenario> = by_caller.iter().flatten().cloned().collect();
        let (granted, races) = self.granted(bases, &all).await?;
        let with_seed = |(base, calls): (&Base, Vec<Scenario>)| {
            let calls = calls.into_iter();
            calls.map(|scenario| (base.seed, scenario)).collect()
        };
        let kinds = [
            self.grown(bases).await?,
            self.walks(bases).await?,
            granted,
            in_turns(bases.iter().zip(by_caller).map(with_seed)),
        ];
        Ok((in_turns(kinds.into_iter()), races))
    }

    /// Calls that others make allowed, or denied: one of each operation after each of
    /// those, and as a race with it.
    async fn granted(
        &mut self,
        bases: &[Base],
        calls: &[Scenario],
    ) -> Result<(Vec<Probe>, Vec<Probe>), Halt> {
        let (mut made_after, mut races) = (Vec::new(), Vec::new());
        let mut setups = Vec::new();
        for granting in bases {
            setups.extend(self.grants_of(granting)?);
        }
        if setups.is_empty() {
            return Ok((made_after, races));
        }
        let before = self.allowed_after(&[], calls).await?.unwrap_or_default();
        for setup in setups {
            // A set-up that fails grants nothing.
            let Some(after) = self.allowed_after(&setup, calls).await? else {
                continue;
            };
            for base in bases {
                let changed = |index: &usize| {
                    before.get(*index) != after.get(*index)
                        && calls[*index].race[0].operation == base.operation()
                };
                let Some(first) = (0..calls.len()).find(changed) else {
                    continue;
                };
                let scenario = calls[first].clone();
                races.push((base.seed, raced(&setup, &scenario)));
                let mut setup = setup.clone();
                setup.extend(scenario.setup.clone());
                for call in &mut setup {
                    let prepares = &mut call.prepares;
                    prepares.get_or_insert_with(|| base.operation().to_owned());
                }
                made_after.push((base.seed, Scenario { setup, ..scenario }));
            }
        }
        Ok((made_after, races))
    }

    /// One round of calls that do not race: at the gate, where there is one.
    async fn one_call(&mut self, scenario: &Scenario) -> Result<Round, Halt> {
        let is_gated = self.stage.is_gated();
        let walks = scenario.race.iter().any(|call| call.walk);
        let mut trials = Trials::new(self.stage, self.stop, None);
        if is_gated && !walks {
            let mut straight = Follow::new(Schedule::default());
            return trials.once_by(scenario, &mut straight).await;
        }
        trials.round(scenario, None).await
    }

    /// Each operation that may be raced, by the first call that succeeds of some.
    async fn bases(&mut self, generator: &Generator, part: f64) -> Result<Vec<Base>, Halt> {
        let mut bases = Vec::new();
        for drawn in pairs::calls(generator, self.plan.seed, DRAWS)? {
            let mut base: Option<Base> = None;
            let singles: Vec<Pair> = drawn
                .into_iter()
                .map(|Pair { seed, scenario }| Pair {
                    seed,
                    scenario: single(&scenario, 0),
                })
                .collect();
            for Pair { seed, scenario } in &singles {
                if self.is_spent(part) {
                    break;
                }
                let round = self.one_call(scenario).await?;
                let call = round.history.calls.first();
                let succeeded = call.is_some_and(|call| call.succeeded);
                let body = call.and_then(|call| serde_json::from_str(&call.request.body).ok());
                self.take(*seed, generator, scenario, round).await?;
                if succeeded || base.is_none() {
                    base = Some(Base {
                        seed: *seed,
                        scenario: scenario.clone(),
                        succeeded,
                        body,
                        others: Vec::new(),
                    });
                }
                if succeeded {
                    break;
                }
            }
            if let Some(base) = &mut base {
                self.let_in(generator, base, part).await?;
            }
            if let Some(mut base) = base {
                let others = singles.into_iter().map(|other| other.scenario);
                base.others = others.filter(|other| *other != base.scenario).collect();
                bases.push(base);
            }
        }
        Ok(bases)
    }

    /// Makes a call of an operation that was not seen to succeed as somebody who may, about
    /// a row that it may: what is drawn knows nothing of that.
    async fn let_in(
        &mut self,
        generator: &Generator,
        base: &mut Base,
        part: f64,
    ) -> Result<(), Halt> {
        if base.succeeded || self.is_spent(part) {
            return Ok(());
        }
        let Some(scenario) = self.allowed_call(base).await? else {
            return Ok(());
        };
        let round = self.one_call(&scenario).await?;
        if round.history.calls.iter().any(|call| call.succeeded) {
            base.succeeded = true;
            base.scenario = scenario.clone();
        }
        self.take(base.seed, generator, &scenario, round).await
    }

    /// The calls on larger fixtures: by a caller of each role.
    async fn grown(&mut self, bases: &[Base]) -> Result<Vec<Probe>, Halt> {
        let target = self.stage.target();
        let mut probes = Vec::new();
        if target.file.database.grown.is_empty() || !self.stage.is_gated() {
            return Ok(probes);
        }
        for base in bases.iter().filter(|base| base.succeeded) {
            for scenario in self.by_each_role(base).await? {
                probes.push((
                    base.seed,
                    Scenario {
                        grown: true,
                        ..scenario
                    },
                ));
            }
        }
        Ok(probes)
    }

    /// The lists that are read page by page, other calls in between.
    async fn walks(&mut self, bases: &[Base]) -> Result<Vec<Probe>, Halt> {
        let mut probes = Vec::new();
        for base in bases {
            if self.stage.target().operations[base.operation()]
                .pages
                .is_none()
            {
                continue;
            }
            let mut others: Vec<&Call> = Vec::new();
            // Who may no longer read the list has no pages.
            let operations = &self.stage.target().operations;
            let fits = |other: &&Base| {
                let name = other.operation();
                name != base.operation() && !operations[name].section.grants
            };
            for other in bases.iter().filter(fits) {
                others.extend(&other.scenario.race);
                others.extend(other.others.iter().flat_map(|other| &other.race).take(1));
            }
            for mut scenario in self.by_each_role(base).await? {
                let section = &self.stage.target().operations[base.operation()].section;
                let call = &mut scenario.race[0];
                call.walk = true;
                for (name, value) in &mut call.values {
                    let simplest = section.values.get(name).and_then(generate::simplest);
                    *value = simplest.unwrap_or_else(|| value.clone());
                }
                for between in others.chunks(BETWEEN) {
                    let mut scenario = scenario.clone();
                    for other in between {
                        let setup =
                            self.set_up(&other.operation, other.actor.as_deref(), base.seed)?;
                        scenario.setup.extend(setup);
                        scenario.race.push((*other).clone());
                    }
                    scenario.setup.dedup();
                    probes.push((base.seed, scenario));
                }
            }
        }
        Ok(probes)
    }

    /// Races calls with those that grant or revoke them; how many schedules were left out.
    async fn race_grants(
        &mut self,
        generator: &Generator,
        races: Vec<Probe>,
        part: f64,
    ) -> Result<usize, Halt> {
        let mut alone = Alone::default();
        let mut left_out = 0;
        for (seed, race) in races {
            if self.is_spent(part) {
                left_out += SCHEDULES;
                continue;
            }
            if !self.stage.is_gated() {
                let mut trials = Trials::new(self.stage, self.stop, None);
                let round = trials.round(&race, None).await?;
                self.take(seed, generator, &race, round).await?;
                continue;
            }
            let pair = Pair {
                seed,
                scenario: race,
            };
            let mut steps = Vec::new();
            for call in 0..2 {
                steps.push(self.alone(&mut alone, generator, &pair, call).await?);
            }
            let mut scheduler = Conflict::new(steps);
            for _ in 0..SCHEDULES {
                if self.is_spent(part) || !scheduler.next_round() {
                    break;
                }
                let mut trials = Trials::new(self.stage, self.stop, None);
                let round = trials.round(&pair.scenario, Some(&mut scheduler)).await?;
                self.take(seed, generator, &pair.scenario, round).await?;
            }
        }
        Ok(left_out)
    }

    /// A base's call with something wrong in it, one thing at a time.
    fn spoiled(&self, base: &Base) -> Vec<Probe> {
        let target = self.stage.target();
        let operation = &target.operations[base.operation()];
        let call = &base.scenario.race[0];
        let spoils = generate::spoils(target, operation, base.body.as_ref(), &call.values);
        let probe = |spoil| {
            let mut scenario = base.scenario.clone();
            scenario.race[0].spoil = Some(spoil);
            (base.seed, scenario)
        };
        spoils.into_iter().map(probe).collect()
    }
}

/// A call and one that grants or revokes it, the last of a set-up, as a race.
fn raced(setup: &[SetupCall], scenario: &Scenario) -> Scenario {
    let mut race = scenario.clone();
    if let Some((grant, before)) = setup.split_last() {
        race.setup.extend(before.iter().cloned());
        race.race.push(Call {
            operation: grant.operation.clone(),
            actor: grant.actor.clone(),
            values: grant.values.clone(),
            ..Call::default()
        });
    }
    race
}

/// The first of each list, then the second of each, and so on: where the budget ends,
/// none has had more of it than another.
fn in_turns<T>(lists: impl Iterator<Item = Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.map(Vec::into_iter).collect();
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(lists.iter_mut().filter_map(Iterator::next));
        if turns.len() == before {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_has_its_turn() {
        let lists = [vec![1, 4, 6], vec![2], vec![3, 5]];
        assert_eq!(in_turns(lists.into_iter()), [1, 2, 3, 4, 5, 6]);
    }
}
