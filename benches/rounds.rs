//! What deadheat itself costs: rounds per second on the bundled shop, beside the
//! same requests sent one after the other with no gate, between the same restores and
//! judged alike, by all but the outcome, which costs rounds of its own
//! (`benches/outcomes.rs`). Both take turns, scenario by scenario, in one run.
//!
//! `cargo bench --bench rounds` prints one table. Scenarios with a client that
//! hangs up are left out: after one, deadheat waits on purpose until the database
//! has been quiet for some time, which says nothing of its own cost. At the gate, steps
//! move at random; two orders of one product wait for each other's row locks in most
//! rounds, two orders of different products never.

mod common;

use std::time::{Duration, Instant};

use common::{CALLS, Failure, Judges, Mode, SHOP};
use deadheat::generate::{Generator, round_seed};
use deadheat::model::engine::Engine;
use deadheat::model::scenario::Scenario;
use deadheat::schedule::{Random, Scheduler as _};
use deadheat::stage::Stage;

/// Scenarios that count, and those that warm everything up before.
const SCENARIOS: usize = 500;
const WARM_UP: usize = 30;

/// Scenarios that are measured together.
struct Group {
    name: &'static str,
    mode: Mode,
    calls: (usize, usize),
    holds: fn(&Scenario) -> bool,
}

const GROUPS: [Group; 5] = [
    Group {
        name: "races as by default",
        mode: Mode::Free(Engine::Postgres),
        calls: CALLS,
        holds: |_| true,
    },
    Group {
        name: "races as by default",
        mode: Mode::Free(Engine::Sqlite),
        calls: CALLS,
        holds: |_| true,
    },
    Group {
        name: "two orders, no row locks",
        mode: Mode::Gated,
        calls: (2, 2),
        holds: |scenario| orders(scenario, false),
    },
    Group {
        name: "two orders, row locks",
        mode: Mode::Gated,
        calls: (2, 2),
        holds: |scenario| orders(scenario, true),
    },
    Group {
        name: "any pair",
        mode: Mode::Gated,
        calls: (2, 2),
        holds: |_| true,
    },
];

/// Whether a race is two orders, of one product or not.
fn orders(scenario: &Scenario, of_one: bool) -> bool {
    let [first, second] = scenario.race.as_slice() else {
        return false;
    };
    let is_order = |call: &deadheat::model::scenario::Call| call.operation == "order";
    is_order(first)
        && is_order(second)
        && (first.values["product"] == second.values["product"]) == of_one
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    println!("| | races | rounds per second | one by one per second | ratio |");
    println!("|---|---|---|---|---|");
    for group in &GROUPS {
        measure(group).await?;
    }
    Ok(())
}

async fn measure(group: &Group) -> Result<(), Failure> {
    let judges = Judges {
        outcomes: false,
        ..Judges::ALL
    };
    let (mut stage, _) = SHOP.stage(group.mode, "", judges).await?;
    let plain = Mode::Free(stage.engine());
    let (mut plain, _) = SHOP.stage(plain, "", judges).await?;
    let generator = Generator::new(stage.target(), stage.pools(), group.calls)?;
    let (mut racing, mut one_by_one) = (Duration::ZERO, Duration::ZERO);
    let mut made = 0;
    for number in 0.. {
        let seed = round_seed(1, number);
        let scenario = common::scenario(&generator, seed)?;
        if scenario.race.iter().any(|call| call.hang_up.is_some()) || !(group.holds)(&scenario) {
            continue;
        }
        let begun = Instant::now();
        round(&mut stage, &scenario, seed).await?;
        let raced = begun.elapsed();
        let begun = Instant::now();
        plain.one_by_one(&scenario).await?;
        let sent = begun.elapsed();
        made += 1;
        if made > WARM_UP {
            racing += raced;
            one_by_one += sent;
        }
        if made == WARM_UP + SCENARIOS {
            break;
        }
    }
    stage.close().await?;
    plain.close().await?;
    #[allow(clippy::cast_precision_loss)] // A few hundred.
    let per_second = |time: Duration| SCENARIOS as f64 / time.as_secs_f64();
    let (racing, one_by_one) = (per_second(racing), per_second(one_by_one));
    println!(
        "| {} | {} | {racing:.0} | {one_by_one:.0} | {:.2} |",
        group.mode,
        group.name,
        racing / one_by_one
    );
    Ok(())
}

/// A round, at random where there is a gate.
async fn round(stage: &mut Stage, scenario: &Scenario, seed: u64) -> Result<(), Failure> {
    if !stage.is_gated() {
        stage.round(scenario).await?;
        return Ok(());
    }
    let mut random = Random::new(seed);
    if random.next_round() {
        stage.round_by(scenario, Some(&mut random)).await?;
    }
    Ok(())
}
