//! A developer whose service may be wrong without any race: who may call what, requests
//! with something wrong in them, pages, statements.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use std::collections::BTreeSet;

use common::{Ended, Place, shop};
use serde_json::Value;

/// Nothing but the checks, on the shop with these mistakes; and what it found.
fn checked(bugs: &str, more: &[&str]) -> (Place, Ended, Value) {
    let (place, target) = shop();
    let json = place.path().join("run.json").display().to_string();
    let bugs = format!("SHOP_BUGS={bugs}");
    let run = [
        "run", &target, "--checks", "--seed", "1", "--env", &bugs, "--json", &json,
    ];
    let run = place.run(&[&run[..], more].concat());
    let report = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    (place, run, report)
}

fn rules(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rule = |finding: &Value| format!("{} {}", text(&finding["oracle"]), text(&finding["name"]));
    findings.map(rule).collect()
}

#[test]
fn the_right_shop_passes_on_both_engines_and_nothing_is_left_out() {
    for engine in ["postgres", "sqlite"] {
        let (_place, run, report) = checked("", &["--engine", engine]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert_eq!(report["checks_left_out"], 0, "{report}");
    }
}

#[test]
fn each_mistake_is_told_by_the_rule_that_it_breaks() {
    let bugs = "denied_but_written,revoke_outlived,n_plus_one,page_by_offset,bare_error";
    let (place, run, report) = checked(bugs, &["--engine", "postgres", "--keep-going"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let rules = rules(&report);
    for rule in [
        "authorization note changes",
        "invariant who-left-holds-no-seat",
        "budget history grows",
        "pages history twice",
        "contract note 422 json",
    ] {
        assert!(rules.contains(rule), "no {rule}: {rules:?}");
    }
    let findings = report["findings"].as_array().unwrap();
    let pages = findings
        .iter()
        .find(|one| one["oracle"] == "pages")
        .unwrap();
    let file = pages["file"].as_str().unwrap();
    let replay = place.run(&["replay", file, "--times", "5"]);
    assert!(replay.out.contains("failed 5 of 5 times"), "{replay:#?}");
    assert!(replay.out.contains("page by page"), "{replay:#?}");
}

#[test]
fn anothers_order_is_found_without_a_gate() {
    let (_place, run, report) = checked("order_by_id", &["--engine", "sqlite"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let found = "authorization read-order denied";
    assert!(rules(&report).contains(found), "{run:#?}");
}

/// Who may read a note changes while it is written, read and removed: no `grants` says so.
const NOTES: &str = r#"
[service]
start = "exec python3 notes.py"
ready = "/"
env.DATABASE = "{{ database.path }}"

[database]
engines = ["sqlite"]
prepare = ["schema.sql"]

[actors.ann]
headers = { X-User = "ann" }

[actors.ben]
headers = { X-User = "ben" }

[operations.list]
request = "GET /notes"
row = "$[*].name"
allow = [{ rows = "SELECT name FROM notes WHERE owner = '{{ actor.name }}'" }]

[operations.read]
request = "GET /notes/{{ name }}"
values.name = { choice = ["a", "b", "c"] }
row = "name"
allow = [{ rows = "SELECT name, text FROM notes WHERE owner = '{{ actor.name }}'" }]
denied = [404]

[operations.write]
request = "PUT /notes/{{ name }}"
body = { text = "{{ text }}" }
values.name = { choice = ["a", "b", "c"] }
values.text = { choice = ["milk", "bread"] }

[operations.remove]
request = "DELETE /notes/{{ name }}"
values.name = { choice = ["a", "b", "c"] }
row = "name"
allow = [{ rows = "SELECT name FROM notes WHERE owner = '{{ actor.name }}'" }]
denied = [404]
"#;

#[test]
fn rows_that_come_and_go_in_a_race_raise_no_alarm() {
    let place = Place::new();
    place.file("notes.py", include_str!("services/notes.py"));
    place.file(
        "schema.sql",
        "CREATE TABLE notes (name TEXT PRIMARY KEY, owner TEXT NOT NULL, text TEXT NOT NULL); \
         INSERT INTO notes VALUES ('a', 'ann', 'eggs'), ('b', 'ben', 'salt');",
    );
    place.target(NOTES);
    let run = ["run", ".", "--seed", "1", "--rounds", "250"];
    let right = place.run(&[&run[..], &["--keep-going", "--corpus", "right"]].concat());
    assert_eq!(right.code, Some(0), "{right:#?}");
    let wrong = place.run(&[&run[..], &["--env", "BUG=anybody", "--corpus", "wrong"]].concat());
    assert_eq!(wrong.code, Some(1), "{wrong:#?}");
    assert!(wrong.out.contains("`read denied`"), "{wrong:#?}");
}
