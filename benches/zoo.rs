//! How soon each of the bundled shop's mistakes is found: rounds and seconds to
//! the first violation over several seeds, in free races on both engines and at the
//! gate; and how many findings there are in the right shop, which should be none.
//!
//! `cargo bench --bench zoo` prints one table; `-- --seeds 5 --bugs oversell`,
//! `-- --modes gated` and `-- --right 0` make it shorter. One mistake is on at a time,
//! and everything else is as in `deadheat run`: default calls, two replicas, at most
//! so many rounds. Shrinking is not part of it, and neither is putting the stage up.
//! What is found is any violation at all: with one mistake on and a right shop silent,
//! it is the mistake's.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{Failure, Mode};
use deadheat::corpus::Corpus;
use deadheat::hunt::{Hunt, Plan, Stop};
use deadheat::model::event::{Event, Summary};
use deadheat::stage::Stage;

/// A seed that finds nothing in so many rounds has missed.
const MOST_ROUNDS: u64 = 2000;

struct Wanted {
    seeds: u64,
    bugs: Vec<String>,
    modes: Vec<Mode>,
    right: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = wanted()?;
    println!("| bug | races | found | rounds, median | worst | seconds, median | worst | by |");
    println!("|---|---|---|---|---|---|---|---|");
    for bug in &wanted.bugs {
        for mode in &wanted.modes {
            mistake(bug, *mode, wanted.seeds).await?;
        }
    }
    if wanted.right > 0 {
        println!("\n| right shop | rounds | findings | not judged | rounds per second |");
        println!("|---|---|---|---|---|");
        for mode in &wanted.modes {
            right(*mode, wanted.right).await?;
        }
    }
    Ok(())
}

async fn mistake(bug: &str, mode: Mode, seeds: u64) -> Result<(), Failure> {
    let (mut stage, _) = common::shop(mode, bug).await?;
    let mut found = Vec::new();
    for seed in 1..=seeds {
        found.extend(hunt(&mut stage, seed, MOST_ROUNDS).await?.findings);
    }
    stage.close().await?;
    let mut rounds: Vec<u64> = found.iter().map(|found| found.found_after_rounds).collect();
    let mut took: Vec<f64> = found.iter().map(|found| found.found_after_s).collect();
    rounds.sort_unstable();
    took.sort_unstable_by(f64::total_cmp);
    let rules: BTreeSet<String> = found
        .iter()
        .map(|found| format!("`{} {}`", found.oracle, found.name))
        .collect();
    println!(
        "| `{bug}` | {mode} | {}/{seeds} | {} | {} | {:.2} | {:.2} | {} |",
        found.len(),
        rounds.get(rounds.len() / 2).unwrap_or(&0),
        rounds.last().unwrap_or(&0),
        took.get(took.len() / 2).unwrap_or(&0.0),
        took.last().unwrap_or(&0.0),
        rules.into_iter().collect::<Vec<String>>().join(", ")
    );
    Ok(())
}

async fn right(mode: Mode, rounds: u64) -> Result<(), Failure> {
    let (mut stage, _) = common::shop(mode, "").await?;
    let begun = Instant::now();
    let summary = hunt(&mut stage, 1, rounds).await?;
    #[allow(clippy::cast_precision_loss)] // A few thousand.
    let per_second = summary.rounds as f64 / begun.elapsed().as_secs_f64();
    println!(
        "| {mode} | {} | {} | {} | {per_second:.0} |",
        summary.rounds,
        summary.findings.len(),
        summary.inconclusive
    );
    for (why, times) in &summary.inconclusive_why {
        eprintln!("not judged, {times} times: {why}");
    }
    stage.close().await?;
    Ok(())
}

/// A run of one seed to its first finding, which is not shrunk.
async fn hunt(stage: &mut Stage, seed: u64, rounds: u64) -> Result<Summary, Failure> {
    let plan = Plan {
        seed,
        rounds: Some(rounds),
        budget: None,
        calls: common::CALLS,
        keep_going: false,
        shrink_within: Duration::ZERO,
        measure: 0,
        measure_within: Duration::ZERO,
        env: Vec::new(),
        target_folder: String::new(),
    };
    let folder = tempfile::tempdir()?;
    let corpus = Corpus::new(folder.path(), "shop");
    let stop = Stop::default();
    let mut warn = |event: &Event| {
        if let Event::Warning(warning) = event {
            eprintln!("{warning}");
        }
    };
    let (summary, failure) = Hunt::new(stage, &plan, &corpus, &stop, &mut warn)
        .run()
        .await;
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(summary),
    }
}

/// Reads the arguments; cargo adds `--bench` of its own.
fn wanted() -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        seeds: 20,
        bugs: common::bugs()?,
        modes: Mode::ALL.to_vec(),
        right: MOST_ROUNDS,
    };
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match name.as_str() {
            "--seeds" => wanted.seeds = value.parse()?,
            "--right" => wanted.right = value.parse()?,
            "--bugs" => wanted.bugs = value.split(',').map(str::to_owned).collect(),
            "--modes" => {
                wanted.modes = value
                    .split(',')
                    .map(Mode::parse)
                    .collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(wanted)
}
