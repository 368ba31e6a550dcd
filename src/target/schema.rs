//! The JSON Schema of the target file, for editors.

use crate::target::file::TargetFile;

/// The schema as text, as it is kept in `docs/target.schema.json`.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(TargetFile);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
