//! What a PostgreSQL database holds when a round begins, and putting it back.
//!
//! Copies of all tables lie in a schema of deadheat's own. Whether a table has
//! changed is told by its rows' `xmin`, the transaction that wrote each: one that
//! was still running at the last restore or began later, and was no restore, means
//! changed; so does another number of rows. Nothing is added to the user's tables,
//! and no trigger of ours runs in a race.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row as _};

use crate::database::postgres::SCHEMA;
use crate::database::postgres::table::{self, NEWER, Table, tables};

const SEQUENCES: &str = "
    SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename),
      CASE WHEN increment_by > 0 THEN max_value ELSE 0 END FROM pg_sequences
    WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'deadheat_snapshot' ORDER BY 1";

/// A [`Moment`]. The fingerprint changes whenever a table or a sequence comes or
/// goes; an `xid` has 32 bits of the number that a transaction has.
const MOMENT: &str = "
    SELECT (txid_current() % 4294967296)::text AS own,
      (txid_snapshot_xmin(txid_current_snapshot()) % 4294967296)::text AS oldest,
      count(*) || ' ' || coalesce(sum(hashint8(c.oid::int8)::int8), 0) AS fingerprint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'S') AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'deadheat_snapshot')";

/// How many restores are remembered while a transaction older than all of them
/// runs on; then all tables are filled anew, and the list begins again.
const OURS_LIMIT: usize = 200;

/// Why rows cannot be put back.
#[derive(Debug)]
pub(super) enum RestoreError {
    /// These tables are no longer there.
    Gone(Vec<String>),
    /// A statement failed.
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for RestoreError {
    fn from(error: sqlx::Error) -> Self {
        RestoreError::Sql(error)
    }
}

#[derive(Debug)]
struct Sequence {
    name: String,
    last_value: i64,
    is_called: bool,
    /// The last that it gives; 0 for one that counts down.
    max_value: i64,
}

/// What the database held.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Parents before children, as far as there is such an order.
    tables: Vec<Table>,
    sequences: Vec<Sequence>,
    fingerprint: String,
    /// The oldest transaction that was running at the last restore.
    base: String,
    /// The restores since `base`, the copying itself included: their rows are right.
    ours: Vec<String>,
    /// Whether triggers and foreign keys are kept quiet in this session.
    quiet: bool,
    /// Whether tables may have been defined anew since the last restore.
    redefined: bool,
    /// One query that names the tables that changed.
    changed: String,
    /// One query that reads all sequences.
    counters: String,
}

/// A transaction of ours as it begins.
#[derive(sqlx::FromRow)]
struct Moment {
    /// Its own number.
    own: String,
    /// The oldest transaction that runs.
    oldest: String,
    fingerprint: String,
}

impl Snapshot {
    /// Copies all tables.
    pub(super) async fn take(connection: &mut PgConnection) -> Result<Snapshot, sqlx::Error> {
        // For good, not for each restore: to set it throws away all cached plans.
        let quiet = connection
            .execute("SET session_replication_role = replica")
            .await
            .is_ok();
        let mut work = connection.begin().await?;
        let moment: Moment = sqlx::query_as(MOMENT).fetch_one(&mut *work).await?;
        for sql in [
            format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"),
            format!("CREATE SCHEMA {SCHEMA}"),
        ] {
            work.execute(sql.as_str()).await?;
        }
        let mut tables = tables(&mut work).await?;
        for (number, table) in tables.iter_mut().enumerate() {
            let copy = format!("{SCHEMA}.t{number}");
            let columns = &table.columns;
            let sql = format!(
                "CREATE TABLE {copy} AS SELECT {columns} FROM ONLY {}",
                table.name
            );
            work.execute(sql.as_str()).await?;
            let sql = format!("SELECT count(*) FROM {copy}");
            table.rows = sqlx::query_scalar(&sql).fetch_one(&mut *work).await?;
            work.execute(format!("ANALYZE {copy}").as_str()).await?;
            table.copy = Some(copy);
        }
        let mut snapshot = Snapshot {
            tables,
            sequences: Vec::new(),
            fingerprint: String::new(),
            base: moment.oldest,
            ours: vec![moment.own],
            quiet,
            redefined: false,
            changed: String::new(),
            counters: String::new(),
        };
        let names: Vec<(String, i64)> = sqlx::query_as(SEQUENCES).fetch_all(&mut *work).await?;
        snapshot.prepare(names);
        snapshot.fingerprint = moment.fingerprint;
        snapshot.sequences = snapshot.read_counters(&mut work).await?;
        work.commit().await?;
        Ok(snapshot)
    }

    /// Writes the queries that are the same in every round.
    fn prepare(&mut self, sequences: Vec<(String, i64)>) {
        let changed: Vec<String> = self
            .tables
            .iter()
            .enumerate()
            .map(|(number, table)| {
                format!(
                    "SELECT {number} FROM (SELECT count(*) AS n, \
                     bool_or{NEWER} AS newer FROM ONLY {}) t \
                     WHERE n <> {} OR newer",
                    table.name, table.rows
                )
            })
            .collect();
        self.changed = changed.join(" UNION ALL ");
        let counters: Vec<String> = sequences
            .into_iter()
            .map(|(name, most)| {
                let literal = name.replace('\'', "''");
                format!("SELECT '{literal}', last_value, is_called, {most}::int8 FROM {name}")
            })
            .collect();
        self.counters = counters.join(" UNION ALL ");
    }

    async fn read_counters(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Sequence>, sqlx::Error> {
        if self.counters.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(&self.counters).fetch_all(connection).await?;
        rows.iter()
            .map(|row| {
                Ok(Sequence {
                    name: row.try_get(0)?,
                    last_value: row.try_get(1)?,
                    is_called: row.try_get(2)?,
                    max_value: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// The numbers of the tables that have changed.
    async fn changed(&self, work: &mut PgConnection) -> Result<Vec<i32>, sqlx::Error> {
        if self.changed.is_empty() {
            return Ok(Vec::new());
        }
        let changed = sqlx::query_scalar(&self.changed);
        let changed = changed.bind(&self.base).bind(&self.ours);
        changed.fetch_all(work).await
    }

    /// The rows that came, and those that went: table, whether it came, row as JSON. One
    /// that was written and is the same stands on both sides.
    pub(super) async fn changes(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(String, bool, String)>, RestoreError> {
        let mut work = connection.begin().await?;
        let moment: Moment = sqlx::query_as(MOMENT).fetch_one(&mut *work).await?;
        self.follow_changes(moment.fingerprint, &mut work).await?;
        let numbers = self.changed(&mut work).await?;
        let numbers = numbers
            .iter()
            .filter_map(|number| usize::try_from(*number).ok());
        let parts: Vec<String> = numbers
            .filter_map(|number| Some((number, self.tables.get(number)?)))
            .flat_map(|(number, table)| table.differs(number))
            .collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let sql = parts.join(" UNION ALL ");
        let rows: Vec<(i32, bool, String)> = sqlx::query_as(&sql)
            .bind(&self.base)
            .bind(&self.ours)
            .fetch_all(&mut *work)
            .await?;
        work.commit().await?;
        let label = |number: i32| {
            let table = usize::try_from(number)
                .ok()
                .and_then(|at| self.tables.get(at));
            table.map_or_else(String::new, |table| table.label.clone())
        };
        let rows = rows.into_iter();
        Ok(rows
            .map(|(number, is_new, row)| (label(number), is_new, row))
            .collect())
    }

    /// Moves the counters on from where they stood.
    pub(super) async fn move_counters(
        &self,
        connection: &mut PgConnection,
        step: impl Fn(usize) -> i64,
    ) -> Result<(), sqlx::Error> {
        let moved = self.sequences.iter().enumerate();
        let moved: Vec<String> = moved
            .filter_map(|(number, sequence)| {
                let to = sequence.last_value + step(number);
                let literal = sequence.name.replace('\'', "''");
                // Half of the numbers are left to the round.
                (to < sequence.max_value / 2).then(|| format!("setval('{literal}', {to})"))
            })
            .collect();
        if !moved.is_empty() {
            let sql = format!("SELECT {}", moved.join(", "));
            connection.execute(sql.as_str()).await?;
        }
        Ok(())
    }

    /// Tables may be defined anew from now on.
    pub(super) fn redefined(&mut self) {
        self.redefined = true;
    }

    /// Puts back what the database held; returns the tables that had changed.
    pub(super) async fn restore(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<String>, RestoreError> {
        let mut work = connection.begin().await?;
        // Before anything is looked at: whatever runs now or begins from here on
        // and writes unseen is found changed the next time.
        let moment: Moment = sqlx::query_as(MOMENT).fetch_one(&mut *work).await?;
        self.follow_changes(moment.fingerprint, &mut work).await?;
        let anew = if self.redefined {
            table::redefined(&mut work, &self.base, &self.ours).await?
        } else {
            Vec::new()
        };
        let mut restored = Vec::new();
        if !self.changed.is_empty() {
            let whole = self.ours.len() >= OURS_LIMIT;
            let numbers: Vec<i32> = if whole {
                (0..).take(self.tables.len()).collect()
            } else {
                let mut numbers = self.changed(&mut work).await?;
                numbers.extend(self.numbers(&anew));
                numbers
            };
            let changed = self.with_dependents(&numbers);
            let is_whole = |table: &Table| whole || anew.contains(&table.oid);
            self.refill(&mut work, &changed, is_whole).await?;
            restored = changed.iter().map(|table| table.name.clone()).collect();
            if whole {
                self.ours.clear();
            }
        }
        self.restore_counters(&mut work).await?;
        work.commit().await?;
        self.redefined = false;
        if moment.oldest == moment.own {
            // What any earlier restore wrote is older than `base`.
            self.ours.clear();
        }
        self.base = moment.oldest;
        self.ours.push(moment.own);
        Ok(restored)
    }

    /// The numbers of these tables.
    fn numbers(&self, oids: &[i64]) -> Vec<i32> {
        let numbered = (0..).zip(&self.tables);
        let chosen = numbered.filter(|(_, table)| oids.contains(&table.oid));
        chosen.map(|(number, _)| number).collect()
    }

    async fn restore_counters(&self, work: &mut PgConnection) -> Result<(), sqlx::Error> {
        let now = self.read_counters(&mut *work).await?;
        for (now, then) in now.iter().zip(&self.sequences) {
            if (now.last_value, now.is_called) != (then.last_value, then.is_called) {
                sqlx::query("SELECT setval($1::text::regclass, $2, $3)")
                    .bind(&then.name)
                    .bind(then.last_value)
                    .bind(then.is_called)
                    .execute(&mut *work)
                    .await?;
            }
        }
        Ok(())
    }

    /// The tables of these numbers. Where foreign keys stay awake, also all that
    /// refer to them: a deleted parent takes its children along.
    fn with_dependents(&self, numbers: &[i32]) -> Vec<&Table> {
        let mut chosen: Vec<&Table> = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let changed = numbers.iter().any(|n| usize::try_from(*n) == Ok(number));
            let of_chosen = chosen
                .iter()
                .any(|other| table.parents.contains(&other.oid));
            if changed || (of_chosen && !self.quiet) {
                chosen.push(table);
            }
        }
        chosen
    }

    /// Fills tables from their copies: by key only what is missing or changed,
    /// unless the whole is to be written anew.
    async fn refill(
        &self,
        work: &mut PgConnection,
        changed: &[&Table],
        is_whole: impl Fn(&Table) -> bool,
    ) -> Result<(), sqlx::Error> {
        if changed.is_empty() {
            return Ok(());
        }
        if !self.quiet {
            work.execute("SET CONSTRAINTS ALL DEFERRED").await?;
        }
        let by_key = |table: &Table| !is_whole(table) && self.by_key(table);
        let loud = |table: &&&Table| !self.quiet && table.triggers;
        for table in changed.iter().filter(loud) {
            let sql = format!("ALTER TABLE {} DISABLE TRIGGER USER", table.name);
            work.execute(sql.as_str()).await?;
        }
        // Children are emptied first, and parents filled first.
        for table in changed.iter().rev() {
            if by_key(table) {
                let sql = format!("DELETE FROM ONLY {} WHERE {NEWER}", table.name);
                let delete = sqlx::query(&sql).bind(&self.base).bind(&self.ours);
                delete.execute(&mut *work).await?;
            } else {
                let sql = format!("DELETE FROM ONLY {}", table.name);
                sqlx::query(&sql).execute(&mut *work).await?;
            }
        }
        for table in changed {
            if let Some(sql) = table.insert(by_key(table)) {
                sqlx::query(&sql).execute(&mut *work).await?;
            }
        }
        for table in changed.iter().filter(loud) {
            let sql = format!("ALTER TABLE {} ENABLE TRIGGER USER", table.name);
            work.execute(sql.as_str()).await?;
        }
        Ok(())
    }

    /// Whether single rows of a table can be taken out and put back: with a key to
    /// know them by, and while no foreign key holds on to them.
    fn by_key(&self, table: &Table) -> bool {
        self.quiet && !table.key.is_empty() && table.copy.is_some()
    }

    /// Takes in tables that came since, as empty ones.
    async fn follow_changes(
        &mut self,
        now: String,
        work: &mut PgConnection,
    ) -> Result<(), RestoreError> {
        if now == self.fingerprint {
            return Ok(());
        }
        let mut listed = tables(&mut *work).await?;
        if self.redefined {
            // One that was dropped and is there again is the same to everybody else.
            for known in &mut self.tables {
                let is_there = listed.iter().any(|table| table.oid == known.oid);
                let again = listed.iter().find(|table| table.name == known.name);
                if let Some(again) = again.filter(|_| !is_there) {
                    known.oid = again.oid;
                }
            }
        }
        let gone: Vec<String> = self
            .tables
            .iter()
            .filter(|known| listed.iter().all(|table| table.oid != known.oid))
            .map(|table| table.name.clone())
            .collect();
        if !gone.is_empty() {
            return Err(RestoreError::Gone(gone));
        }
        for table in &mut listed {
            if let Some(known) = self.tables.iter().find(|known| known.oid == table.oid) {
                (table.rows, table.copy) = (known.rows, known.copy.clone());
            }
        }
        self.tables = listed;
        // Sequences that came since belong to tables that are emptied now; a
        // number that goes on there is what happens to any new table.
        let names = self.sequences.iter();
        let names = names.map(|known| (known.name.clone(), known.max_value));
        self.prepare(names.collect());
        self.fingerprint = now;
        Ok(())
    }
}
