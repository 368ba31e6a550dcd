//! A developer races the bundled shop: it is found wrong where it is, the finding
//! is kept, replayed and met again, and the right shop is left in peace.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use common::shop;
use serde_json::Value;

/// `mode` are the arguments of every command; `repaired` is what a replay says once the
/// mistake is gone.
fn found_kept_replayed_and_met_again(engine: &str, mode: &[&str], repaired: &str) {
    let (place, target) = shop();
    let run = |arguments: &[&str]| place.run(&[arguments, mode].concat());
    let json = place.path().join("out/run.json");
    let json_path = json.display().to_string();
    let first = run(&[
        "run", &target, "--engine", engine, "--seed", "1", "--rounds", "300", "--json", &json_path,
    ]);
    assert_eq!(first.code, Some(1), "{first:#?}");
    assert!(
        first
            .err
            .starts_with(&format!("* engine {engine}: asked for")),
        "{first:#?}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["engine"], engine);
    assert_eq!(report["seed"], "1");
    assert!(report["rounds"].as_u64().unwrap() >= 1);
    assert!(report["elapsed_s"].as_f64().unwrap() > 0.0);
    assert!(!report["latency"].as_object().unwrap().is_empty());
    let finding = &report["findings"][0];
    assert_eq!(
        finding["scenario"]["race"].as_array().unwrap().len(),
        2,
        "shrunk: {finding}"
    );
    let hits = finding["rate"]["hits"].as_u64().unwrap();
    assert!(hits > 0 && finding["rate"]["tries"].as_u64().unwrap() >= hits);
    let says = finding["says"].as_str().unwrap();
    for shown in [says, "\"$BASE\"/api/", "deadheat replay corpus/shop/"] {
        assert!(first.out.contains(shown), "no {shown:?} in {first:#?}");
    }
    let file = finding["file"].as_str().unwrap();

    let replay = run(&["replay", file, "--times", "60"]);
    assert_eq!(replay.code, Some(1), "{replay:#?}");
    assert!(
        replay.out.contains(says) && replay.out.contains("of 60 times"),
        "{replay:#?}"
    );

    let again = run(&["run", &target, "--engine", engine, "--rounds", "300"]);
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(
        again.out.contains("STILL THERE") && again.out.contains("0 rounds"),
        "{again:#?}"
    );

    let right = run(&["replay", file, "--times", "60", "--env", "SHOP_BUGS="]);
    assert_eq!(right.code, Some(0), "{right:#?}");
    assert!(right.out.contains(repaired), "{right:#?}");
}

#[test]
fn sqlite_needs_nothing_installed() {
    found_kept_replayed_and_met_again("sqlite", &[], "failed 0 of 60 times");
}

#[test]
fn postgres_is_started_for_the_run_and_may_be_raced_freely() {
    found_kept_replayed_and_met_again("postgres", &["--free"], "failed 0 of 60 times");
}

#[test]
fn the_right_shop_is_left_in_peace() {
    let (place, target) = shop();
    for engine in ["sqlite", "postgres"] {
        let run = place.run(&[
            "run",
            &target,
            "--engine",
            engine,
            "--seed",
            "2",
            "--rounds",
            "150",
            "--env",
            "SHOP_BUGS=",
        ]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert!(run.out.contains("0 findings in"), "{run:#?}");
    }
}

#[test]
fn a_seed_replays_what_it_made() {
    let (place, target) = shop();
    let of = |times: &str| {
        place.run(&[
            "replay", "1", "--target", &target, "--engine", "sqlite", "--times", times,
        ])
    };
    let replay = of("30");
    assert_eq!(replay.code, Some(1), "{replay:#?}");
    assert!(replay.out.contains("of 30 times"), "{replay:#?}");
}
