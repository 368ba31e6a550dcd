//! How soon each of the bundled shop's mistakes is found: rounds and seconds to
//! the first violation over several seeds, on both engines; and how many findings
//! there are in the right shop, which should be none.
//!
//! `cargo bench --bench zoo` prints one table; `-- --seeds 5 --bugs oversell` and
//! `-- --right 0` make it shorter. One mistake is on at a time, and everything
//! else is as in `deadheat run`: default calls, two replicas. Shrinking is not
//! part of it, and neither is putting the stage up. What is found is any violation
//! at all: with one mistake on and a right shop silent, it is the mistake's.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::Failure;
use deadheat::generate::round_seed;
use deadheat::model::engine::Engine;
use deadheat::model::verdict::Verdict;

/// A seed that finds nothing in so many rounds has missed.
const MOST_ROUNDS: u64 = 2000;

struct Wanted {
    seeds: u64,
    bugs: Vec<String>,
    right: u64,
}

/// One seed's way to the first violation.
struct Found {
    rounds: u64,
    took: Duration,
    rules: BTreeSet<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = wanted()?;
    println!("| bug | engine | found | rounds, median | worst | seconds, median | worst | by |");
    println!("|---|---|---|---|---|---|---|---|");
    for bug in &wanted.bugs {
        for engine in Engine::ALL {
            mistake(bug, engine, wanted.seeds).await?;
        }
    }
    if wanted.right > 0 {
        println!("\n| right shop on | rounds | findings | not judged | rounds per second |");
        println!("|---|---|---|---|---|");
        for engine in Engine::ALL {
            right(engine, wanted.right).await?;
        }
    }
    Ok(())
}

async fn mistake(bug: &str, engine: Engine, seeds: u64) -> Result<(), Failure> {
    let (mut stage, generator) = common::shop(engine, bug).await?;
    let mut found = Vec::new();
    for seed in 1..=seeds {
        let begun = Instant::now();
        for number in 0..MOST_ROUNDS {
            let scenario = common::scenario(&generator, round_seed(seed, number))?;
            let round = stage.round(&scenario).await?;
            if let Verdict::Violated(violations) = round.verdict {
                found.push(Found {
                    rounds: number + 1,
                    took: begun.elapsed(),
                    rules: violations
                        .iter()
                        .map(|violation| format!("{} {}", violation.oracle, violation.name))
                        .collect(),
                });
                break;
            }
        }
    }
    stage.close().await?;
    let mut rounds: Vec<u64> = found.iter().map(|found| found.rounds).collect();
    let mut took: Vec<Duration> = found.iter().map(|found| found.took).collect();
    rounds.sort_unstable();
    took.sort_unstable();
    let seconds = |at: Option<&Duration>| at.map_or(0.0, Duration::as_secs_f64);
    let rules: BTreeSet<&String> = found.iter().flat_map(|found| &found.rules).collect();
    let rules: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
    println!(
        "| `{bug}` | {engine} | {}/{seeds} | {} | {} | {:.2} | {:.2} | {} |",
        found.len(),
        rounds.get(rounds.len() / 2).unwrap_or(&0),
        rounds.last().unwrap_or(&0),
        seconds(took.get(took.len() / 2)),
        seconds(took.last()),
        rules.join(", ")
    );
    Ok(())
}

async fn right(engine: Engine, rounds: u64) -> Result<(), Failure> {
    let (mut stage, generator) = common::shop(engine, "").await?;
    let begun = Instant::now();
    let (mut findings, mut unjudged) = (0, 0);
    for number in 0..rounds {
        let scenario = common::scenario(&generator, round_seed(1, number))?;
        match stage.round(&scenario).await?.verdict {
            Verdict::Holds => {}
            Verdict::Inconclusive(why) => {
                unjudged += 1;
                eprintln!("not judged: {why}");
            }
            Verdict::Violated(violations) => {
                findings += 1;
                eprintln!("{violations:#?}");
            }
        }
    }
    #[allow(clippy::cast_precision_loss)] // A few thousand.
    let per_second = rounds as f64 / begun.elapsed().as_secs_f64();
    println!("| {engine} | {rounds} | {findings} | {unjudged} | {per_second:.0} |");
    stage.close().await?;
    Ok(())
}

/// Reads the arguments; cargo adds `--bench` of its own.
fn wanted() -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        seeds: 20,
        bugs: common::bugs()?,
        right: MOST_ROUNDS,
    };
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match name.as_str() {
            "--seeds" => wanted.seeds = value.parse()?,
            "--right" => wanted.right = value.parse()?,
            "--bugs" => wanted.bugs = value.split(',').map(str::to_owned).collect(),
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(wanted)
}
