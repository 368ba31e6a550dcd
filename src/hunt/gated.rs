//! The search at the gate: pairs of calls that fight over rows, the hottest first,
//! by few preemptions; then larger races by chance, and then some faults.

use crate::generate::{Generator, round_seed};
use crate::hunt::alone::Alone;
use crate::hunt::pairs::{self, Footprints, Pair};
use crate::hunt::{Halt, Hunt, Trials, tree};
use crate::model::event::Event;
use crate::model::history::Ending;
use crate::model::scenario::Scenario;
use crate::model::step::Step;
use crate::model::verdict::Verdict;
use crate::schedule::{Conflict, Pct, Random, Repeat, Scheduler};

/// What part of a run's budget the gate is given, what was checked before included: the
/// pairs, then larger races, then faults, which is all of its search.
const FOR_PAIRS: f64 = 0.47;
const FOR_CHANCE: f64 = 0.55;
/// Then faults have their turn.
const FOR_ALL: f64 = 0.72;
/// Then changes of the schema, if the target names any.
const FOR_MIXED: f64 = 0.82;

/// How many schedules of a larger race are tried by chance, and how many of them
/// by priorities.
const BY_CHANCE: u64 = 6;
const BY_PRIORITY: u64 = 3;
/// The depth of bugs that priorities look for.
const DEPTH: usize = 3;

/// How many schedules of a new pair are tried before the next pair has its turn, and
/// how many of an older one: what new values show comes sooner than what is rare.
const AT_FIRST: u32 = 2;
const IN_A_LAP: u32 = 1;

/// With so many pairs under search, those are brought on before others are drawn: a
/// long run must not need ever more memory.
const MOST_OPEN: usize = 300;

/// A pair under search.
struct Open {
    pair: Pair,
    scheduler: Conflict,
}

impl Hunt<'_> {
    /// Spends the gate's part of the budget.
    pub(super) async fn search_gated(&mut self) -> Result<(), Halt> {
        let (target, pools) = (self.stage.target(), self.stage.pools());
        let pairs = Generator::new(target, pools, (2, 2));
        let pairs = pairs.map_err(|error| Halt::failed(error.into()))?;
        let most = self.plan.calls.1.clamp(3, 4);
        let larger = Generator::new(target, pools, (3, most));
        let larger = larger.map_err(|error| Halt::failed(error.into()))?;
        let mut alone = Alone::default();
        self.search_pairs(&pairs, &mut alone).await?;
        if !alone.has_statements() {
            (self.emit)(&Event::Warning(
                "no statement of the service's came through the gate, so all races are free: \
                 does it take its database's URL from the target file's `{{ database.url }}`?"
                    .to_owned(),
            ));
            return Ok(());
        }
        self.search_by_chance(&larger, &mut alone).await?;
        self.search_some_faults(FOR_ALL).await?;
        Box::pin(self.search_mixed(FOR_MIXED)).await
    }

    /// Lap by lap, each with other values: a few schedules of every pair before any
    /// pair has all of its own, for what is rare in one is often common in another.
    async fn search_pairs(&mut self, generator: &Generator, alone: &mut Alone) -> Result<(), Halt> {
        let mut footprints = Footprints::default();
        let mut open: Vec<Open> = Vec::new();
        let mut has_repeated_itself = false;
        for lap in 0.. {
            let rounds = self.tally.rounds;
            let mut kinds = if open.len() < MOST_OPEN {
                pairs::draw(generator, self.plan.seed, lap)?
            } else {
                Vec::new()
            };
            for pair in kinds.iter().flatten() {
                for call in 0..2 {
                    let operation = &pair.scenario.race[call].operation;
                    if !footprints.knows(operation) {
                        let steps = self.alone(alone, generator, pair, call).await?;
                        footprints.learn(operation, &steps);
                    }
                }
            }
            let heat = |kind: &Vec<Pair>| {
                kind.first()
                    .map_or(0, |pair| footprints.heat(&pair.scenario))
            };
            kinds.retain(|kind| heat(kind) > 0);
            kinds.sort_by_key(|kind| std::cmp::Reverse(heat(kind)));
            if lap == 0 && kinds.is_empty() {
                return Ok(());
            }
            let mut new = Vec::new();
            for kind in kinds {
                if self.is_spent(FOR_PAIRS) {
                    return Ok(());
                }
                let Some((pair, steps)) = self.hot_pair(kind, generator, alone).await? else {
                    continue;
                };
                if !has_repeated_itself {
                    self.see_that_it_repeats_itself(&pair.scenario, &steps)
                        .await?;
                    has_repeated_itself = true;
                }
                let scheduler = Conflict::new(steps);
                let mut opened = Open { pair, scheduler };
                if self.search_pair(generator, &mut opened, AT_FIRST).await? {
                    new.push(opened);
                }
            }
            let mut still_open = new;
            for mut opened in open {
                if self.search_pair(generator, &mut opened, IN_A_LAP).await? {
                    still_open.push(opened);
                }
            }
            open = still_open;
            // A lap without a round: all that other values could show is known.
            if self.is_spent(FOR_PAIRS) || self.tally.rounds == rounds {
                break;
            }
        }
        Ok(())
    }

    /// The first pair of a kind whose calls fight over something, and what each does
    /// alone.
    async fn hot_pair(
        &mut self,
        kind: Vec<Pair>,
        generator: &Generator,
        alone: &mut Alone,
    ) -> Result<Option<(Pair, Vec<Vec<Step>>)>, Halt> {
        for pair in kind {
            let mut steps = Vec::new();
            for call in 0..2 {
                steps.push(self.alone(alone, generator, &pair, call).await?);
            }
            let mut fights = steps[0].iter().flat_map(|own| {
                let others = steps[1].iter();
                others.map(move |others| own.conflicts(others))
            });
            if fights.any(|fight| fight) {
                return Ok(Some((pair, steps)));
            }
        }
        Ok(None)
    }

    /// So many of a pair's schedules; whether there are more.
    async fn search_pair(
        &mut self,
        generator: &Generator,
        open: &mut Open,
        schedules: u32,
    ) -> Result<bool, Halt> {
        for _ in 0..schedules {
            if self.is_spent(FOR_PAIRS) || !open.scheduler.next_round() {
                return Ok(false);
            }
            let scenario = &open.pair.scenario;
            let mut trials = Trials::new(self.stage, self.stop, None);
            let round = trials.round(scenario, Some(&mut open.scheduler)).await?;
            self.take(open.pair.seed, generator, scenario, round)
                .await?;
        }
        Ok(true)
    }

    /// What one call of a pair does alone. A round that has to be made for that is
    /// judged like any.
    pub(super) async fn alone(
        &mut self,
        alone: &mut Alone,
        generator: &Generator,
        pair: &Pair,
        call: usize,
    ) -> Result<Vec<Step>, Halt> {
        let mut trials = Trials::new(self.stage, self.stop, None);
        let (steps, round) = alone.one(&mut trials, &pair.scenario, call).await?;
        if let Some((single, round)) = round {
            self.take(pair.seed, generator, &single, round).await?;
        }
        Ok(steps)
    }

    /// Makes the same round twice: what the search and a replay count on.
    async fn see_that_it_repeats_itself(
        &mut self,
        scenario: &Scenario,
        steps: &[Vec<Step>],
    ) -> Result<(), Halt> {
        let mut repeat = Repeat::new(Box::new(Conflict::new(steps.to_vec())));
        let mut trials = Trials::new(self.stage, self.stop, None);
        let mut outcomes: Vec<Vec<String>> = Vec::new();
        let mut differs = None;
        let mut moved = 0;
        while repeat.next_round() {
            let round = trials.round(scenario, Some(&mut repeat)).await?;
            if let Verdict::Inconclusive(why) = &round.verdict {
                differs = Some(why.clone());
            }
            moved = round.history.steps.len();
            let calls = round.history.calls.iter();
            outcomes.push(calls.map(|call| outcome(&call.ending)).collect());
        }
        self.tally.extra_rounds += trials.made;
        if differs.is_none()
            && let [first, second] = outcomes.as_slice()
            && first != second
        {
            let (first, second) = (first.join(", "), second.join(", "));
            differs = Some(format!("first it answered {first}, then {second}"));
        }
        (self.emit)(&match differs {
            Some(why) => Event::Warning(format!(
                "the service does not repeat itself when it is let do the same: {why}. \
                 Gated findings may not replay."
            )),
            None => Event::Preparing(format!(
                "the service repeats itself: {}",
                repeat
                    .says()
                    .unwrap_or_else(|| format!("the same schedule twice, the same {moved} steps"))
            )),
        });
        Ok(())
    }

    async fn search_by_chance(
        &mut self,
        generator: &Generator,
        alone: &mut Alone,
    ) -> Result<(), Halt> {
        for number in 0.. {
            if self.is_spent(FOR_CHANCE) {
                break;
            }
            let seed = round_seed(self.plan.seed, number);
            let scenario = tree(generator, seed)?.current();
            if scenario.race.iter().any(|call| call.hang_up.is_some()) {
                continue;
            }
            let mut trials = Trials::new(self.stage, self.stop, None);
            let steps = alone.all(&mut trials, &scenario).await?;
            self.tally.extra_rounds += trials.made;
            let length = steps.iter().map(Vec::len).sum();
            let calls = scenario.race.len();
            let mut by_priority = Pct::new(seed, DEPTH, calls, length);
            let mut by_chance = Random::new(seed);
            for schedule in 0..BY_CHANCE {
                let scheduler: &mut dyn Scheduler = if schedule < BY_PRIORITY {
                    &mut by_priority
                } else {
                    &mut by_chance
                };
                if self.is_spent(FOR_CHANCE) {
                    break;
                }
                let mut trials = Trials::new(self.stage, self.stop, None);
                let round = trials.once_by(&scenario, scheduler).await?;
                self.take(seed, generator, &scenario, round).await?;
            }
        }
        Ok(())
    }

    /// Whether this part of the budget is used, or the search over.
    pub(super) fn is_spent(&self, part: f64) -> bool {
        let rounds = |most: u64| {
            #[allow(clippy::cast_precision_loss)] // Rounds are far below 2^53.
            let used = self.tally.rounds as f64 / most.max(1) as f64;
            used >= part
        };
        let time = |budget: std::time::Duration| {
            self.searching.elapsed().as_secs_f64() >= budget.as_secs_f64() * part
        };
        self.is_over() || self.plan.rounds.is_some_and(rounds) || self.plan.budget.is_some_and(time)
    }
}

/// How a call ended, as far as it has to be the same again.
fn outcome(ending: &Ending) -> String {
    match ending {
        Ending::Answered(answer) => answer.status.to_string(),
        Ending::HungUp | Ending::NoAnswer { .. } => "nothing".to_owned(),
        Ending::Dropped(_) => "by hanging up".to_owned(),
    }
}
