//! The JSON Schema that editors read is the one of this version.

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/target.schema.json");

#[test]
fn the_kept_schema_is_true() {
    let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
    assert!(
        kept == deadheat::target::schema::json_schema(),
        "run `cargo run -- schema > docs/target.schema.json`"
    );
}
