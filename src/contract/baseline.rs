//! The recorded contract: what the answers of an earlier run had in common, as a file
//! that later versions of the service are held to.

use std::collections::BTreeMap;
use std::io::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::schema::Schema;
use crate::contract::status::{ByStatus, Key};
use crate::files;

/// The version of the file's shape.
const FORMAT: u32 = 1;

/// The file. A user may edit it: each schema is an ordinary JSON Schema.
#[derive(Deserialize, Serialize)]
struct File {
    format: u32,
    /// The version of deadheat that recorded it.
    #[serde(default)]
    deadheat: String,
    /// Schemas by operation and status.
    operations: BTreeMap<String, BTreeMap<String, Value>>,
}

/// The schemas of a recorded contract, by operation.
pub(super) type Baseline = BTreeMap<String, ByStatus<Schema>>;

/// Takes a file's schemas; the error is a sentence.
pub(super) fn take(name: &str, file: Value) -> Result<Baseline, Vec<String>> {
    let one = |wrong: String| vec![format!("`{name}`: {wrong}")];
    let again = "record it anew with `deadheat run --record-contract`";
    if let Some(format) = file.get("format").filter(|format| **format != FORMAT) {
        return Err(one(format!(
            "it is of format {format}, and this version reads {FORMAT}: {again}"
        )));
    }
    let file: File = serde_json::from_value(file)
        .map_err(|error| one(format!("this is no recorded contract: {error}; {again}")))?;
    let mut wrong = Vec::new();
    let mut baseline = Baseline::new();
    for (operation, schemas) in file.operations {
        let by_status = baseline.entry(operation.clone()).or_default();
        for (status, schema) in schemas {
            let at = format!("`{name}`: at `/operations/{operation}/{status}`");
            match (Key::of(&status), Schema::new(&schema)) {
                (None, _) => {
                    wrong.push(format!("{at}: `{status}` is no status: {}", Key::HELP));
                }
                (_, Err(error)) => wrong.push(format!("{at}: {error}")),
                (Some(key), Ok(schema)) => by_status.insert(key, schema),
            }
        }
    }
    if wrong.is_empty() {
        Ok(baseline)
    } else {
        Err(wrong)
    }
}

/// Writes what was recorded.
pub(super) fn write(
    path: &Path,
    operations: BTreeMap<String, BTreeMap<String, Value>>,
) -> Result<(), Error> {
    let file = File {
        format: FORMAT,
        deadheat: env!("CARGO_PKG_VERSION").to_owned(),
        operations,
    };
    files::write_json(path, &file)
}
