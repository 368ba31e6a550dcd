//! One pair of calls, searched by one scheduler: what a bench counts and a test
//! asserts.

use std::error::Error;

use deadheat::generate::{Generator, round_seed};
use deadheat::model::scenario::{Role, Scenario};
use deadheat::model::schedule::Schedule;
use deadheat::model::step::Step;
use deadheat::model::verdict::Verdict;
use deadheat::round::Round;
use deadheat::schedule::{Follow, Scheduler};
use deadheat::stage::Stage;

pub type Failure = Box<dyn Error + Send + Sync>;

/// How many scenarios are drawn in search of a pair.
const DRAWS: u64 = 10_000;

/// What became of a search.
#[derive(Debug)]
pub struct Searched {
    /// The round that violated something, if one did, counted from one.
    pub found: Option<u64>,
    /// Rounds made.
    pub rounds: u64,
    /// Of them, those that could not be judged, and why.
    pub unjudged: Vec<String>,
}

/// The first race of a seed that is of a call of one operation and one of another,
/// neither repeating the other.
pub fn pair(generator: &Generator, seed: u64, operations: [&str; 2]) -> Result<Scenario, Failure> {
    for number in 0..DRAWS {
        let tree = generator.tree(round_seed(seed, number));
        let scenario = tree.map_err(|why| why.to_string())?.current();
        let [first, second] = scenario.race.as_slice() else {
            continue;
        };
        let plain = [first, second]
            .iter()
            .all(|call| call.role == Role::Original && call.hang_up.is_none());
        if plain && [&first.operation, &second.operation] == operations {
            return Ok(scenario);
        }
    }
    Err(format!("no race of {operations:?} was drawn").into())
}

/// A race that counts for nothing. The first request of a replica opens its connections
/// to the database and prepares its statements, and takes longer than any later one.
pub async fn warm_up(stage: &mut Stage, scenario: &Scenario) -> Result<(), Failure> {
    stage.round(scenario).await?;
    Ok(())
}

/// What each call of a race does alone: a round each.
pub async fn alone(stage: &mut Stage, scenario: &Scenario) -> Result<Vec<Vec<Step>>, Failure> {
    let mut all = Vec::new();
    for (index, call) in scenario.race.iter().enumerate() {
        let single = Scenario {
            setup: scenario.setup.clone(),
            race: vec![call.clone()],
            ..Scenario::default()
        };
        let mut straight = Follow::new(Schedule::default());
        let round = next(stage, &single, &mut straight).await?;
        let mut steps = round.ok_or("a call alone is one round")?.history.steps;
        for step in &mut steps {
            step.call = index;
        }
        all.push(steps);
    }
    Ok(all)
}

/// Rounds until one violates something, the scheduler has no more, or there were so
/// many. Without a scheduler the race is free.
pub async fn search(
    stage: &mut Stage,
    scenario: &Scenario,
    mut scheduler: Option<&mut dyn Scheduler>,
    most: u64,
) -> Result<Searched, Failure> {
    let mut searched = Searched {
        found: None,
        rounds: 0,
        unjudged: Vec::new(),
    };
    while searched.rounds < most {
        let round = match &mut scheduler {
            None => Some(stage.round(scenario).await?),
            Some(scheduler) => next(stage, scenario, *scheduler).await?,
        };
        let Some(round) = round else { break };
        searched.rounds += 1;
        match round.verdict {
            Verdict::Holds => {}
            Verdict::Inconclusive(why) => searched.unjudged.push(why),
            Verdict::Violated(_) => {
                searched.found = Some(searched.rounds);
                break;
            }
        }
    }
    Ok(searched)
}

/// The scheduler's next round; `None` if it has no more.
async fn next(
    stage: &mut Stage,
    scenario: &Scenario,
    scheduler: &mut dyn Scheduler,
) -> Result<Option<Round>, Failure> {
    if !scheduler.next_round() {
        return Ok(None);
    }
    Ok(Some(stage.round_by(scenario, Some(scheduler)).await?))
}
