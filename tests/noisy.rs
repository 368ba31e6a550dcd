//! A team whose answers and rows are never the same twice: random ids, tokens, times and
//! lists in no order are no mistake.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;
#[path = "../benches/common/search.rs"]
#[allow(dead_code)] // This story uses a part of it.
mod search;

use std::collections::BTreeSet;
use std::path::Path;

use common::bundled;
use deadheat::generate::Generator;
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::schedule::{Exhaustive, Scheduler};
use deadheat::stage::{Options, Stage};
use deadheat::target::Target;
use search::{pair, warm_up};
use serde_json::Value;

#[test]
fn noise_is_no_mistake() {
    let (place, target) = bundled("noisy");
    for more in [&[][..], &["--free"]] {
        let arguments = ["run", &target, "--seed", "1", "--rounds", "30"];
        let run = place.run(&[&arguments[..], more].concat());
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert!(run.out.contains("0 findings in"), "{run:#?}");
    }
}

#[test]
fn a_bug_that_is_none_is_told() {
    let (place, target) = bundled("noisy");
    let run = place.run(&["run", &target, "--env", "NOISY_BUGS=lost"]);
    run.fails(3, &["known are lost_update"]);
}

/// In how many of a pair's orders two likes of one note are answered with one number.
async fn lost(bugs: &str) -> usize {
    let (_place, folder) = bundled("noisy");
    let options = Options {
        engine: Some(Engine::Postgres),
        env: vec![("NOISY_BUGS".to_owned(), bugs.to_owned())],
        gated: true,
        ..Options::default()
    };
    let target = Target::load(Path::new(&folder)).unwrap();
    let guard = Guard::disabled();
    let stage = Stage::open(target, &options, &guard, &mut |_| {}).await;
    let mut stage = stage.unwrap();
    let generator = Generator::new(stage.target(), stage.pools(), (2, 2)).unwrap();
    let scenario = pair(&generator, 1, ["like-note", "like-note"]).unwrap();
    warm_up(&mut stage, &scenario).await.unwrap();
    let mut scheduler = Exhaustive::new();
    let (mut lost, mut rounds) = (0, 0);
    while scheduler.next_round() {
        let round = stage.round_by(&scenario, Some(&mut scheduler)).await;
        let round = round.unwrap();
        let answers = round.history.calls.iter().map(|call| {
            let body = &call.answer().unwrap().body;
            let body: Value = serde_json::from_str(body).unwrap();
            body["likes"].as_i64().unwrap()
        });
        rounds += 1;
        lost += usize::from(answers.collect::<BTreeSet<i64>>().len() < 2);
    }
    assert!(rounds > 1, "both like one note");
    stage.close().await.unwrap();
    lost
}

#[tokio::test]
async fn a_like_is_lost_where_the_mistake_is_switched_on() {
    assert_eq!(lost("").await, 0);
    assert!(lost("lost_update").await > 0);
}
