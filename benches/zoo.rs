//! How soon each mistake of a bundled target is found: rounds and seconds to the first
//! violation over several seeds, in free races on its engines and at the gate; and how
//! many findings there are where it is right, which should be none.
//!
//! `cargo bench --bench zoo` prints both tables for the shop, `-- --target noisy` for
//! the service whose answers are never the same twice. `-- --rules none` takes every
//! invariant and `once` rule out of the target file, so that the outcome oracle stands
//! alone, but for what the answers show. `-- --seeds 5 --bugs oversell`, `-- --rounds 500`,
//! `-- --modes gated` and `-- --right 0` make it shorter.
//!
//! One mistake is on at a time, and everything else is as in `deadheat run`: default
//! calls, two replicas, at most so many rounds, and a stage of its own for each seed, for
//! what the outcome oracle learns in one run must not help another. Shrinking is not part
//! of it, and neither is putting the stage up. What is found is any violation at all:
//! with one mistake on and a right target silent, it is the mistake's.

mod common;

use std::collections::BTreeSet;

use common::{Bundled, Failure, Judges, Mode, NOISY, SHOP};
use deadheat::model::event::Summary;

struct Wanted {
    bundled: Bundled,
    judges: Judges,
    seeds: u64,
    /// A seed that finds nothing in so many rounds has missed.
    rounds: u64,
    bugs: Vec<String>,
    modes: Vec<Mode>,
    /// Rounds of the right target.
    right: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = wanted()?;
    println!("| bug | races | found | rounds, median | worst | seconds, median | worst | by |");
    println!("|---|---|---|---|---|---|---|---|");
    for bug in &wanted.bugs {
        for mode in &wanted.modes {
            mistake(&wanted, bug, *mode).await?;
        }
    }
    if wanted.right > 0 {
        println!(
            "\n| right {} | rounds | findings | explained | unclear | not judged | \
             one-at-a-time rounds | rounds per second |",
            wanted.bundled.name
        );
        println!("|---|---|---|---|---|---|---|---|");
        for mode in &wanted.modes {
            right(&wanted, *mode).await?;
        }
    }
    Ok(())
}

async fn mistake(wanted: &Wanted, bug: &str, mode: Mode) -> Result<(), Failure> {
    let mut found = Vec::new();
    for seed in 1..=wanted.seeds {
        let summary = hunt(wanted, mode, bug, seed).await?;
        found.extend(summary.findings);
    }
    let mut rounds: Vec<u64> = found.iter().map(|found| found.found_after_rounds).collect();
    let mut took: Vec<f64> = found.iter().map(|found| found.found_after_s).collect();
    rounds.sort_unstable();
    took.sort_unstable_by(f64::total_cmp);
    let rules: BTreeSet<String> = found
        .iter()
        .map(|found| format!("`{} {}`", found.oracle, found.name))
        .collect();
    let count = |at: Option<&u64>| at.map_or("-".to_owned(), u64::to_string);
    let seconds = |at: Option<&f64>| at.map_or("-".to_owned(), |took| format!("{took:.2}"));
    println!(
        "| `{bug}` | {mode} | {}/{} | {} | {} | {} | {} | {} |",
        found.len(),
        wanted.seeds,
        count(rounds.get(rounds.len() / 2)),
        count(rounds.last()),
        seconds(took.get(took.len() / 2)),
        seconds(took.last()),
        rules.into_iter().collect::<Vec<String>>().join(", ")
    );
    Ok(())
}

async fn right(wanted: &Wanted, mode: Mode) -> Result<(), Failure> {
    let (mut stage, _) = wanted.bundled.stage(mode, "", wanted.judges).await?;
    let mut plan = common::plan(1, wanted.right);
    plan.keep_going = true;
    let summary = common::hunt(&mut stage, &plan, u64::MAX).await?;
    stage.close().await?;
    #[allow(clippy::cast_precision_loss)] // A few thousand.
    let per_second = summary.rounds as f64 / summary.elapsed_s;
    let outcomes = &summary.outcomes;
    println!(
        "| {mode} | {} | {} | {} | {} | {} | {} | {per_second:.0} |",
        summary.rounds,
        summary.findings.len(),
        outcomes.explained,
        outcomes.unclear.values().sum::<u64>(),
        summary.inconclusive,
        outcomes.one_by_one,
    );
    for found in &summary.findings {
        eprintln!("found by {} {}: {}", found.oracle, found.name, found.says);
    }
    for (why, times) in &outcomes.unclear {
        eprintln!("unclear, {times} times: {why}");
    }
    for (why, times) in &summary.inconclusive_why {
        eprintln!("not judged, {times} times: {why}");
    }
    Ok(())
}

/// A run of one seed to its first finding.
async fn hunt(wanted: &Wanted, mode: Mode, bug: &str, seed: u64) -> Result<Summary, Failure> {
    let (mut stage, _) = wanted.bundled.stage(mode, bug, wanted.judges).await?;
    let plan = common::plan(seed, wanted.rounds);
    let summary = common::hunt(&mut stage, &plan, u64::MAX).await;
    stage.close().await?;
    summary
}

/// Reads the arguments; cargo adds `--bench` of its own.
fn wanted() -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        bundled: SHOP,
        judges: Judges::ALL,
        seeds: 20,
        rounds: common::ROUNDS,
        bugs: Vec::new(),
        modes: Vec::new(),
        right: common::ROUNDS,
    };
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match (name.as_str(), value.as_str()) {
            ("--target", "shop") => wanted.bundled = SHOP,
            ("--target", "noisy") => wanted.bundled = NOISY,
            ("--rules", "all") => wanted.judges.rules = true,
            ("--rules", "none") => wanted.judges.rules = false,
            ("--seeds", _) => wanted.seeds = value.parse()?,
            ("--rounds", _) => wanted.rounds = value.parse()?,
            ("--right", _) => wanted.right = value.parse()?,
            ("--bugs", _) => wanted.bugs = value.split(',').map(str::to_owned).collect(),
            ("--modes", _) => {
                wanted.modes = value
                    .split(',')
                    .map(Mode::parse)
                    .collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("unknown argument {name} {value}").into()),
        }
    }
    if wanted.bugs.is_empty() {
        wanted.bugs = wanted.bundled.bugs()?;
    }
    if wanted.modes.is_empty() {
        wanted.modes = wanted.bundled.modes.to_vec();
    }
    Ok(wanted)
}
