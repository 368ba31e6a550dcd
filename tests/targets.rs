//! Teams whose services are in Python or in JavaScript: through the gate their
//! mistakes are found by name and replay, and the right services are left in peace.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::Place;
use serde_json::Value;

/// Each mistake, with what catches it.
const BUGS: [(&str, &str); 2] = [("oversell", "sold-within-stock"), ("double_charge", "pay")];

fn mistakes_are_found_and_the_right_twin_is_left_in_peace(name: &str) {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("targets").join(name).display().to_string();
    let run = |bugs: &str, more: &[&str]| {
        let env = format!("SHOP_BUGS={bugs}");
        let arguments = ["run", &target, "--env", &env];
        place.run(&[&arguments[..], more].concat())
    };
    let right = run("", &["--seed", "5", "--rounds", "60"]);
    assert_eq!(right.code, Some(0), "{right:#?}");
    assert!(right.out.contains("0 findings in"), "{right:#?}");
    for (bug, catches) in BUGS {
        let json = place.path().join(format!("{bug}.json"));
        let report = json.display().to_string();
        let found = run(bug, &["--seed", "3", "--rounds", "200", "--json", &report]);
        assert_eq!(found.code, Some(1), "{found:#?}");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let finding = &report["findings"][0];
        assert_eq!(finding["name"], catches, "{found:#?}");
        // The steps of each call stand in a column of its own.
        let (_, columns) = found.out.split_once("who moved when").unwrap();
        let begins = columns.lines().filter_map(|line| line.find("begins"));
        assert!(begins.collect::<BTreeSet<usize>>().len() > 1, "{found:#?}");
        assert!(columns.contains("  INSERT "), "{found:#?}");
        let file = finding["file"].as_str().unwrap();
        let replay = place.run(&["replay", file, "--times", "10"]);
        assert_eq!(replay.code, Some(1), "{replay:#?}");
    }
    let unknown = run("oversel", &[]);
    unknown.fails(3, &["oversell, double_charge"]);
}

#[test]
fn a_service_in_python() {
    mistakes_are_found_and_the_right_twin_is_left_in_peace("shop-python");
}

#[test]
fn a_service_in_javascript() {
    mistakes_are_found_and_the_right_twin_is_left_in_peace("shop-node");
}
