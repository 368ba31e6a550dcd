//! A developer who has written no rule: some one-at-a-time order of a race's calls has
//! to explain what it leaves.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use common::{Place, shop};
use serde_json::Value;

/// The shop's target file without any rule of the business's.
fn without_rules(place: &Place, target: &str) {
    let path = std::path::Path::new(target).join("deadheat.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut keeps = true;
    let kept = text.lines().filter(|line| {
        if line.starts_with('[') {
            keeps = !line.starts_with("[invariants.");
        }
        keeps && !line.starts_with("once = ")
    });
    let kept: Vec<&str> = kept.collect();
    place.file("shop/deadheat.toml", &kept.join("\n"));
}

fn found(mistake: &str, mode: &[&str]) -> (Place, Value, String) {
    let (place, target) = shop();
    without_rules(&place, &target);
    let json = place.path().join("run.json").display().to_string();
    let mistake = format!("SHOP_BUGS={mistake}");
    let run = [
        "run", &target, "--seed", "1", "--json", &json, "--env", &mistake,
    ];
    let run = place.run(&[&run[..], mode].concat());
    assert_eq!(run.code, Some(1), "{run:#?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    (place, report, run.out)
}

#[test]
fn a_lost_update_at_the_gate_is_found_without_a_rule_and_replays() {
    let (place, report, out) = found("lost_stock", &["--engine", "postgres"]);
    let finding = &report["findings"][0];
    assert_eq!(finding["oracle"], "outcome", "{finding}");
    for shown in [
        "Some one-at-a-time order",
        "one at a time",
        "stock",
        "allowed by `paying-shows`",
    ] {
        assert!(out.contains(shown), "no {shown:?} in {out}");
    }
    assert!(
        report["outcomes"]["one_by_one"].as_u64().unwrap() > 0,
        "{report}"
    );
    let file = finding["file"].as_str().unwrap();
    let replay = place.run(&["replay", file]);
    assert!(
        replay.out.contains("failed 100 of 100 times"),
        "{replay:#?}"
    );
    let unasked = place.run(&["replay", file, "--no-outcome"]);
    assert_eq!(unasked.code, Some(0), "nobody else sees it: {unasked:#?}");
}

#[test]
fn a_lost_transfer_is_found_without_a_rule_on_sqlite() {
    let (_place, report, _) = found("lost_transfer", &["--engine", "sqlite"]);
    let finding = &report["findings"][0];
    assert_eq!(finding["oracle"], "outcome");
    let race = finding["scenario"]["race"].as_array().unwrap();
    assert!(
        race.iter().any(|call| call["operation"] == "transfer"),
        "{finding}"
    );
    let rows = finding["violations"][0]["rows"].as_array().unwrap();
    let is_balance = |row: &Value| row["what"] == "balance_cents";
    assert!(rows.iter().any(is_balance), "{finding}");
}
