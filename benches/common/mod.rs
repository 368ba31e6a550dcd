//! What the benches of whole rounds share: a bundled target on a stage, and a hunt that
//! is as in `deadheat run` up to its first finding.

#![allow(dead_code)] // Not every bench uses all of it.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadheat::corpus::Corpus;
use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::hunt::{Hunt, Plan, Stop};
use deadheat::model::engine::Engine;
use deadheat::model::event::{Event, Summary};
use deadheat::model::scenario::Scenario;
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;

/// Fewest and most calls of a race, as by default.
pub const CALLS: (usize, usize) = (2, 8);

/// The most rounds of a run, as by default.
pub const ROUNDS: u64 = 4000;

static BUILT: AtomicBool = AtomicBool::new(false);

pub type Failure = Box<dyn Error + Send + Sync>;

/// How a target is raced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Free(Engine),
    Gated,
}

impl Mode {
    pub const ALL: [Mode; 3] = [
        Mode::Free(Engine::Postgres),
        Mode::Free(Engine::Sqlite),
        Mode::Gated,
    ];

    pub fn parse(text: &str) -> Result<Mode, Failure> {
        match text.split_once('-') {
            Some(("free", engine)) => Ok(Mode::Free(engine.parse()?)),
            None if text == "gated" => Ok(Mode::Gated),
            _ => Err(format!("unknown mode {text}: free-postgres, free-sqlite or gated").into()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Free(engine) => write!(f, "free, {engine}"),
            Mode::Gated => f.write_str("gated"),
        }
    }
}

/// A target whose mistakes a variable switches on by name.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    pub name: &'static str,
    variable: &'static str,
    pub modes: &'static [Mode],
}

pub const SHOP: Bundled = Bundled {
    name: "shop",
    variable: "SHOP_BUGS",
    modes: &Mode::ALL,
};

pub const NOISY: Bundled = Bundled {
    name: "noisy",
    variable: "NOISY_BUGS",
    modes: &[Mode::Gated, Mode::Free(Engine::Postgres)],
};

/// What rounds are judged by, beside the answers, which always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judges {
    /// Invariants, and the effects that a key may have once.
    pub rules: bool,
    /// Whether some one-at-a-time order explains the outcome.
    pub outcomes: bool,
}

impl Judges {
    /// As by default.
    pub const ALL: Judges = Judges {
        rules: true,
        outcomes: true,
    };
}

impl Bundled {
    /// It with these mistakes on a stage as `deadheat run` puts it up, and the generator
    /// of its scenarios.
    pub async fn stage(
        self,
        mode: Mode,
        bugs: &str,
        judges: Judges,
    ) -> Result<(Stage, Generator), Failure> {
        let mut target = Target::load(&root().join("targets").join(self.name))?;
        self.build()?;
        target.file.service.build = None;
        if !judges.rules {
            target.file.invariants.clear();
            for operation in target.operations.values_mut() {
                operation.section.once = None;
            }
        }
        let options = Options {
            engine: Some(match mode {
                Mode::Free(engine) => engine,
                Mode::Gated => Engine::Postgres,
            }),
            gated: mode == Mode::Gated,
            env: vec![(self.variable.to_owned(), bugs.to_owned())],
            outcomes: judges.outcomes,
            ..Options::default()
        };
        // A bench that is killed leaves its service to be ended by hand: the guard
        // is the deadheat binary's own.
        let stage = Stage::open(target, &options, &Guard::disabled(), &mut |_| {}).await?;
        let generator = Generator::new(stage.target(), stage.pools(), CALLS)?;
        Ok((stage, generator))
    }

    /// Builds it as its target file says. Once is enough, and no work on the sources
    /// meanwhile comes in.
    fn build(self) -> Result<(), Failure> {
        if BUILT.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--release", "--locked", "--bins"])
            .args(["-p", "deadheat", "-p", self.name])
            .current_dir(root());
        for (name, _) in std::env::vars_os() {
            // What cargo tells a bench of its package makes some dependencies be built
            // anew: their build scripts look at the same variables.
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        if !cargo.status()?.success() {
            return Err(format!("{} cannot be built", self.name).into());
        }
        Ok(())
    }

    /// The names of its mistakes, as it lists them itself.
    pub fn bugs(self) -> Result<Vec<String>, Failure> {
        self.build()?;
        let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
        let refused = Command::new(root().join(target).join("release").join(self.name))
            .env("DATABASE_URL", "sqlite::memory:")
            .env("PORT", "0")
            .env("PROVIDER_URL", "http://127.0.0.1:9")
            .env("EVENTS_URL", "http://127.0.0.1:9")
            .env("WEBHOOK_SECRET", "none")
            .env(self.variable, "?")
            .output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let names = said.split("known are ").nth(1).ok_or(said.clone())?;
        Ok(names.trim().split(", ").map(str::to_owned).collect())
    }
}

/// The shop with these mistakes, judged by all that `deadheat run` judges by.
pub async fn shop(mode: Mode, bugs: &str) -> Result<(Stage, Generator), Failure> {
    SHOP.stage(mode, bugs, Judges::ALL).await
}

/// A run of a seed as by default, except that what it finds is neither shrunk nor
/// measured.
pub fn plan(seed: u64, rounds: u64) -> Plan {
    Plan {
        seed,
        rounds: Some(rounds),
        budget: None,
        calls: CALLS,
        faults: false,
        checks: false,
        keep_going: false,
        shrink_within: Duration::ZERO,
        measure: 0,
        measure_within: Duration::ZERO,
        env: Vec::new(),
        target_folder: String::new(),
        required: Vec::new(),
    }
}

/// A hunt that keeps nothing, stopped after so many rounds if its plan has more.
pub async fn hunt(stage: &mut Stage, plan: &Plan, most: u64) -> Result<Summary, Failure> {
    let folder = tempfile::tempdir()?;
    let corpus = Corpus::new(folder.path(), &stage.target().name);
    let stop = Stop::default();
    let mut hear = |event: &Event| match event {
        Event::Warning(warning) => eprintln!("{warning}"),
        Event::RoundDone { rounds, .. } if *rounds >= most => stop.ask(),
        _ => {}
    };
    let (summary, failure) = Hunt::new(stage, plan, &corpus, &stop, &mut hear)
        .run()
        .await;
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(summary),
    }
}

/// The scenario of a seed.
pub fn scenario(generator: &Generator, seed: u64) -> Result<Scenario, Failure> {
    let tree = generator.tree(seed).map_err(|why| why.to_string())?;
    Ok(tree.current())
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
