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
        "--gated",
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
    let replay = place.run(&["replay", file, "--times", "20"]);
    assert_eq!(replay.code, Some(1), "{replay:#?}");
    let repaired = place.run(&["replay", file, "--times", "5", "--env", "SHOP_BUGS="]);
    assert_ne!(repaired.code, Some(1), "the right shop: {repaired:#?}");
}
