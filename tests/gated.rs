//! A developer who wants to know who moved when: a race through the gate.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use common::shop;
use serde_json::Value;

#[test]
fn a_gated_finding_holds_its_schedule() {
    let (place, target) = shop();
    let json = place.path().join("run.json").display().to_string();
    let run = place.run(&[
        "run",
        &target,
        "--engine",
        "postgres",
        "--seed",
        "1",
        "--env",
        "SHOP_BUGS=lost_stock",
        "--json",
        &json,
    ]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.out.contains("who moved when"), "{run:#?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let finding = &report["findings"][0];
    assert!(!finding["schedule"].as_array().unwrap().is_empty());
    let file = finding["file"].as_str().unwrap();
    for _ in 0..2 {
        let replay = place.run(&["replay", file]);
        assert_eq!(replay.code, Some(1), "{replay:#?}");
        assert!(
            replay.out.contains("failed 100 of 100 times"),
            "{replay:#?}"
        );
    }
    let again = place.run(&["run", &target, "--env", "SHOP_BUGS=lost_stock"]);
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(again.err.contains("fails still"), "{again:#?}");

    // The right shop takes locks, and moves otherwise.
    let right = ["--env", "SHOP_BUGS="];
    let repaired = place.run(&[&["replay", file, "--times", "30"], &right[..]].concat());
    assert_eq!(repaired.code, Some(0), "{repaired:#?}");
    for shown in ["diverged at choice", "cannot be followed", "none of"] {
        assert!(
            repaired.out.contains(shown),
            "no {shown:?} in {repaired:#?}"
        );
    }
    let run = [&["run", &target, "--rounds", "20"], &right[..]].concat();
    let clean = place.run(&run);
    assert_eq!(clean.code, Some(0), "{clean:#?}");
    assert!(clean.err.contains("moves otherwise"), "{clean:#?}");
}
