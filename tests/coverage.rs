//! A team that wants to know what its target file leaves out, and holds a run to it.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use common::{Place, shop};
use serde_json::Value;

/// A target that names nothing but operations.
fn bare(after_restore: &str) -> Place {
    let place = Place::new();
    place.file("memory.py", include_str!("services/memory.py"));
    place.target(&format!(
        "[service]\nstart = 'exec python3 memory.py'\nready = '/'\n\
         env.DATABASE = '{{{{ database.path }}}}'\n{after_restore}\n\
         [database]\nengines = ['sqlite']\n\
         [operations.buy]\nrequest = 'POST /buy'\n\
         [operations.look]\nrequest = 'GET /'\n"
    ));
    place
}

const RELOADS: &str = "after_restore = 'POST /reload'";

fn report(place: &Place) -> Value {
    serde_json::from_slice(&std::fs::read(place.path().join("run.json")).unwrap()).unwrap()
}

fn cell<'a>(report: &'a Value, operation: &str, concern: &str) -> &'a Value {
    let mut cells = report["coverage"].as_array().unwrap().iter();
    let is = |cell: &&Value| cell["operation"] == operation && cell["concern"] == concern;
    cells.find(is).unwrap()
}

#[test]
fn a_bare_target_is_told_what_is_not_covered_and_which_line_to_add() {
    let place = bare(RELOADS);
    let run = ["run", ".", "--rounds", "40", "--json", "run.json"];
    let ran = place.run(&[&run[..], &["--require", "concurrency,duplicate"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for shown in [
        "operation  success  invalid",
        "authorization is not covered for every operation: the file names no actors",
        "rollback is not covered for every operation: no gate stands before SQLite",
        "contract is not covered for every operation: no contract in the file; \
         add `openapi = \"openapi.yaml\"` to [contract]",
    ] {
        assert!(ran.out.contains(shown), "no {shown:?} in {ran:#?}");
    }
    let told = report(&place);
    assert_eq!(told["coverage"].as_array().unwrap().len(), 2 * 9);
    let raced = cell(&told, "buy", "concurrency");
    assert_eq!(raced["state"], "covered");
    assert!(raced["rounds"].as_u64().unwrap() > 0, "{raced}");
    assert_eq!(cell(&told, "buy", "persistence")["state"], "covered");
    assert_eq!(told["required"].as_array().unwrap().len(), 2);
    assert_eq!(told["missing"].as_array().unwrap().len(), 0);

    let ran = place.run(&[&run[..], &["--require", "all"]].concat());
    let says = ["--require", "rollback", "buy, look", "openapi.yaml"];
    ran.fails(4, &says);
    let told = report(&place);
    let missing = told["missing"].as_array().unwrap();
    assert!(missing.iter().all(|cell| cell["why"].is_string()), "{told}");
    assert!(!missing.is_empty());

    let ran = place.run(&run);
    assert_eq!(ran.code, Some(0), "nothing is asked: {ran:#?}");
    assert!(report(&place).get("missing").is_none());
    let wrong = [&run[..], &["--require", "concurency"]].concat();
    place.run(&wrong).fails(2, &["concurency", "'concurrency'"]);
}

#[test]
fn a_finding_says_more_than_a_gap() {
    // Without being told of restores, memory and database differ.
    let place = bare("");
    let run = ["run", ".", "--rounds", "40", "--json", "run.json"];
    let ran = place.run(&[&run[..], &["--require", "rollback"]].concat());
    ran.fails(1, &["rollback is not covered"]);
    assert!(ran.out.contains("FOUND 1"), "{ran:#?}");
    let told = report(&place);
    let cells = told["coverage"].as_array().unwrap();
    let found = cells.iter().filter(|cell| cell["state"] == "found");
    assert!(found.count() >= 1, "{told}");
}

#[test]
fn at_the_gate_faults_strike_and_who_only_reads_is_known() {
    let (place, target) = shop();
    let run = [
        "run",
        &target,
        "--engine",
        "postgres",
        "--env",
        "SHOP_BUGS=",
        "--seed",
        "1",
        "--rounds",
        "200",
        "--no-outcome",
        "--json",
        "run.json",
    ];
    let ran = place.run(&run);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let told = report(&place);
    let reads = cell(&told, "list-orders", "persistence");
    assert_eq!(reads["state"], "not-applicable", "{reads}");
    let writes = cell(&told, "order", "persistence");
    assert_eq!(writes["state"], "covered", "{writes}");
    let cells = told["coverage"].as_array().unwrap();
    let struck = |cell: &&Value| cell["concern"] == "rollback" && cell["state"] == "covered";
    assert!(cells.iter().any(|cell| struck(&cell)), "{}", ran.out);
}
