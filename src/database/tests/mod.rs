//! Every engine through one suite: what a round may do to a database, and that a
//! restore undoes all of it and touches nothing else.

use super::*;

mod changes;

const TABLES: [&str; 5] = ["product", "\"Order Items\"", "event", "pair", "untouched"];

fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "CREATE TYPE mood AS ENUM ('sad', 'glad');
             CREATE TABLE product (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
               stock int NOT NULL, twice int GENERATED ALWAYS AS (stock * 2) STORED, m mood DEFAULT 'sad',
               doc jsonb DEFAULT '{\"a\": 1}', seen timestamptz DEFAULT now(), raw bytea DEFAULT '\\xff');
             CREATE TABLE \"Order Items\" (\"Item Id\" serial PRIMARY KEY,
               product int NOT NULL REFERENCES product ON DELETE CASCADE, n numeric(10, 2) DEFAULT 1.50);
             CREATE TABLE event (what text, at int);
             CREATE TABLE pair (a int, b int, c text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
             CREATE TABLE pair_low PARTITION OF pair FOR VALUES FROM (0) TO (10);
             CREATE TABLE pair_high PARTITION OF pair FOR VALUES FROM (10) TO (100);
             CREATE TABLE untouched (id int PRIMARY KEY);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO event VALUES ('trigger', 0); RETURN NULL; END $$;
             CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON product
               FOR EACH ROW EXECUTE FUNCTION note();"
        }
        Engine::Sqlite => {
            "CREATE TABLE product (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
               stock INT NOT NULL, twice INT GENERATED ALWAYS AS (stock * 2) STORED);
             CREATE TABLE \"Order Items\" (\"Item Id\" INTEGER PRIMARY KEY,
               product INT NOT NULL REFERENCES product ON DELETE CASCADE, n REAL DEFAULT 1.5, raw BLOB DEFAULT x'ff');
             CREATE TABLE event (what TEXT COLLATE NOCASE, at);
             CREATE TABLE pair (a INT, b INT, c TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE TABLE untouched (id INTEGER PRIMARY KEY);
             CREATE TRIGGER noted AFTER INSERT ON product
               BEGIN INSERT INTO event VALUES ('trigger', 0); END;"
        }
    }
}

const FIXTURES: &str = "
    INSERT INTO product (name, stock) VALUES ('one', 1), ('two', 2);
    INSERT INTO \"Order Items\" (product) VALUES (1), (2);
    INSERT INTO event VALUES ('start', 1), ('start', 1);
    INSERT INTO pair VALUES (1, 1, 'x'), (20, 2, NULL);
    INSERT INTO untouched VALUES (1);";

/// Each a round of its own, with a table that it changes, if it does so.
const ROUNDS: [(&str, &str); 11] = [
    (
        "INSERT INTO product (name, stock) VALUES ('three', 3)",
        "product",
    ),
    (
        "UPDATE product SET stock = stock - 1 WHERE id = 1",
        "product",
    ),
    ("DELETE FROM product", "Order Items"),
    (
        "DELETE FROM \"Order Items\" WHERE product = 1",
        "Order Items",
    ),
    ("UPDATE event SET what = 'START'", "event"),
    ("DELETE FROM event", "event"),
    ("INSERT INTO event VALUES ('more', 2)", "event"),
    ("UPDATE pair SET c = 'y' WHERE a = 1", "pair"),
    ("UPDATE pair SET b = 3 WHERE a = 20", "pair"),
    (
        "DELETE FROM untouched; INSERT INTO untouched VALUES (2)",
        "untouched",
    ),
    ("SELECT 1", ""),
];

async fn ready(engine: Engine) -> Box<dyn Database> {
    let mut database = prepared(engine).await;
    database.take_snapshot().await.unwrap();
    database
}

async fn prepared(engine: Engine) -> Box<dyn Database> {
    let mut database = open(engine, &Source::ThrowAway, &Guard::disabled())
        .await
        .unwrap();
    assert!(database.is_empty().await.unwrap());
    database.run_script(schema(engine)).await.unwrap();
    database.run_script(FIXTURES).await.unwrap();
    assert!(!database.is_empty().await.unwrap());
    database
}

async fn contents(database: &mut dyn Database) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for table in TABLES {
        let rows = database
            .query(&format!("SELECT * FROM {table}"), None)
            .await;
        let mut rows: Vec<String> = rows
            .unwrap()
            .iter()
            .map(|row| serde_json::to_string(row).unwrap())
            .collect();
        rows.sort();
        all.push(rows);
    }
    all
}

/// A connection of a service's own.
struct Other(sqlx::AnyConnection);

impl Other {
    async fn new(database: &dyn Database) -> Other {
        use sqlx::Connection;
        sqlx::any::install_default_drivers();
        Other(sqlx::AnyConnection::connect(database.url()).await.unwrap())
    }

    async fn run(&mut self, sql: &str) {
        use sqlx::Executor;
        self.0.execute(sqlx::raw_sql(sql)).await.unwrap();
    }
}

async fn every_round_is_undone(engine: Engine) {
    let mut database = ready(engine).await;
    let before = contents(database.as_mut()).await;
    let mut service = Other::new(database.as_ref()).await;
    assert!(
        database.restore().await.unwrap().is_empty(),
        "nothing has happened"
    );
    for (sql, changes) in ROUNDS {
        if engine == Engine::Sqlite {
            service.run("PRAGMA foreign_keys = ON").await;
        }
        service.run(sql).await;
        assert_eq!(
            contents(database.as_mut()).await == before,
            changes.is_empty(),
            "{sql}"
        );
        let restored = database.restore().await.unwrap();
        assert_eq!(contents(database.as_mut()).await, before, "{sql}");
        let touched = restored.iter().any(|table| table.contains(changes));
        assert!(touched || changes.is_empty(), "{sql} touched {restored:?}");
        let apart = changes != "untouched" && restored.iter().any(|t| t.contains("untouched"));
        assert!(!apart, "{sql} touched {restored:?}");
        assert!(
            database.restore().await.unwrap().is_empty(),
            "{sql}, a second time"
        );
    }
    // The counters are back as well: the next number is the same each time.
    for _ in 0..2 {
        service
            .run("INSERT INTO product (name, stock) VALUES ('next', 3)")
            .await;
        let ids = database
            .query("SELECT max(id) AS id FROM product", None)
            .await;
        assert_eq!(ids.unwrap()[0]["id"], 3);
        database.restore().await.unwrap();
    }
    // A table that the service makes later is emptied from then on.
    service
        .run("CREATE TABLE later (id int); INSERT INTO later VALUES (1)")
        .await;
    database.restore().await.unwrap();
    service.run("INSERT INTO later VALUES (2)").await;
    database.restore().await.unwrap();
    let left = database.query("SELECT * FROM later", None).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    service.run("DROP TABLE untouched").await;
    let error = database.restore().await.unwrap_err();
    assert!(error.to_string().contains("untouched"), "{error}");
    drop(service);
    database.close().await.unwrap();
}

async fn a_writer_is_seen(engine: Engine) {
    let mut database = ready(engine).await;
    let mut service = Other::new(database.as_ref()).await;
    let limit = Duration::from_millis(100);
    assert_eq!(database.settle(Duration::ZERO, limit).await.unwrap(), None);
    service.run("BEGIN").await;
    service.run("UPDATE pair SET c = 'z'").await;
    let busy = database.settle(Duration::ZERO, limit).await.unwrap();
    assert!(busy.is_some(), "a transaction is open");
    service.run("COMMIT").await;
    let quiet = Duration::from_millis(5);
    let busy = database.settle(quiet, Duration::from_secs(5)).await;
    assert_eq!(busy.unwrap(), None);
    drop(service);
    database.close().await.unwrap();
}

async fn wrong_sql_is_the_users(engine: Engine) {
    let mut database = ready(engine).await;
    for sql in [
        "SELECT nothing FROM product",
        "SELEC 1",
        "SELECT * FROM nowhere",
    ] {
        let error = database.query(sql, None).await.unwrap_err();
        assert!(error.is_users(), "{error:?}");
    }
    let error = database
        .run_script("CREATE TABLE broken (")
        .await
        .unwrap_err();
    assert!(error.is_users(), "{error:?}");
    let sql = "SELECT name AS b, stock AS a FROM product WHERE name = :key -- done\n;";
    let rows = database.query(sql, Some("two")).await.unwrap();
    assert_eq!(
        serde_json::to_string(&rows).unwrap(),
        r#"[{"b":"two","a":2}]"#
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn sqlite_puts_every_round_back() {
    every_round_is_undone(Engine::Sqlite).await;
}

#[tokio::test]
async fn postgres_puts_every_round_back() {
    every_round_is_undone(Engine::Postgres).await;
}

/// One that began before a restore and commits after it, so that its number is
/// older than the restore's.
#[tokio::test]
async fn a_transaction_of_postgres_that_outlives_restores_is_undone() {
    let mut database = ready(Engine::Postgres).await;
    let before = contents(database.as_mut()).await;
    let mut straggler = Other::new(database.as_ref()).await;
    let mut service = Other::new(database.as_ref()).await;
    // Few restores, and more than are remembered; these write all rows anew, so
    // that none may be locked.
    for (restores, sql) in [
        (1, "UPDATE pair SET c = 'z' WHERE a = 1"),
        (250, "INSERT INTO pair VALUES (2, 2, 'z')"),
    ] {
        straggler.run("BEGIN").await;
        straggler.run(sql).await;
        for _ in 0..restores {
            service.run("UPDATE event SET what = 'round'").await;
            database.restore().await.unwrap();
            assert_eq!(contents(database.as_mut()).await, before);
        }
        straggler.run("COMMIT").await;
        assert_ne!(contents(database.as_mut()).await, before);
        database.restore().await.unwrap();
        assert_eq!(contents(database.as_mut()).await, before);
        assert!(database.restore().await.unwrap().is_empty());
    }
    drop((straggler, service));
    database.close().await.unwrap();
}

#[tokio::test]
async fn tables_of_postgres_that_were_defined_anew_are_filled_again() {
    let mut database = ready(Engine::Postgres).await;
    let before = contents(database.as_mut()).await;
    let anew = "ALTER TABLE event DROP COLUMN at; ALTER TABLE event ADD COLUMN at int; \
                DROP TABLE untouched; CREATE TABLE untouched (id int PRIMARY KEY);";
    database.run_script(anew).await.unwrap();
    assert_ne!(contents(database.as_mut()).await, before);
    database.redefined();
    let restored = database.restore().await.unwrap();
    assert_eq!(restored.len(), 2, "{restored:?}");
    assert_eq!(contents(database.as_mut()).await, before);
    assert_eq!(database.restore().await.unwrap(), Vec::<String>::new());
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_writer_of_sqlite_is_waited_for() {
    a_writer_is_seen(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_transaction_of_postgres_is_waited_for() {
    a_writer_is_seen(Engine::Postgres).await;
}

#[tokio::test]
async fn wrong_sql_is_told_from_a_broken_environment() {
    wrong_sql_is_the_users(Engine::Sqlite).await;
    wrong_sql_is_the_users(Engine::Postgres).await;
}

#[tokio::test]
async fn a_given_database_is_reset_only_with_leave_and_by_one_at_a_time() {
    let guard = Guard::disabled();
    let own = prepared(Engine::Postgres).await;
    let given = |may_reset| Source::Given {
        url: own.url().to_owned(),
        may_reset,
    };
    let refused = open(Engine::Postgres, &given(false), &guard).await;
    assert!(matches!(refused, Err(DatabaseError::NotOurs { .. })));
    let mut first = open(Engine::Postgres, &given(true), &guard).await.unwrap();
    let second = open(Engine::Postgres, &given(true), &guard).await;
    assert!(matches!(second, Err(DatabaseError::Taken { .. })));
    // The owner is no superuser: foreign keys and triggers stay awake.
    first.take_snapshot().await.unwrap();
    let before = contents(first.as_mut()).await;
    let mut service = Other::new(first.as_ref()).await;
    for (sql, _) in ROUNDS {
        service.run(sql).await;
        first.restore().await.unwrap();
        assert_eq!(contents(first.as_mut()).await, before, "{sql}");
    }
    drop(service);
    first.close().await.unwrap();
    let mut own = own;
    let left = "SELECT 1 FROM pg_namespace WHERE nspname = 'deadheat_snapshot'";
    assert!(
        own.query(left, None).await.unwrap().is_empty(),
        "its copies are gone"
    );
    own.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_the_environments_fault() {
    let mut database = ready(Engine::Postgres).await;
    let mut other = Other::new(database.as_ref()).await;
    // Ends deadheat's own connection as a server does that goes down.
    let admin = "SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let pid = database.query(admin, None).await.unwrap()[0]["pid"].clone();
    let url = database.url().to_owned();
    let sql = format!("SELECT pg_terminate_backend({pid})");
    let ended = sqlx::Executor::execute(&mut other.0, sqlx::raw_sql(&sql)).await;
    assert!(
        ended.is_err(),
        "the owner may not end the admin's connection"
    );
    drop(other);
    let sql = format!("SELECT pg_terminate_backend({pid}) AS ended");
    let error = database.query(&sql, None).await.unwrap_err();
    assert!(!error.is_users(), "{error:?}");
    assert!(database.restore().await.is_err());
    drop(database);
    let after = open(
        Engine::Postgres,
        &Source::Given {
            url,
            may_reset: true,
        },
        &Guard::disabled(),
    )
    .await;
    assert!(
        matches!(after, Err(DatabaseError::Connect { .. })),
        "it ended with its owner"
    );
}
