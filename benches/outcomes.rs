//! What the outcome oracle costs: rounds per second of the right shop's hunts with the
//! oracle and without, and the one-at-a-time rounds that it makes for each round.
//!
//! `cargo bench --bench outcomes` prints one table; `-- --rounds 100 --times 1` makes it
//! shorter. Each hunt has a stage of its own, so that nothing learned before helps it;
//! hunts without and with the oracle take turns, seed by seed, and of several seeds
//! the median counts. Putting the stage up is not part of it; that a service's first
//! rounds are its slowest is. Gated hunts are stopped before faults would have their turn:
//! four fifths of their rounds are pairs of calls, one fifth larger races. Those of
//! `--faults` make nothing else: calls alone with a fault at some step, which cost what
//! the service needs to time out or to start again.

mod common;

use common::{Failure, Judges, Mode, SHOP};
use deadheat::model::engine::Engine;

/// What is measured: races, and whether all of them are struck by faults.
const KINDS: [(&str, Mode, bool); 4] = [
    ("free, postgres", Mode::Free(Engine::Postgres), false),
    ("free, sqlite", Mode::Free(Engine::Sqlite), false),
    ("gated, no faults", Mode::Gated, false),
    ("gated, --faults", Mode::Gated, true),
];

/// One hunt, in numbers.
#[derive(Clone, Copy)]
struct Made {
    rounds_per_second: f64,
    /// One-at-a-time rounds for each round.
    one_by_one: f64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (rounds, times) = wanted()?;
    println!(
        "| races | rounds per second, without | with | ratio | one-at-a-time rounds a round |"
    );
    println!("|---|---|---|---|---|");
    let mut made = KINDS.map(|_| [Vec::new(), Vec::new()]);
    for seed in 1..=times {
        for (kind, made) in KINDS.iter().zip(&mut made) {
            for (outcomes, made) in [false, true].into_iter().zip(made) {
                made.push(hunt(*kind, outcomes, seed, rounds).await?);
            }
        }
    }
    for ((name, ..), [without, with]) in KINDS.iter().zip(&made) {
        let speed = |made: &[Made]| median(made.iter().map(|made| made.rounds_per_second));
        let (slow, fast) = (speed(with), speed(without));
        println!(
            "| {name} | {fast:.0} | {slow:.0} | {:.2} | {:.2} |",
            slow / fast,
            median(with.iter().map(|made| made.one_by_one)),
        );
    }
    Ok(())
}

async fn hunt(
    (name, mode, faults): (&str, Mode, bool),
    outcomes: bool,
    seed: u64,
    rounds: u64,
) -> Result<Made, Failure> {
    let judges = Judges {
        outcomes,
        ..Judges::ALL
    };
    let (mut stage, _) = SHOP.stage(mode, "", judges).await?;
    // At the gate faults have their turn after half of a hunt's rounds.
    let of = if mode == Mode::Gated && !faults {
        rounds * 2
    } else {
        rounds
    };
    let mut plan = common::plan(seed, of);
    plan.faults = faults;
    plan.keep_going = true;
    let summary = common::hunt(&mut stage, &plan, rounds).await;
    stage.close().await?;
    let summary = summary?;
    if let Some(found) = summary.findings.first() {
        return Err(format!("{name}: the right shop has a finding: {}", found.says).into());
    }
    if summary.faults.is_some() != faults {
        return Err(format!("{name}: faults struck, or none did").into());
    }
    eprintln!(
        "{name}, seed {seed}, outcomes {outcomes}: {} rounds in {:.1} s, {} explained",
        summary.rounds, summary.elapsed_s, summary.outcomes.explained
    );
    #[allow(clippy::cast_precision_loss)] // Some thousands.
    let (rounds, one_by_one) = (summary.rounds as f64, summary.outcomes.one_by_one as f64);
    Ok(Made {
        rounds_per_second: rounds / summary.elapsed_s,
        one_by_one: one_by_one / rounds,
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Reads how many rounds a hunt makes, and how many hunts of a kind; cargo adds
/// `--bench` of its own.
fn wanted() -> Result<(u64, u64), Failure> {
    let (mut rounds, mut times) = (400, 3);
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match name.as_str() {
            "--rounds" => rounds = value.parse()?,
            "--times" => times = value.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok((rounds, times))
}
