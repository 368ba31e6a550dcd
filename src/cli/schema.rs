//! `deadheat schema`.

use std::io::Write as _;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::target::schema::json_schema;

/// Prints the schema.
pub(super) fn run() -> Result<Exit, Failure> {
    let printed = std::io::stdout().write_all(json_schema().as_bytes());
    printed.map_err(|source| Failure::Report {
        path: "standard output".into(),
        source,
    })?;
    Ok(Exit::Clean)
}
