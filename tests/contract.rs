//! A team whose service has clients that it cannot change: what its answers look like is
//! recorded, or written down, and later versions are held to it.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use common::{Ended, Place};

const TARGET: &str = r#"
[service]
start = "exec python3 orders.py"
ready = "/"
env.DATABASE = "{{ database.path }}"

[database]
engines = ["sqlite"]
prepare = ["schema.sql"]

[shared]
order = { rows = "SELECT id FROM orders" }

[operations.show]
request = "GET /orders/{{ order }}"

[operations.pay]
request = "POST /orders/{{ order }}/pay"
"#;

const DOCUMENT: &str = r##"
openapi: 3.0.3
paths:
  /orders/{id}: {get: {responses: {200: {$ref: "#/components/responses/Order"}}}}
  /orders/{id}/pay: {post: {responses: {200: {$ref: "#/components/responses/Order"}}}}
components:
  responses:
    Order: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
  schemas:
    Order:
      type: object
      required: [id, total_cents, status]
      properties:
        id: {type: integer}
        total_cents: {type: integer}
        status: {type: string, enum: [open, paid]}
        note: {type: string}
"##;

fn orders(rest: &str) -> Place {
    let place = Place::new();
    place.file("orders.py", include_str!("services/orders.py"));
    place.file(
        "schema.sql",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total_cents INT NOT NULL, \
         status TEXT NOT NULL, note TEXT); \
         INSERT INTO orders VALUES (1, 900, 'open', 'ring twice'), (2, 100, 'open', 'at the back');",
    );
    place.target(&format!("{TARGET}{rest}"));
    place
}

/// Enough answers to tell an enum from; to be held to it, fewer will do.
const TO_RECORD: [&str; 3] = ["--record-contract", "--rounds", "200"];
const TO_HOLD: [&str; 2] = ["--rounds", "30"];

/// A run of a version, with a corpus of its own.
fn run(place: &Place, version: &str, more: &[&str]) -> Ended {
    let version_is = format!("VERSION={version}");
    let run = ["run", ".", "--seed", "1", "--calls", "2..4", "--no-outcome"];
    let of = ["--env", &version_is, "--corpus", version];
    place.run(&[&run[..], &of, more].concat())
}

fn finds(ended: &Ended, version: &str, says: &[&str]) {
    assert_eq!(ended.code, Some(1), "{version}: {ended:#?}");
    for text in says {
        assert!(
            ended.out.contains(text),
            "{version}: no {text:?} in {ended:#?}"
        );
    }
}

#[test]
fn later_versions_are_held_to_what_was_recorded() {
    let place = orders("");
    let recorded = run(&place, "first", &TO_RECORD);
    assert_eq!(recorded.code, Some(0), "{recorded:#?}");
    assert!(recorded.err.contains("2 operations"), "{recorded:#?}");
    let contract = std::fs::read_to_string(place.path().join("contract.json")).unwrap();
    assert!(contract.contains("\"paid\""), "{contract}");
    for version in ["first", "grown"] {
        let same = run(&place, version, &TO_HOLD);
        assert_eq!(same.code, Some(0), "{version}: {same:#?}");
    }
    let clients = "clients of the recorded contract";
    for (version, rule, says) in [
        (
            "renamed",
            "/total_cents missing`",
            "read `total_cents`, which is gone",
        ),
        ("null", "200 /note null`", "do not expect null in `note`"),
        (
            "status",
            "200 /status value`",
            "know no value `settled` of `status`",
        ),
        (
            "error",
            "`pay 409 /error missing`",
            "read `error`, which is gone",
        ),
    ] {
        let says = format!("{clients} {says}");
        finds(
            &run(&place, version, &TO_HOLD),
            version,
            &[rule, &says, "contract.json"],
        );
    }
    // What was kept is tried again, and mended.
    let mended = place.run(&["run", ".", "--rounds", "5", "--corpus", "null"]);
    assert_eq!(mended.code, Some(0), "{mended:#?}");
    assert!(mended.err.contains("did not fail"), "{mended:#?}");
}

#[test]
fn answers_are_held_to_a_document() {
    let error = "[contract]\nopenapi = 'api.yaml'\n\
        error = { type = 'object', required = ['error'] }\n";
    let place = orders(error);
    place.file("api.yaml", DOCUMENT);
    let right = run(&place, "grown", &TO_HOLD);
    assert_eq!(right.code, Some(0), "{right:#?}");
    for (version, says) in [
        (
            "status",
            "as api.yaml has it; `status` is `settled`, none of open, paid",
        ),
        (
            "error",
            "`pay` answers 409 as deadheat.toml has it; the field `error` is missing",
        ),
    ] {
        finds(&run(&place, version, &TO_HOLD), version, &[says]);
    }
    // What is wrong can be recorded, and it is said that it is.
    let wrong = run(
        &place,
        "null",
        &["--record-contract", "--rounds", "30", "--keep-going"],
    );
    finds(&wrong, "null", &["`note` is null"]);
    assert!(wrong.err.contains("may be what is wrong"), "{wrong:#?}");
    assert!(place.path().join("contract.json").exists());
}

#[test]
fn a_document_that_is_wrong_is_told_before_anything_is_built() {
    let place = orders("[contract]\nopenapi = 'api.yaml'\n");
    let text = std::fs::read_to_string(place.path().join("deadheat.toml")).unwrap();
    place.target(&text.replace("[service]", "[service]\nbuild = 'touch built'"));
    place.file(
        "api.yaml",
        &DOCUMENT.replace("{type: string, enum", "{type: strin, enum"),
    );
    let at = "/components/schemas/Order/properties/status/type";
    place
        .run(&["run", "."])
        .fails(2, &["api.yaml", at, "deadheat.toml:"]);
    assert!(!place.path().join("built").exists());
    place.file("api.yaml", DOCUMENT);
    place.file("contract.json", "{\"format\": 7}");
    place
        .run(&["run", "."])
        .fails(2, &["contract.json", "format 7"]);
}
