//! A developer who deploys: a migration runs while calls are under way, and two versions
//! of the service share one database.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;
#[path = "services/tasks.rs"]
mod tasks;

use common::{Ended, Place};
use serde_json::Value;

/// No test, but the service of those below, which start this as a process.
#[test]
#[ignore = "a service that a test starts"]
fn tasks_service() {
    let Ok(port) = std::env::var("TASKS_PORT") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    let settings = tasks::Settings {
        port: port.parse().unwrap(),
        database: variable("DATABASE_URL"),
        is_next: variable("TASKS_VERSION") == "2",
        bug: variable("TASKS_BUG"),
    };
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(tasks::serve(settings));
}

const TARGET: &str = r#"
ready = "/health"
[service.env]
TASKS_PORT = "{{ port }}"
TASKS_VERSION = "1"
TASKS_BUG = "none"
NEXT
[database]
engines = ["postgres", "sqlite"]
prepare = ["schema.sql"]
[operations.list]
request = "GET /tasks"
[operations.add]
request = "POST /tasks"
[operations.finish]
request = "POST /tasks/{{ task }}/finish"
answers = [200, 409]
[shared]
task = { rows = "SELECT id FROM tasks WHERE status = 'open'" }
[invariants.work]
says = "A task is finished once."
sql = "SELECT task FROM work GROUP BY task HAVING count(*) > 1"
[migrations.NAME]
steps = ["steps.sql"]
undo = ["undo.sql"]
"#;

const SCHEMA: &str = "
    CREATE TABLE tasks (id serial PRIMARY KEY, status text NOT NULL DEFAULT 'open');
    INSERT INTO tasks (status) VALUES ('open'), ('open'), ('done');
    CREATE TABLE work (id serial PRIMARY KEY, task int NOT NULL);";

const NEXT: &str = "[service.next]\nenv = { TASKS_VERSION = '2' }";

/// A tenth of these have a migration.
const ROUNDS: &str = "300";

fn place(next: &str, migration: &str, steps: &str, undo: &str) -> Place {
    let place = Place::new();
    place.file("schema.sql", SCHEMA);
    place.file("steps.sql", steps);
    place.file("undo.sql", undo);
    let service = std::env::current_exe().unwrap();
    let target = TARGET.replace("NEXT", next).replace("NAME", migration);
    place.target(&format!(
        "[service]\nreplicas = 2\nanswer_within = '3s'\n\
         start = 'exec {} --exact tasks_service --ignored --nocapture'\n{target}",
        service.display()
    ));
    place
}

fn run(place: &Place, rounds: &str, more: &[&str]) -> (Ended, Value) {
    let json = place.path().join("run.json").display().to_string();
    let run = ["run", ".", "--seed", "1", "--json", &json, "--no-outcome"];
    let ended = place.run(&[&run[..], &["--rounds", rounds], more].concat());
    let report = std::fs::read(&json).unwrap_or_default();
    (ended, serde_json::from_slice(&report).unwrap_or_default())
}

/// Who is added between the two has no owner.
const FILLED_TOO_EARLY: &str = "
    ALTER TABLE tasks ADD COLUMN owner text;
    UPDATE tasks SET owner = 'nobody' WHERE owner IS NULL;
    ALTER TABLE tasks ALTER COLUMN owner SET DEFAULT 'nobody';
    ALTER TABLE tasks ALTER COLUMN owner SET NOT NULL;";

const FILLED_IN_TIME: &str = "
    ALTER TABLE tasks ADD COLUMN owner text;
    ALTER TABLE tasks ALTER COLUMN owner SET DEFAULT 'nobody';
    UPDATE tasks SET owner = 'nobody' WHERE owner IS NULL;
    ALTER TABLE tasks ALTER COLUMN owner SET NOT NULL;";

const DROP_OWNER: &str = "ALTER TABLE tasks DROP COLUMN IF EXISTS owner";

#[test]
fn what_only_shows_half_way_is_found_and_the_right_migration_is_silent() {
    let wrong = place("", "owner", FILLED_TOO_EARLY, DROP_OWNER);
    let (found, report) = run(&wrong, ROUNDS, &[]);
    assert_eq!(found.code, Some(1), "{found:#?}");
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["oracle"], &finding["name"]),
        (&"migration".into(), &"owner".into()),
        "{found:#?}"
    );
    assert_eq!(finding["scenario"]["migration"], "owner");
    assert_eq!(finding["scenario"]["race"].as_array().unwrap().len(), 1);
    for shown in [
        "The migration `owner` runs while calls are under way.",
        "one call and the migration `owner`",
        "2 migration owner",
        "contains null values",
    ] {
        assert!(found.out.contains(shown), "no {shown:?} in {found:#?}");
    }
    let file = finding["file"].as_str().unwrap();
    let replay = wrong.run(&["replay", file, "--times", "20"]);
    assert!(replay.out.contains("failed 20 of 20 times"), "{replay:#?}");
    wrong
        .run(&["replay", file, "--free"])
        .fails(2, &["its migration runs at the gate"]);

    let right = place("", "owner", FILLED_IN_TIME, DROP_OWNER);
    let (silent, report) = run(&right, ROUNDS, &[]);
    assert_eq!(silent.code, Some(0), "{silent:#?}");
    assert!(report["mixed_rounds"].as_u64().unwrap() > 20, "{silent:#?}");
    assert_eq!(report["inconclusive"], 0, "{silent:#?}");
    // What a connection has prepared is of the old shape.
    let (star, report) = run(&right, ROUNDS, &["--env", "TASKS_BUG=star"]);
    assert_eq!(star.code, Some(1), "{star:#?}");
    assert_eq!(report["findings"][0]["name"], "list 500", "{star:#?}");
    // On SQLite there is no gate to run it at.
    let (free, _) = run(&right, "9", &["--free"]);
    assert!(free.err.contains("migrations run at the gate"), "{free:#?}");
}

const DONE: &str = "
    BEGIN;
    ALTER TABLE tasks ADD COLUMN done boolean NOT NULL DEFAULT false;
    COMMIT;
    UPDATE tasks SET done = true WHERE status = 'done';";

const DROP_DONE: &str = "ALTER TABLE tasks DROP COLUMN IF EXISTS done";

#[test]
fn what_only_two_versions_show_after_the_migration_is_found_and_its_twin_is_silent() {
    let place = place(NEXT, "done", DONE, DROP_DONE);
    let (found, report) = run(&place, ROUNDS, &["--env", "TASKS_BUG=own-column"]);
    assert_eq!(found.code, Some(1), "{found:#?}");
    let finding = &report["findings"][0];
    assert_eq!(finding["name"], "work", "{found:#?}");
    assert_eq!(finding["scenario"]["migration"], "done");
    let versions: Vec<bool> = finding["history"]["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["next"] == true)
        .collect();
    assert_eq!(versions, [false, true], "{finding:#}");
    for shown in [
        "on the first version",
        "on the next version",
        "3 migration done",
    ] {
        assert!(found.out.contains(shown), "no {shown:?} in {found:#?}");
    }
    let (silent, report) = run(&place, ROUNDS, &[]);
    assert_eq!(silent.code, Some(0), "{silent:#?}");
    assert!(report["mixed_rounds"].as_u64().unwrap() > 20, "{silent:#?}");
}

#[test]
fn a_migration_that_fails_alone_or_is_not_undone_is_the_files_mistake() {
    let half = "ALTER TABLE tasks ALTER COLUMN owner DROP NOT NULL";
    let left = place("", "owner", FILLED_IN_TIME, half);
    let (left, _) = run(&left, ROUNDS, &[]);
    left.fails(
        2,
        &[
            "undoing the migration `owner` leaves this behind",
            "tasks.owner",
        ],
    );
    let eager = place(
        "",
        "owner",
        FILLED_IN_TIME,
        "ALTER TABLE tasks DROP COLUMN note",
    );
    let (eager, _) = run(&eager, ROUNDS, &[]);
    eager.fails(
        2,
        &[
            "undoing the migration `owner` failed",
            "DROP COLUMN IF EXISTS",
        ],
    );
    let broken = place(
        "",
        "owner",
        "ALTER TABLE task ADD COLUMN owner text",
        DROP_OWNER,
    );
    let (broken, _) = run(&broken, ROUNDS, &[]);
    broken.fails(
        2,
        &["fails with no call under way", "\"task\" does not exist"],
    );
}
