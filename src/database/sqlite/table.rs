//! The tables of an `SQLite` database as deadheat copies them: what differs from the
//! copies, and how a row is named.

use sqlx::sqlite::SqliteConnection;

use crate::database::quoted;
use crate::model::Row;

/// The tables whose rows are the user's own, with the counters of AUTOINCREMENT.
const TABLES: &str = "
    SELECT l.name, l.wr FROM pragma_table_list l
    WHERE l.schema = 'main' AND l.type = 'table'
      AND (l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR l.name = 'sqlite_sequence')
    ORDER BY l.name = 'sqlite_sequence', l.name";

/// A table of the user's.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// Its columns that can be written, quoted; the row's number first, if it
    /// has one under a name that no column bears.
    pub(super) columns: Vec<String>,
    /// Its copy; `None` for a table that came later, which was empty.
    pub(super) copy: Option<String>,
}

impl Table {
    /// Queries of the rows that came, and of those that went. The row's number is one of
    /// the columns, so two rows alike are two.
    pub(super) fn differs(&self) -> Vec<(String, bool)> {
        // Under the names of the copy's: one column may bear the row's number twice.
        let columns = self.columns.iter().enumerate();
        let columns: Vec<String> = columns
            .map(|(position, column)| format!("{column} AS c{position}"))
            .collect();
        let (columns, name) = (columns.join(", "), quoted(&self.name));
        let now = format!("SELECT {columns} FROM main.{name}");
        let Some(copy) = &self.copy else {
            return vec![(now, true)];
        };
        let then = format!("SELECT * FROM {copy}");
        vec![
            (format!("{now} EXCEPT {then}"), true),
            (format!("{then} EXCEPT {now}"), false),
        ]
    }

    /// A row of its copy, or its own, under the names of its columns and without the
    /// row's number.
    pub(super) fn named(&self, row: Row) -> Row {
        let names = self.columns.iter().map(|name| {
            let inner = name
                .strip_prefix('"')
                .and_then(|name| name.strip_suffix('"'));
            inner.map(|name| name.replace("\"\"", "\""))
        });
        let values = row.into_iter().map(|(_, value)| value);
        names
            .zip(values)
            .filter_map(|(name, value)| Some((name?, value)))
            .collect()
    }

    /// Whether it holds something else than its copy. Values are compared as
    /// `quote` writes them, which tells 1 from 1.0 and knows no collation.
    pub(super) fn changed(&self) -> String {
        let name = quoted(&self.name);
        let Some(copy) = &self.copy else {
            return format!("SELECT EXISTS (SELECT 1 FROM main.{name})");
        };
        let exact = |columns: &mut dyn Iterator<Item = String>| {
            let exact: Vec<String> = columns.map(|column| format!("quote({column})")).collect();
            exact.join(", ")
        };
        let now = exact(&mut self.columns.iter().cloned());
        let then = exact(&mut (0..self.columns.len()).map(|position| format!("c{position}")));
        format!(
            "SELECT (SELECT count(*) FROM main.{name}) <> (SELECT count(*) FROM {copy}) \
             OR EXISTS (SELECT {now} FROM main.{name} EXCEPT SELECT {then} FROM {copy})"
        )
    }
}

pub(super) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    let names: Vec<(String, bool)> = sqlx::query_as(TABLES).fetch_all(&mut *connection).await?;
    let mut tables = Vec::new();
    for (name, without_rowid) in names {
        let columns: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, hidden FROM pragma_table_xinfo(?)")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await?;
        let number = ["rowid", "_rowid_", "oid"].into_iter().find(|number| {
            let mut names = columns.iter();
            !without_rowid && names.all(|(column, _)| !column.eq_ignore_ascii_case(number))
        });
        // Generated columns are hidden ones.
        let written = columns.iter().filter(|(_, hidden)| *hidden == 0);
        tables.push(Table {
            columns: number
                .map(str::to_owned)
                .into_iter()
                .chain(written.map(|(column, _)| quoted(column)))
                .collect(),
            name,
            copy: None,
        });
    }
    Ok(tables)
}
