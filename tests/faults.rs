//! A developer who wants to know what is left when something breaks: connections cut,
//! statements refused, providers that fail, clients that leave, processes killed.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;
#[path = "services/relay.rs"]
mod relay;

use std::collections::BTreeSet;

use common::{Ended, Place, shop};
use serde_json::Value;

/// A run with faults alone, and its report.
fn faults(place: &Place, target: &str, more: &[&str]) -> (Ended, Value) {
    let json = place.path().join("run.json").display().to_string();
    let run = ["run", target, "--faults", "--seed", "1", "--json", &json];
    let ended = place.run(&[&run[..], more].concat());
    let report = std::fs::read(&json).unwrap_or_default();
    let report = serde_json::from_slice(&report);
    (ended, report.unwrap_or_default())
}

/// Each fault that was tried alone: its kind, and what it came to.
fn tried(report: &Value) -> Vec<(String, String)> {
    let steps = report["faults"]["steps"].as_array().unwrap().iter();
    let tried = steps.flat_map(|step| step["tried"].as_array().unwrap());
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    tried
        .map(|one| (text(&one["kind"]), text(&one["came_to"])))
        .collect()
}

#[test]
fn the_right_shop_survives_every_fault_at_every_step() {
    let (place, target) = shop();
    let more = ["--env", "SHOP_BUGS=", "--rounds", "720"];
    let (run, report) = faults(&place, &target, &more);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let tried = tried(&report);
    assert!(tried.len() > 400, "{}", tried.len());
    assert_eq!(report["faults"]["tried"], tried.len());
    let other: Vec<_> = tried.iter().filter(|(_, to)| to != "fine").collect();
    assert!(other.is_empty(), "{other:?}");
    let kinds: BTreeSet<&str> = tried.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in [
        "cut-before",
        "cut-after",
        r#"{"refused":"serialization-failure"}"#,
        r#"{"refused":"disk-full"}"#,
        "server-error",
        r#"{"slow":{"ms":300}}"#,
        "never-answers",
        "hangs-up",
        "hang-up-half-way",
        "hang-up",
        "killed",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    assert!(report["faults"]["in_races"].as_u64().unwrap() > 0);
    for shown in [
        "operation",
        "provider: POST /charges",
        "faults one at a time",
    ] {
        assert!(run.out.contains(shown), "no {shown:?} in {run:#?}");
    }
    // Without a gate nothing can be struck.
    let free = ["--engine", "sqlite", "--env", "SHOP_BUGS="];
    let (free, _) = faults(&place, &target, &free);
    free.fails(2, &["--faults strikes at the gate", "postgres"]);
}

#[test]
fn a_finding_names_its_fault_and_is_replayed_with_it() {
    let (place, target) = shop();
    let (run, report) = faults(&place, &target, &["--env", "SHOP_BUGS=outbox_after_commit"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let finding = &report["findings"][0];
    assert_eq!(finding["name"], "orders-are-announced");
    let race = finding["scenario"]["race"].as_array().unwrap();
    assert_eq!(race.len(), 1, "no other call is needed");
    let fault = &finding["scenario"]["faults"][0];
    assert_eq!(fault["kind"], "cut-after", "{finding:#}");
    assert_eq!(finding["history"]["calls"][0]["struck"], true);
    for shown in [
        "cut off after `COMMIT` ran, before its answer",
        "   !  COMMIT",
    ] {
        assert!(run.out.contains(shown), "no {shown:?} in {run:#?}");
    }
    let file = finding["file"].as_str().unwrap();
    let replay = place.run(&["replay", file, "--times", "50"]);
    assert!(replay.out.contains("failed 50 of 50 times"), "{replay:#?}");
    let killed = killed_after_the_commit(finding);
    place.file("killed.json", &killed.to_string());
    let replay = place.run(&["replay", "killed.json", "--times", "20"]);
    assert!(replay.out.contains("failed 20 of 20 times"), "{replay:#?}");
    place
        .run(&["replay", file, "--free"])
        .fails(2, &["the fault of", "strikes at the gate"]);
    // The right shop writes in another order, and does it in one transaction.
    let repaired = ["replay", file, "--times", "9", "--env", "SHOP_BUGS="];
    let repaired = place.run(&repaired);
    assert_ne!(repaired.code, Some(1), "{repaired:#?}");
    assert!(repaired.out.contains("diverged"), "{repaired:#?}");
    let again = ["--env", "SHOP_BUGS=outbox_after_commit"];
    let (again, _) = faults(&place, &target, &again);
    assert!(again.err.contains("fails still"), "{again:#?}");
}

/// The same finding, but that the process is killed before the statement that follows
/// the commit.
fn killed_after_the_commit(finding: &Value) -> Value {
    let mut killed = finding.clone();
    let action = "INSERT INTO outbox (topic, subject_id) VALUES ($1, $2)";
    let choices = killed["schedule"].as_array_mut().unwrap();
    let step = choices.len();
    choices.push(serde_json::json!({"call": 0, "action": action}));
    killed["scenario"]["faults"] =
        serde_json::json!([{"call": 0, "step": step, "action": action, "kind": "killed"}]);
    killed
}

/// No test, but the service of the one below, which starts this as a process.
#[test]
#[ignore = "a service that a test starts"]
fn relay_service() {
    let Ok(port) = std::env::var("RELAY_PORT") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    if variable("FRAIL") == "yes" {
        std::panic::set_hook(Box::new(|_| std::process::exit(7)));
    }
    let settings = relay::Settings {
        port: port.parse().unwrap(),
        database: variable("DATABASE_URL"),
        provider: variable("PROVIDER_URL"),
        careful: true,
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
FRAIL = "no"
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
fn a_service_may_be_killed_but_may_not_die_of_a_fault() {
    let place = Place::new();
    place.file(
        "schema.sql",
        "CREATE TABLE things (id int PRIMARY KEY, stock int NOT NULL); \
         INSERT INTO things VALUES (1, 1); \
         CREATE TABLE outbox (id serial PRIMARY KEY, sent bool NOT NULL);",
    );
    let service = std::env::current_exe().unwrap();
    place.target(&format!(
        "[service]\nanswer_within = '2s'\nstart = 'exec {} --exact relay_service --ignored --nocapture'\n{RELAY}",
        service.display()
    ));
    // One process with a job of its own: killed and started again, it goes on. It is not
    // atomic, which nobody asks here.
    let (run, report) = faults(&place, ".", &["--rounds", "80", "--no-outcome"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let tried = tried(&report);
    let killed = tried.iter().filter(|(kind, _)| kind == "killed");
    assert!(killed.count() > 2, "{tried:?}");
    let other: Vec<_> = tried.iter().filter(|(_, to)| to != "fine").collect();
    assert!(other.is_empty(), "{other:?}");

    let (frail, report) = faults(&place, ".", &["--env", "FRAIL=yes", "--no-outcome"]);
    assert_eq!(frail.code, Some(1), "{frail:#?}");
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["oracle"], &finding["name"]),
        (&"died".into(), &"sell".into())
    );
    assert!(frail.out.contains("outlives a fault"), "{frail:#?}");
}
