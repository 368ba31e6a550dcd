//! What editors and newcomers read about the target file is true of this version.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

use std::path::Path;

use deadheat::target::{Target, schema};

fn kept(file: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    std::fs::read_to_string(docs.join(file)).unwrap()
}

#[test]
fn the_kept_schema_is_true() {
    assert!(
        kept("target.schema.json") == schema::json_schema(),
        "run `cargo run -- schema > docs/target.schema.json`"
    );
}

#[test]
fn the_first_target_of_the_reference_is_one_and_is_short() {
    let reference = kept("target.md");
    let first = reference.split("```toml\n").nth(1).unwrap();
    let first = first.split("```").next().unwrap();
    let lines = first.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 25, "{lines} lines");
    let read = Target::parse(Path::new("deadheat.toml"), Path::new("/"), first.to_owned());
    assert!(read.is_ok(), "{}", read.unwrap_err());
}
