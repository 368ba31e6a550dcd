//! The target's migrations on the stage: tried before the first round, and undone after
//! each that made one. What tables are like is looked at each time: an undo that leaves
//! something would make every later round another than it says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::database::{Client, Database, Refused};
use crate::failure::Failure;
use crate::target::Target;
use crate::target::error::{Problem, TargetError};

const SHAPE: &str = include_str!("shape.sql");

/// The most columns that a table has had. Those that were dropped count among the 1,600
/// that it can have.
const COLUMNS: &str = "SELECT CAST(MAX(a.attnum) AS BIGINT) AS columns FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// With more than these, no migration is made any more: one may add some dozens.
const MOST_COLUMNS: i64 = 1500;

/// How long an undo waits for a lock. What holds one longer is a transaction that the
/// service has left open.
const WAITS: &str = "SET lock_timeout = '3s'";

/// The most parts that an error names.
const MOST_TOLD: usize = 5;

/// What tables are like: each part as a text, and a column's place in its table.
type Shape = BTreeMap<String, i64>;

/// What the migrations of a target are run and undone with.
#[derive(Debug)]
pub(crate) struct Migrations {
    /// The database, through a port of the gate's that nobody else has.
    pub(crate) url: String,
    /// The one that was begun and is not undone.
    pub(crate) begun: Option<String>,
    /// Undoes them: to connect takes longer than most undos do.
    client: Option<Client>,
    /// What tables are like without any.
    shape: Shape,
    /// Whether a table has had nearly all the columns that it can have.
    pub(crate) is_worn: bool,
}

impl Migrations {
    /// Tries each, and its undo however far it has come, with no call under way: what
    /// fails so is the file's mistake and no finding.
    pub(super) async fn open(
        target: &Target,
        url: String,
        database: &mut dyn Database,
    ) -> Result<Migrations, Failure> {
        let mut migrations = Migrations {
            url,
            begun: None,
            client: None,
            shape: shape(database).await?,
            is_worn: false,
        };
        for (name, migration) in &target.migrations {
            for length in 1..=migration.steps.len() {
                migrations.begun = Some(name.clone());
                let mut client = Client::connect(database.url()).await?;
                let made = client.run_all(&migration.steps[..length]).await;
                client.close().await;
                made.map_err(|refused| of_steps(target, name, &refused))?;
                migrations.undo(target, database).await?;
            }
        }
        database.restore().await?;
        Ok(migrations)
    }

    /// Undoes the one that was begun, if one was. Returns whether all stands where it
    /// did: a column that was dropped and is there again stands behind the others.
    pub(crate) async fn undo(
        &mut self,
        target: &Target,
        database: &mut dyn Database,
    ) -> Result<bool, Failure> {
        let Some(name) = self.begun.clone() else {
            return Ok(true);
        };
        let Some(migration) = target.migrations.get(&name) else {
            return Ok(true);
        };
        database.redefined();
        let undone = self.run(&migration.undo, database).await?;
        undone.map_err(|refused| {
            let message = format!("undoing the migration `{name}` failed: {}", refused.why);
            of_undo(target, &name, message)
        })?;
        let now = shape(database).await?;
        if let Some(differs) = differs(&self.shape, &now) {
            let message = format!("undoing the migration `{name}` {differs}");
            return Err(of_undo(target, &name, message).into());
        }
        self.begun = None;
        let columns = database.query(COLUMNS, None).await?;
        let most = columns.first().and_then(|row| row.get("columns")?.as_i64());
        self.is_worn = most.is_some_and(|most| most > MOST_COLUMNS);
        Ok(now == self.shape)
    }

    async fn run(
        &mut self,
        statements: &[String],
        database: &mut dyn Database,
    ) -> Result<Result<(), Refused>, Failure> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(database.url()).await?,
        };
        let done = async {
            client.run(WAITS).await?;
            client.run_all(statements).await?;
            // A transaction that was left open has done nothing.
            client.run("ROLLBACK").await
        };
        let done = done.await;
        if done.is_ok() {
            self.client = Some(client);
        }
        Ok(done)
    }

    /// Leaves no migration behind in a database that goes on without deadheat.
    pub(super) async fn close(
        mut self,
        target: &Target,
        database: &mut dyn Database,
    ) -> Result<(), Failure> {
        self.undo(target, database).await?;
        if let Some(client) = self.client {
            client.close().await;
        }
        Ok(())
    }
}

async fn shape(database: &mut dyn Database) -> Result<Shape, Failure> {
    let rows = database.query(SHAPE, None).await?;
    let parts = rows.into_iter().filter_map(|row| {
        let place = row.get("place").and_then(Value::as_i64)?;
        Some((row.get("part")?.as_str()?.to_owned(), place))
    });
    Ok(parts.collect())
}

/// How one shape is told from another, wherever their columns stand.
fn differs(before: &Shape, after: &Shape) -> Option<String> {
    let only = |one: &Shape, other: &Shape| {
        let parts = one.keys().filter(|part| !other.contains_key(*part));
        let parts: Vec<&str> = parts.map(String::as_str).collect();
        let told = parts.iter().take(MOST_TOLD).copied();
        let mut told = told.collect::<Vec<_>>().join("; ");
        if parts.len() > MOST_TOLD {
            told = format!("{told}; and {} more", parts.len() - MOST_TOLD);
        }
        (!parts.is_empty()).then_some(told)
    };
    match (only(after, before), only(before, after)) {
        (None, None) => None,
        (Some(left), None) => Some(format!("leaves this behind: {left}")),
        (None, Some(lost)) => Some(format!("does not bring this back: {lost}")),
        (Some(left), Some(lost)) => Some(format!(
            "leaves this behind: {left}; and does not bring this back: {lost}"
        )),
    }
}

fn of_steps(target: &Target, name: &str, refused: &Refused) -> TargetError {
    let section = target.file.migrations.get(name);
    let at = section.map_or(0..0, |section| {
        let first = section.get_ref().steps.first();
        first.map_or(section.span(), toml::Spanned::span)
    });
    let message = format!(
        "the migration `{name}` fails with no call under way: {}",
        refused.why
    );
    target.problem(Problem::new(at, message))
}

fn of_undo(target: &Target, name: &str, message: String) -> TargetError {
    let section = target.file.migrations.get(name);
    let at = section.map_or(0..0, |section| {
        let first = section.get_ref().undo.first();
        first.map_or(section.span(), toml::Spanned::span)
    });
    let help = "its files have to undo it however far it has come, as in \
                ALTER TABLE orders DROP COLUMN IF EXISTS note";
    target.problem(Problem::new(at, message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_and_what_is_lost_is_told_and_places_are_not() {
        let shape = |parts: &[(&str, i64)]| {
            let parts = parts
                .iter()
                .map(|(part, place)| ((*part).to_owned(), *place));
            parts.collect::<Shape>()
        };
        let before = shape(&[("column a", 1), ("index i", 0)]);
        assert_eq!(
            differs(&before, &shape(&[("column a", 3), ("index i", 0)])),
            None
        );
        let more = differs(
            &before,
            &shape(&[("column a", 1), ("column b", 2), ("index i", 0)]),
        );
        assert_eq!(more.unwrap(), "leaves this behind: column b");
        let other = differs(&before, &shape(&[("column a", 1), ("index j", 0)]));
        assert_eq!(
            other.unwrap(),
            "leaves this behind: index j; and does not bring this back: index i"
        );
    }
}
