//! The search for what a change of the schema does to calls under way: every operation
//! with every migration half-way, at each of its steps; then pairs of calls, which two
//! versions of the service take if there are two; then by preemption and by chance.

use std::collections::BTreeSet;

use crate::generate::Generator;
use crate::hunt::alone::Alone;
use crate::hunt::faults::Subject;
use crate::hunt::pairs::{self, Pair};
use crate::hunt::{Halt, Hunt, Trials};
use crate::model::event::Event;
use crate::model::scenario::{Role, Scenario};
use crate::model::step::{ANYTHING, Action, Step};
use crate::schedule::{Conflict, Halfway, Random, Scheduler};

/// How many schedules of a pair are tried before the next one has its turn, and how many
/// of them by preemption; the others are by chance.
const SCHEDULES: u32 = 3;
const BY_PREEMPTION: u32 = 2;

/// A race with a migration, and the seed of its calls.
struct Mixed {
    seed: u64,
    scenario: Scenario,
    /// What each call does alone, and then the migration.
    alone: Vec<Vec<Step>>,
}

impl Hunt<'_> {
    /// Spends this part of the budget, if the target names a migration.
    pub(super) async fn search_mixed(&mut self, part: f64) -> Result<(), Halt> {
        let migrations = &self.stage.target().migrations;
        let migrations: Vec<(String, BTreeSet<String>)> = migrations
            .iter()
            .map(|(name, migration)| (name.clone(), migration.words.clone()))
            .collect();
        if migrations.is_empty() || self.is_done() {
            return Ok(());
        }
        let generator = self.pairs()?;
        let mut alone = Alone::default();
        let subjects = self.subjects(&generator, part).await?;
        let mut singles = Vec::new();
        for (name, words) in &migrations {
            let hot = hot(&subjects, words);
            for subject in hot {
                let scenario = Scenario {
                    migration: Some(name.clone()),
                    ..subject.scenario.clone()
                };
                let mixed = self.mixed(&mut alone, subject.seed, scenario).await?;
                singles.push(mixed);
            }
        }
        let left = self.search_points(&generator, &singles, part).await?;
        self.tell_left_out(left);
        let mut open: Vec<(Mixed, Conflict)> = Vec::new();
        for mixed in singles {
            let scheduler = Conflict::new(mixed.alone.clone()).up_to(1);
            open.push((mixed, scheduler));
        }
        for lap in 0.. {
            if self.has_migrated(part) {
                break;
            }
            let rounds = self.tally.rounds;
            let mut pairs = Vec::new();
            for (name, words) in &migrations {
                pairs.extend(
                    self.hot_pairs(&generator, name, words, lap, &mut alone)
                        .await?,
                );
            }
            if lap == 0 {
                self.search_points(&generator, &pairs, part).await?;
                // One call and a migration have few schedules of one preemption.
                while !open.is_empty() && !self.has_migrated(part) {
                    open = self.search_open(&generator, open, part).await?;
                }
            }
            for mixed in pairs {
                self.search_mixed_pair(&generator, mixed, part).await?;
            }
            // A lap without a round: nothing touches what the migrations do.
            if self.tally.rounds == rounds {
                break;
            }
        }
        Ok(())
    }

    /// Races at every point of their migrations: the next point of all of them before the
    /// one after. Returns how many there was no time for, and of how many.
    async fn search_points(
        &mut self,
        generator: &Generator,
        races: &[Mixed],
        part: f64,
    ) -> Result<(usize, usize), Halt> {
        let points = |mixed: &Mixed| halfway(&mixed.scenario, &mixed.alone).into_iter();
        let mut left: Vec<_> = races.iter().map(points).collect();
        let all = left.iter().map(ExactSizeIterator::len).sum();
        let mut tried = 0;
        while tried < all {
            for (mixed, points) in races.iter().zip(&mut left) {
                if self.has_migrated(part) {
                    return Ok((all - tried, all));
                }
                if let Some(mut point) = points.next() {
                    tried += 1;
                    self.one_mixed(generator, mixed, &mut point).await?;
                }
            }
        }
        Ok((0, all))
    }

    /// A search that has not seen all it should does not end in silence, unless with a
    /// finding.
    fn tell_left_out(&mut self, (left, all): (usize, usize)) {
        if left > 0 && !self.is_done() {
            (self.emit)(&Event::Warning(format!(
                "the budget did not suffice for every operation at every step of the migrations: \
                 {left} of {all} were left out. Give more --rounds, or a longer --for."
            )));
        }
    }

    /// One more schedule of each; those that have more.
    async fn search_open(
        &mut self,
        generator: &Generator,
        open: Vec<(Mixed, Conflict)>,
        part: f64,
    ) -> Result<Vec<(Mixed, Conflict)>, Halt> {
        let mut still_open = Vec::new();
        for (mixed, mut scheduler) in open {
            if !self.has_migrated(part) && self.one_mixed(generator, &mixed, &mut scheduler).await?
            {
                still_open.push((mixed, scheduler));
            }
        }
        Ok(still_open)
    }

    async fn search_mixed_pair(
        &mut self,
        generator: &Generator,
        mixed: Mixed,
        part: f64,
    ) -> Result<(), Halt> {
        let mut by_preemption = Conflict::new(mixed.alone.clone());
        let mut by_chance = Random::new(mixed.seed);
        for schedule in 0..SCHEDULES {
            let scheduler: &mut dyn Scheduler = if schedule < BY_PREEMPTION {
                &mut by_preemption
            } else {
                &mut by_chance
            };
            if self.has_migrated(part) {
                break;
            }
            self.one_mixed(generator, &mixed, scheduler).await?;
        }
        Ok(())
    }

    /// A round of the search, the next of a scheduler's; whether there was one.
    async fn one_mixed(
        &mut self,
        generator: &Generator,
        mixed: &Mixed,
        scheduler: &mut dyn Scheduler,
    ) -> Result<bool, Halt> {
        if !scheduler.next_round() {
            return Ok(false);
        }
        let mut trials = Trials::new(self.stage, self.stop, None);
        let round = trials.round(&mixed.scenario, Some(scheduler)).await?;
        self.take(mixed.seed, generator, &mixed.scenario, round)
            .await?;
        Ok(true)
    }

    /// Pairs of which both calls touch what the migration names, one of a kind; where two
    /// versions run, also the other way round, so that each version has each call.
    async fn hot_pairs(
        &mut self,
        generator: &Generator,
        name: &str,
        words: &BTreeSet<String>,
        lap: u64,
        alone: &mut Alone,
    ) -> Result<Vec<Mixed>, Halt> {
        let two_versions = self.stage.target().file.service.next.is_some();
        let mut hot = Vec::new();
        for kind in pairs::draw(generator, self.plan.seed, lap)? {
            let Some(pair) = kind.into_iter().next() else {
                continue;
            };
            let mut touch = true;
            for call in 0..2 {
                touch = touch && touches(&self.alone(alone, generator, &pair, call).await?, words);
            }
            if !touch {
                continue;
            }
            let Pair { seed, scenario } = pair;
            let scenario = Scenario {
                migration: Some(name.to_owned()),
                ..scenario
            };
            if two_versions && scenario.race[1].role == Role::Original {
                let mut swapped = scenario.clone();
                swapped.race.swap(0, 1);
                hot.push(self.mixed(alone, seed, swapped).await?);
            }
            hot.push(self.mixed(alone, seed, scenario).await?);
        }
        Ok(hot)
    }

    async fn mixed(
        &mut self,
        alone: &mut Alone,
        seed: u64,
        scenario: Scenario,
    ) -> Result<Mixed, Halt> {
        let mut trials = Trials::new(self.stage, self.stop, None);
        let steps = alone.all(&mut trials, &scenario).await?;
        self.tally.extra_rounds += trials.made;
        Ok(Mixed {
            seed,
            scenario,
            alone: steps,
        })
    }

    /// Whether this part of the budget is used, or the tables can take no more.
    fn has_migrated(&self, part: f64) -> bool {
        self.stage.is_worn() || self.is_spent(part)
    }
}

/// Every point of a scenario's migration at which the calls may find it, those after its
/// steps first, and its beginning last; two calls in either order. `alone` is what each
/// does alone, the migration last.
pub(super) fn halfway(scenario: &Scenario, alone: &[Vec<Step>]) -> Vec<Halfway> {
    let calls = scenario.race.len();
    let (Some(_), Some(steps)) = (&scenario.migration, alone.get(calls)) else {
        return Vec::new();
    };
    let steps = steps
        .iter()
        .filter(|step| step.action != Action::Begin)
        .count();
    let mut orders: Vec<Vec<usize>> = vec![(0..calls).collect()];
    if calls == 2 {
        orders.push(vec![1, 0]);
    }
    let points = (1..=steps).rev().chain([0]);
    let all = points.flat_map(|point| {
        let orders = orders.iter().cloned();
        orders.map(move |order| Halfway::new(calls, point, order))
    });
    all.collect()
}

/// The operations that touch what a migration names; if none does, those that touch
/// anything at all.
fn hot<'a>(subjects: &'a [Subject], words: &BTreeSet<String>) -> Vec<&'a Subject> {
    let mut hot: Vec<&Subject> = subjects.iter().collect();
    hot.retain(|subject| touches(&subject.steps, words));
    if hot.is_empty() {
        let any = |subject: &&Subject| subject.steps.len() > 1;
        hot = subjects.iter().filter(any).collect();
    }
    hot
}

/// Whether steps touch a table that is among these words, or what cannot be told.
fn touches(steps: &[Step], words: &BTreeSet<String>) -> bool {
    let mut accesses = steps.iter().flat_map(|step| &step.accesses);
    accesses.any(|access| {
        let table = access.table.rsplit('.').next().unwrap_or_default();
        access.table == ANYTHING || words.contains(table)
    })
}
