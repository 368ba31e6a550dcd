//! A developer who wants to know who moved when: a race through the gate.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;
#[path = "services/relay.rs"]
mod relay;

use std::path::Path;

use common::{Ended, Place, shop};
use serde_json::Value;

/// What a run wrote with `--json`.
fn report(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Asserts that a finding comes again every time.
fn replays(place: &Place, file: &str) -> Ended {
    let replay = place.run(&["replay", file, "--times", "100"]);
    assert_eq!(replay.code, Some(1), "{replay:#?}");
    assert!(replay.out.contains("100/100"), "{replay:#?}");
    replay
}

/// A run that finds the shop's mistake, and its report's file.
fn found(place: &Place, target: &str, mistake: &str) -> (Ended, String) {
    let json = place.path().join("run.json").display().to_string();
    let run = ["run", target, "--engine", "postgres", "--seed", "1"];
    let run = place.run(&[&run[..], &["--env", mistake, "--json", &json]].concat());
    assert_eq!(run.code, Some(1), "{run:#?}");
    (run, json)
}

#[test]
fn a_gated_finding_holds_its_schedule() {
    let (place, target) = shop();
    let (run, json) = found(&place, &target, "SHOP_BUGS=lost_stock");
    assert!(run.out.contains("who moved when"), "{run:#?}");
    let finding = &report(&json)["findings"][0];
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
    let every = ["replay", file, "--exhaustive"];
    let broken = place.run(&every);
    assert_eq!(broken.code, Some(1), "{broken:#?}");
    assert!(broken.out.contains("after reduction"), "{broken:#?}");
    let cleared = place.run(&[&every[..], &right[..]].concat());
    assert_eq!(cleared.code, Some(0), "{cleared:#?}");
    assert!(cleared.out.contains("\nall "), "{cleared:#?}");
    assert!(cleared.out.contains("0 violations"), "{cleared:#?}");
    place
        .run(&[&every[..], &["--free"]].concat())
        .fails(2, &["gate", "PostgreSQL"]);

    let run = [&["run", &target, "--rounds", "20"], &right[..]].concat();
    let clean = place.run(&run);
    assert_eq!(clean.code, Some(0), "{clean:#?}");
    assert!(clean.err.contains("moves otherwise"), "{clean:#?}");
}

#[test]
fn a_call_to_a_third_party_is_a_step_that_is_shown_and_replayed() {
    let (place, target) = shop();
    let (run, json) = found(&place, &target, "SHOP_BUGS=double_charge");
    assert!(run.out.contains("provider: POST /charges"), "{run:#?}");
    let finding = &report(&json)["findings"][0];
    let choices = finding["schedule"].as_array().unwrap();
    let charges = choices
        .iter()
        .filter(|choice| choice["action"] == "provider: POST /charges");
    assert_eq!(charges.count(), 2, "{finding:#}");
    replays(&place, finding["file"].as_str().unwrap());
}

/// No test, but the service of the one below, which starts this as a process.
#[test]
#[ignore = "a service that a test starts"]
fn relay_service() {
    let Ok(port) = std::env::var("RELAY_PORT") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    let settings = relay::Settings {
        port: port.parse().unwrap(),
        database: variable("DATABASE_URL"),
        provider: variable("PROVIDER_URL"),
        careful: variable("CAREFUL") == "yes",
    };
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(relay::serve(settings));
}

const RELAY: &str = r#"
ready = "/health"
[service.env]
RELAY_PORT = "{{ port }}"
PROVIDER_URL = "{{ stubs.provider.url }}"
CAREFUL = "no"
[database]
engines = ["postgres"]
prepare = ["schema.sql"]
[[stubs.provider.answers]]
request = "POST /charges"
[operations.sell]
request = "POST /sales"
answers = [201, 409]
[invariants.stock]
says = "Nothing is sold that is not there."
sql = "SELECT id, stock FROM things WHERE stock < 0"
"#;

#[test]
fn a_traced_service_with_a_job_of_its_own_repeats_itself() {
    let place = Place::new();
    place.file(
        "schema.sql",
        "CREATE TABLE things (id int PRIMARY KEY, stock int NOT NULL); \
         INSERT INTO things VALUES (1, 1); \
         CREATE TABLE outbox (id serial PRIMARY KEY, sent bool NOT NULL);",
    );
    let service = std::env::current_exe().unwrap();
    place.target(&format!(
        "[service]\nstart = 'exec {} --exact relay_service --ignored --nocapture'\n{RELAY}",
        Path::new(&service).display()
    ));
    let json = place.path().join("run.json").display().to_string();
    let run = ["run", ".", "--seed", "1", "--json", &json];
    let found = place.run(&run);
    assert_eq!(found.code, Some(1), "{found:#?}");
    let ended = report(&json);
    let finding = &ended["findings"][0];
    let schedule = finding["schedule"].to_string();
    assert!(schedule.contains("provider: POST /charges"), "{schedule}");
    for other in ["traceparent", "NOT sent", "SET sent"] {
        assert!(!schedule.contains(other), "{schedule}");
    }
    replays(&place, finding["file"].as_str().unwrap());
    // It is careful with its stock, and with nothing else: it charges before it has sold.
    let careful = ["--rounds", "60", "--no-outcome", "--env", "CAREFUL=yes"];
    let careful = [&run[..], &careful[..]].concat();
    let careful = place.run(&careful);
    assert_eq!(careful.code, Some(0), "{careful:#?}");
    let ended = report(&json);
    assert_eq!(ended["inconclusive"], 0, "{careful:#?}");
}
