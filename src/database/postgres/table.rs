//! The tables of a PostgreSQL database as deadheat copies them: what has changed in one
//! since, and what fills it again.

use std::fmt::Write as _;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::database::quoted;

/// Tables whose rows are the user's own: ordinary ones and leaves of partitions,
/// of every schema but the system's and deadheat's.
const TABLES: &str = "
    SELECT c.oid::int8, n.nspname::text, c.relname::text,
      (SELECT coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attnum), '{}')
         FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attgenerated = '') AS columns,
      (SELECT coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attnum), '{}')
         FROM pg_index i JOIN pg_attribute a
           ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
      (SELECT coalesce(array_agg(DISTINCT f.confrelid::int8), '{}')
         FROM pg_constraint f
        WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS parents,
      EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND n.nspname <> 'deadheat_snapshot'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.oid";

/// Whether a transaction other than a restore wrote a row since the last restore.
/// `$1` is [`Snapshot::base`], `$2` is [`Snapshot::ours`].
pub(super) const NEWER: &str =
    "(age(xmin) <= age($1::text::xid) AND xmin <> ALL ($2::text[]::xid[]))";

/// A table of the user's.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: i64,
    /// Its name for people.
    pub(super) label: String,
    /// Schema and name, quoted.
    pub(super) name: String,
    /// Its columns that can be written, quoted.
    pub(super) columns: String,
    /// Its primary key's columns, quoted.
    pub(super) key: Vec<String>,
    /// Tables that its foreign keys refer to.
    pub(super) parents: Vec<i64>,
    pub(super) triggers: bool,
    /// How many rows it held.
    pub(super) rows: i64,
    /// The copy; `None` for a table that came later, which was empty.
    pub(super) copy: Option<String>,
}

/// Lists the user's tables, parents first.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let rows = sqlx::query(TABLES).fetch_all(connection).await?;
    let mut tables = Vec::new();
    for row in rows {
        let (schema, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let columns: Vec<String> = row.try_get(3)?;
        tables.push(Table {
            oid: row.try_get(0)?,
            label: label(&schema, &name),
            name: format!("{}.{}", quoted(&schema), quoted(&name)),
            columns: columns.join(", "),
            key: row.try_get(4)?,
            parents: row.try_get(5)?,
            triggers: row.try_get(6)?,
            rows: 0,
            copy: None,
        });
    }
    Ok(parents_first(tables))
}

/// The tables of which a column was defined anew since the last restore: a column that is
/// dropped and added again has lost what rows held there, and no row was written.
pub(super) async fn redefined(
    connection: &mut PgConnection,
    base: &str,
    ours: &[String],
) -> Result<Vec<i64>, sqlx::Error> {
    let sql = format!("SELECT DISTINCT attrelid::int8 FROM pg_attribute WHERE {NEWER}");
    let oids = sqlx::query_scalar(&sql).bind(base).bind(ours);
    oids.fetch_all(connection).await
}

/// A table's name for people: with its schema where that is not the usual one.
pub(super) fn label(schema: &str, name: &str) -> String {
    match schema {
        "public" => name.to_owned(),
        _ => format!("{schema}.{name}"),
    }
}

/// Puts each table after those that it refers to; in a cycle, any order.
fn parents_first(mut left: Vec<Table>) -> Vec<Table> {
    let mut sorted: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|table| {
            let waits_for = |parent: &i64| left.iter().any(|other| other.oid == *parent);
            !table.parents.iter().any(waits_for)
        });
        sorted.push(left.remove(free.unwrap_or(0)));
    }
    sorted
}

impl Table {
    /// Queries of the rows that came and of those that went, under its number.
    pub(super) fn differs(&self, number: usize) -> Vec<String> {
        let (name, columns) = (&self.name, &self.columns);
        let rows = |from: String, is_new: bool| {
            format!("SELECT {number}, {is_new}, row_to_json(r)::text FROM ({from}) r")
        };
        let came = format!("SELECT {columns} FROM ONLY {name} WHERE {NEWER}");
        let Some(copy) = &self.copy else {
            return vec![rows(came, true)];
        };
        if self.key.is_empty() {
            let all = |table: &str| {
                format!(
                    "SELECT {number}, row_to_json(r)::text FROM (SELECT {columns} FROM {table}) r"
                )
            };
            let (now, then) = (all(&format!("ONLY {name}")), all(copy));
            let less = |one: &str, other: &str, is_new: bool| {
                format!("SELECT n, {is_new}, row FROM ({one} EXCEPT ALL {other}) e (n, row)")
            };
            return vec![less(&now, &then, true), less(&then, &now, false)];
        }
        let went = format!(
            "SELECT {columns} FROM {copy} c WHERE NOT EXISTS \
             (SELECT FROM ONLY {name} t WHERE {} AND NOT {})",
            self.same_key(),
            NEWER.replace("xmin", "t.xmin"),
        );
        vec![rows(came, true), rows(went, false)]
    }

    /// That a row `t` of it and a row `c` of its copy have one key.
    fn same_key(&self) -> String {
        let columns = self.key.iter();
        let same: Vec<String> = columns
            .map(|column| format!("t.{column} = c.{column}"))
            .collect();
        same.join(" AND ")
    }

    /// Fills it from its copy; by key, only with the rows that are missing.
    pub(super) fn insert(&self, by_key: bool) -> Option<String> {
        let (copy, name, columns) = (self.copy.as_ref()?, &self.name, &self.columns);
        let mut sql = format!(
            "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {copy} c"
        );
        if by_key {
            let same = self.same_key();
            let _ = write!(
                sql,
                " WHERE NOT EXISTS (SELECT FROM ONLY {name} t WHERE {same})"
            );
        }
        Some(sql)
    }
}
