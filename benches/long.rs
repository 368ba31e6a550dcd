//! How soon each scheduler finds a lost update in requests of eighty statements each
//! (targets/long), beside racing free of any control.
//!
//! `cargo bench --bench long` prints one table; `-- --seeds 5` and `-- --rounds 100`
//! make it shorter. A seed draws one pair of calls, and all schedulers search that
//! pair, each until something is violated. What `conflict` takes counts the two rounds
//! that tell what each call does alone. Putting the stage up is not part of it, and
//! neither is a first race that warms the service up. `-- --by conflict` leaves the
//! other rows out.

#[path = "common/search.rs"]
mod search;

use std::path::Path;
use std::time::{Duration, Instant};

use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::model::scenario::Scenario;
use deadheat::schedule::{Conflict, Pct, Random};
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;
use search::{Failure, Searched, alone, pair, search, warm_up};

/// A mistake, and the operations whose calls show it.
type Mistake = (&'static str, [&'static str; 2]);

const MISTAKES: [Mistake; 2] = [
    ("no_lock", ["pay-by-invoice", "pay-by-invoice"]),
    ("forgotten_transaction", ["pay-by-card", "pay-in-cash"]),
];

/// The depth of bugs that priorities look for, as in a run.
const DEPTH: usize = 3;
/// About how many steps a pair takes; a longer round teaches it.
const STEPS: usize = 116;

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Conflict,
    Random,
    Pct,
    Free,
}

impl By {
    const ALL: [By; 4] = [By::Conflict, By::Random, By::Pct, By::Free];

    fn name(self) -> &'static str {
        match self {
            By::Conflict => "conflict",
            By::Random => "random",
            By::Pct => "pct",
            By::Free => "free",
        }
    }
}

/// What the seeds of a row came to.
#[derive(Default)]
struct Row {
    found: Vec<(u64, Duration)>,
    rounds: u64,
    unjudged: usize,
    took: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = wanted()?;
    println!(
        "| mistake | scheduler | found | rounds, median | worst | seconds, median | worst | \
         rounds per second | not judged |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (bug, operations) in MISTAKES {
        for &by in &wanted.by {
            let mut stage = stage(bug, by != By::Free).await?;
            let generator = Generator::new(stage.target(), stage.pools(), (2, 2))?;
            warm_up(&mut stage, &pair(&generator, 1, operations)?).await?;
            let mut row = Row::default();
            for seed in 1..=wanted.seeds {
                let scenario = pair(&generator, seed, operations)?;
                let begun = Instant::now();
                let searched = one(&mut stage, &scenario, by, seed, wanted.most).await?;
                row.add(&searched, begun.elapsed());
            }
            stage.close().await?;
            row.print(bug, by, wanted.seeds);
        }
    }
    Ok(())
}

async fn stage(bug: &str, gated: bool) -> Result<Stage, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/long");
    let options = Options {
        engine: Some(Engine::Postgres),
        env: vec![("LONG_BUGS".to_owned(), bug.to_owned())],
        gated,
        ..Options::default()
    };
    let target = Target::load(&folder)?;
    Ok(Stage::open(target, &options, &Guard::disabled(), &mut |_| {}).await?)
}

/// One seed's search by one scheduler.
async fn one(
    stage: &mut Stage,
    scenario: &Scenario,
    by: By,
    seed: u64,
    most: u64,
) -> Result<Searched, Failure> {
    match by {
        By::Free => search(stage, scenario, None, most).await,
        By::Random => search(stage, scenario, Some(&mut Random::new(seed)), most).await,
        By::Pct => {
            let mut pct = Pct::new(seed, DEPTH, 2, STEPS);
            search(stage, scenario, Some(&mut pct), most).await
        }
        By::Conflict => {
            let solo = alone(stage, scenario).await?;
            let known = solo.len() as u64;
            let mut conflict = Conflict::new(solo);
            let searched = search(stage, scenario, Some(&mut conflict), most - known).await?;
            Ok(Searched {
                found: searched.found.map(|round| round + known),
                rounds: searched.rounds + known,
                ..searched
            })
        }
    }
}

impl Row {
    fn add(&mut self, searched: &Searched, took: Duration) {
        self.found.extend(searched.found.map(|round| (round, took)));
        self.rounds += searched.rounds;
        self.unjudged += searched.unjudged.len();
        self.took += took;
        for why in &searched.unjudged {
            eprintln!("not judged: {why}");
        }
    }

    fn print(&self, bug: &str, by: By, seeds: u64) {
        let mut rounds: Vec<u64> = self.found.iter().map(|found| found.0).collect();
        let mut took: Vec<Duration> = self.found.iter().map(|found| found.1).collect();
        rounds.sort_unstable();
        took.sort_unstable();
        let count = |at: Option<&u64>| at.map_or("-".to_owned(), u64::to_string);
        let seconds = |at: Option<&Duration>| {
            at.map_or("-".to_owned(), |took| format!("{:.2}", took.as_secs_f64()))
        };
        #[allow(clippy::cast_precision_loss)] // Some thousands.
        let per_second = self.rounds as f64 / self.took.as_secs_f64();
        println!(
            "| `{bug}` | {} | {}/{seeds} | {} | {} | {} | {} | {per_second:.0} | {} |",
            by.name(),
            rounds.len(),
            count(rounds.get(rounds.len() / 2)),
            count(rounds.last()),
            seconds(took.get(took.len() / 2)),
            seconds(took.last()),
            self.unjudged,
        );
    }
}

struct Wanted {
    seeds: u64,
    /// A seed that finds nothing in so many rounds has missed.
    most: u64,
    by: Vec<By>,
}

/// Reads the arguments; cargo adds `--bench` of its own.
fn wanted() -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        seeds: 20,
        most: 1000,
        by: By::ALL.to_vec(),
    };
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("every argument has a value")?;
        match name.as_str() {
            "--seeds" => wanted.seeds = value.parse()?,
            "--rounds" => wanted.most = value.parse()?,
            "--by" => wanted.by.retain(|by| by.name() == value),
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(wanted)
}
