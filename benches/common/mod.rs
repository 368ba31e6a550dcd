//! What the benches of whole rounds share: the bundled shop on a stage.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::model::scenario::Scenario;
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;

/// Fewest and most calls of a race, as by default.
pub const CALLS: (usize, usize) = (2, 8);

pub type Failure = Box<dyn Error + Send + Sync>;

/// The shop with these mistakes, and the generator of its scenarios.
pub async fn shop(engine: Engine, bugs: &str) -> Result<(Stage, Generator), Failure> {
    let target = Target::load(&root().join("targets/shop"))?;
    let options = Options {
        engine: Some(engine),
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
#[allow(dead_code)] // Not every bench asks.
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
