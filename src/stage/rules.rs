//! Tries what the target file asks the database, before the first round: a query that
//! fails is the file's mistake, and is drawn there.

use crate::database::{Database, quoted};
use crate::failure::Failure;
use crate::model::Row;
use crate::stage::{of_the_file, rows};
use crate::target::error::Problem;
use crate::target::{Operation, Target};

/// A key that no call carries: to try the `once` queries before the first round.
const NO_KEY: &str = "deadheat-no-key";

/// Tries every query of the target file before the first round: one that fails,
/// or an invariant that does not even hold for the fixtures, is the file's
/// mistake and not a finding.
pub(super) async fn try_all(target: &Target, database: &mut dyn Database) -> Result<(), Failure> {
    for (name, invariant) in &target.file.invariants {
        let rows = rows(target, database, &invariant.sql, None).await?;
        if let Some(row) = rows.first() {
            let row = serde_json::to_string(row).unwrap_or_default();
            let message = format!("the fixtures themselves violate the invariant `{name}`: {row}");
            return Err(target
                .problem(
                    Problem::new(invariant.sql.span(), message)
                        .help("mend the fixtures, or what the query asks"),
                )
                .into());
        }
    }
    for allowance in target.file.allowances.values() {
        let allowance = allowance.get_ref();
        let Some(table) = &allowance.table else {
            continue;
        };
        let column = allowance.column.as_ref();
        let wanted = column.map_or_else(|| "*".to_owned(), |column| quoted(column.get_ref()));
        // Without the table before it, SQLite takes a quoted name for a text.
        let name: Vec<String> = table.get_ref().split('.').map(quoted).collect();
        let sql = format!("SELECT t.{wanted} FROM {} t WHERE 1 = 0", name.join("."));
        if let Err(error) = database.query(&sql, None).await {
            let at = Problem::new(column.unwrap_or(table).span(), "this is not there");
            return Err(of_the_file(target, &at, "", error));
        }
    }
    for operation in target.operations.values() {
        let once = operation.section.once.as_ref();
        if let Some(sql) = once.and_then(|once| once.get_ref().sql.as_ref()) {
            rows(target, database, sql, Some(NO_KEY)).await?;
        }
        try_access(target, database, operation).await?;
    }
    for (name, actor) in &target.file.actors {
        if let Some(active) = &actor.active {
            try_as(target, database, active, name).await?;
        }
    }
    Ok(())
}

/// Tries what says who may see which rows.
async fn try_access(
    target: &Target,
    database: &mut dyn Database,
    operation: &Operation,
) -> Result<(), Failure> {
    for name in target.file.actors.keys() {
        let rules = target.allows(operation, Some(name)).unwrap_or_default();
        for rows in rules.into_iter().filter_map(|rule| rule.rows.as_ref()) {
            try_as(target, database, rows, name).await?;
        }
    }
    Ok(())
}

/// Tries a query as it is for an actor.
async fn try_as(
    target: &Target,
    database: &mut dyn Database,
    sql: &toml::Spanned<String>,
    actor: &str,
) -> Result<(), Failure> {
    let text = target.query_of(sql, Some(actor), &Row::new())?;
    let tried = database.query(&text, None).await;
    tried.map(drop).map_err(|error| {
        let at = Problem::new(sql.span(), format!("this query failed for `{actor}`"));
        of_the_file(target, &at, "", error)
    })
}
