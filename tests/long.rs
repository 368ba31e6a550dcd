//! A developer whose requests make eighty statements each: the one lost update among
//! them is found, and the right service is cleared.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;
#[path = "../benches/common/search.rs"]
mod search;

use std::path::Path;

use common::bundled;
use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::model::history::Ending;
use deadheat::schedule::Conflict;
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;
use search::{Searched, alone, pair, search, warm_up};

/// How soon a lost update has to be found.
const SOON: u64 = 50;
/// More than the whole search of a pair takes, if rows that are only added never
/// conflict.
const ALL: u64 = 60;

async fn gated(folder: &str, bugs: &str) -> Stage {
    let options = Options {
        engine: Some(Engine::Postgres),
        env: vec![("LONG_BUGS".to_owned(), bugs.to_owned())],
        gated: true,
        ..Options::default()
    };
    let target = Target::load(Path::new(folder)).unwrap();
    let guard = Guard::disabled();
    let stage = Stage::open(target, &options, &guard, &mut |_| {}).await;
    stage.unwrap()
}

/// Searches the pairs by `conflict`, one after the other.
async fn by_conflict(bugs: &str, pairs: &[[&str; 2]], most: u64) -> Vec<Searched> {
    let (_place, folder) = bundled("long");
    let mut stage = gated(&folder, bugs).await;
    let generator = Generator::new(stage.target(), stage.pools(), (2, 2)).unwrap();
    let mut all = Vec::new();
    for operations in pairs {
        let scenario = pair(&generator, 1, *operations).unwrap();
        warm_up(&mut stage, &scenario).await.unwrap();
        let solo = alone(&mut stage, &scenario).await.unwrap();
        let mut scheduler = Conflict::new(solo);
        let searched = search(&mut stage, &scenario, Some(&mut scheduler), most);
        all.push(searched.await.unwrap());
    }
    stage.close().await.unwrap();
    all
}

const INVOICES: [&str; 2] = ["pay-by-invoice", "pay-by-invoice"];
const FAR_APART: [&str; 2] = ["pay-by-card", "pay-in-cash"];

#[tokio::test]
async fn a_lost_update_among_eighty_statements_is_found() {
    for searched in by_conflict("no_lock", &[INVOICES, FAR_APART], SOON).await {
        assert!(searched.found.is_some(), "{searched:?}");
    }
}

#[tokio::test]
async fn one_that_shows_between_two_statements_only_is_found() {
    for searched in by_conflict("forgotten_transaction", &[FAR_APART], SOON).await {
        assert!(searched.found.is_some(), "{searched:?}");
    }
}

#[tokio::test]
async fn the_right_service_is_cleared_by_the_whole_search() {
    for searched in by_conflict("", &[INVOICES, FAR_APART], ALL).await {
        assert_eq!(searched.found, None, "{searched:?}");
        assert!(searched.unjudged.is_empty(), "{searched:?}");
    }
}

#[tokio::test]
async fn eighty_statements_are_eighty() {
    let (_place, folder) = bundled("long");
    let mut stage = gated(&folder, "").await;
    let generator = Generator::new(stage.target(), stage.pools(), (2, 2)).unwrap();
    let scenario = pair(&generator, 1, FAR_APART).unwrap();
    let round = stage.round(&scenario).await.unwrap();
    stage.close().await.unwrap();
    for call in &round.history.calls {
        let Ending::Answered(answer) = &call.ending else {
            panic!("{call:?}");
        };
        assert!(answer.body.contains(r#""statements":80"#), "{answer:?}");
    }
}
