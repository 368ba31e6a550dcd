//! What the benches of whole rounds share: the bundled shop on a stage.

#![allow(dead_code)] // Not every bench uses all of it.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::model::scenario::Scenario;
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;

/// Fewest and most calls of a race, as by default.
pub const CALLS: (usize, usize) = (2, 8);

static BUILT: AtomicBool = AtomicBool::new(false);

pub type Failure = Box<dyn Error + Send + Sync>;

/// How the shop is raced.
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

/// The shop with these mistakes, and the generator of its scenarios.
pub async fn shop(mode: Mode, bugs: &str) -> Result<(Stage, Generator), Failure> {
    let mut target = Target::load(&root().join("targets/shop"))?;
    if BUILT.swap(true, Ordering::Relaxed) {
        // Once is enough, and no work on the sources meanwhile comes in.
        target.file.service.build = None;
    }
    let options = Options {
        engine: Some(match mode {
            Mode::Free(engine) => engine,
            Mode::Gated => Engine::Postgres,
        }),
        gated: mode == Mode::Gated,
        env: vec![("SHOP_BUGS".to_owned(), bugs.to_owned())],
        ..Options::default()
    };
    // A bench that is killed leaves its service to be ended by hand: the guard
    // is the deadheat binary's own.
    let stage = Stage::open(target, &options, &Guard::disabled(), &mut |_| {}).await?;
    let generator = Generator::new(stage.target(), stage.pools(), CALLS)?;
    Ok((stage, generator))
}

/// The scenario of a seed.
pub fn scenario(generator: &Generator, seed: u64) -> Result<Scenario, Failure> {
    let tree = generator.tree(seed).map_err(|why| why.to_string())?;
    Ok(tree.current())
}

/// The names of the shop's mistakes, as it lists them itself.
pub fn bugs() -> Result<Vec<String>, Failure> {
    let cargo = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "-p",
            "deadheat",
            "-p",
            "shop",
            "--bins",
        ])
        .current_dir(root())
        .status()?;
    if !cargo.success() {
        return Err("the shop cannot be built".into());
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let refused = Command::new(root().join(target).join("release/shop"))
        .env("DATABASE_URL", "sqlite::memory:")
        .env("PORT", "0")
        .env("PROVIDER_URL", "http://127.0.0.1:9")
        .env("WEBHOOK_SECRET", "none")
        .env("SHOP_BUGS", "?")
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let names = said.split("known are ").nth(1).ok_or(said.clone())?;
    Ok(names.trim().split(", ").map(str::to_owned).collect())
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
