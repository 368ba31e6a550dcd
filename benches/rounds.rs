//! What deadheat itself costs: rounds per second on the bundled shop, beside the
//! same requests sent one after the other between the same restores, with nothing
//! judged. Both take turns, scenario by scenario, in one run.
//!
//! `cargo bench --bench rounds` prints one table. Scenarios with a client that
//! hangs up are left out: after one, deadheat waits on purpose until the database
//! has been quiet for some time, which says nothing of its own cost.

mod common;

use std::time::{Duration, Instant};

use common::Failure;
use deadheat::generate::round_seed;
use deadheat::model::engine::Engine;

/// Scenarios that count, and those that warm everything up before.
const SCENARIOS: usize = 500;
const WARM_UP: usize = 30;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    println!("| engine | calls a race | rounds per second | one by one per second | ratio |");
    println!("|---|---|---|---|---|");
    for engine in Engine::ALL {
        let (mut stage, generator) = common::shop(engine, "").await?;
        let (mut racing, mut one_by_one) = (Duration::ZERO, Duration::ZERO);
        let (mut made, mut calls) = (0, 0);
        for number in 0.. {
            let scenario = common::scenario(&generator, round_seed(1, number))?;
            if scenario.race.iter().any(|call| call.hang_up.is_some()) {
                continue;
            }
            let begun = Instant::now();
            stage.round(&scenario).await?;
            let raced = begun.elapsed();
            let begun = Instant::now();
            stage.one_by_one(&scenario).await?;
            let sent = begun.elapsed();
            made += 1;
            if made > WARM_UP {
                racing += raced;
                one_by_one += sent;
                calls += scenario.race.len();
            }
            if made == WARM_UP + SCENARIOS {
                break;
            }
        }
        stage.close().await?;
        #[allow(clippy::cast_precision_loss)] // A few hundred.
        let per_second = |time: Duration| SCENARIOS as f64 / time.as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let calls = calls as f64 / SCENARIOS as f64;
        let (racing, one_by_one) = (per_second(racing), per_second(one_by_one));
        println!(
            "| {engine} | {calls:.1} | {racing:.0} | {one_by_one:.0} | {:.2} |",
            racing / one_by_one
        );
    }
    Ok(())
}
