//! What came and what went since the snapshot, and counters that are moved on, on every
//! engine.

use super::*;

/// The changes as text, sorted: `+table {row}`.
async fn changes(database: &mut dyn Database) -> Vec<String> {
    let changes = database.changes().await.unwrap();
    let mut texts: Vec<String> = changes
        .iter()
        .map(|change| {
            let sign = if change.is_new { '+' } else { '-' };
            let only = ["id", "what", "a", "c", "stock"];
            let row = change.row.iter();
            let row = row.filter(|(name, _)| only.contains(&name.as_str()));
            let row: Vec<String> = row.map(|(name, value)| format!("{name}={value}")).collect();
            format!("{sign}{} {}", change.table, row.join(" "))
        })
        .collect();
    texts.sort();
    texts
}

async fn what_came_and_went_is_told(engine: Engine) {
    let mut database = ready(engine).await;
    let mut service = Other::new(database.as_ref()).await;
    assert!(changes(database.as_mut()).await.is_empty());
    let event = ["+event what=\"more\"", "+event what=\"more\""];
    let partition = if engine == Engine::Postgres {
        "pair_low"
    } else {
        "pair"
    };
    let pair = [
        format!("+{partition} a=1 c=\"y\""),
        format!("-{partition} a=1 c=\"x\""),
    ];
    for (sql, told) in [
        (
            "INSERT INTO event VALUES ('more', 2), ('more', 2)",
            event.map(str::to_owned).to_vec(),
        ),
        ("UPDATE pair SET c = 'y' WHERE a = 1", pair.to_vec()),
        ("UPDATE pair SET c = c", Vec::new()),
        (
            "DELETE FROM event WHERE what = 'start'",
            vec![
                "-event what=\"start\"".to_owned(),
                "-event what=\"start\"".to_owned(),
            ],
        ),
        ("DELETE FROM untouched", vec!["-untouched id=1".to_owned()]),
    ] {
        service.run(sql).await;
        assert_eq!(changes(database.as_mut()).await, told, "{engine}: {sql}");
        assert_eq!(
            changes(database.as_mut()).await,
            told,
            "{engine}: {sql}, asked again"
        );
        database.restore().await.unwrap();
        assert!(
            changes(database.as_mut()).await.is_empty(),
            "{engine}: after {sql}"
        );
    }
    service
        .run("CREATE TABLE later (id int); INSERT INTO later VALUES (1)")
        .await;
    assert_eq!(changes(database.as_mut()).await, ["+later id=1"]);
    drop(service);
    database.close().await.unwrap();
}

async fn counters_are_moved_on_and_put_back(engine: Engine) {
    let mut database = ready(engine).await;
    let mut service = Other::new(database.as_ref()).await;
    let counted = database.counted_columns().await.unwrap();
    for (table, column) in [("product", "id"), ("Order Items", "Item Id")] {
        let own = Counted {
            column: (table.to_owned(), column.to_owned()),
            refers_to: None,
        };
        assert!(counted.contains(&own), "{engine}: {counted:?}");
    }
    let counted_in = |table: &str| counted.iter().any(|counted| counted.column.0 == table);
    assert!(!counted_in("pair") && !counted_in("event"));
    // PostgreSQL's counters can all be moved, which tells who refers to them.
    let referring = Counted {
        column: ("Order Items".to_owned(), "product".to_owned()),
        refers_to: Some(("product".to_owned(), "id".to_owned())),
    };
    assert_eq!(
        counted.contains(&referring),
        engine == Engine::Sqlite,
        "{counted:?}"
    );
    let mut ids = Vec::new();
    for round in [1, 2, 0] {
        if round > 0 {
            database.move_counters(round).await.unwrap();
        }
        service
            .run("INSERT INTO product (name, stock) VALUES ('new', 1)")
            .await;
        let rows = database
            .query("SELECT max(id) AS id FROM product", None)
            .await;
        ids.push(rows.unwrap()[0]["id"].as_i64().unwrap());
        database.restore().await.unwrap();
    }
    assert!(
        ids[0] > FAR && ids[1] > ids[0] + FAR / 2 && ids[2] == 3,
        "{engine}: {ids:?}"
    );
    // Moved, and nothing else done: that is undone as well.
    database.move_counters(1).await.unwrap();
    database.restore().await.unwrap();
    service
        .run("INSERT INTO product (name, stock) VALUES ('new', 1)")
        .await;
    let rows = database
        .query("SELECT max(id) AS id FROM product", None)
        .await;
    assert_eq!(rows.unwrap()[0]["id"], 3);
    drop(service);
    database.close().await.unwrap();
}

#[tokio::test]
async fn sqlite_tells_what_changed() {
    what_came_and_went_is_told(Engine::Sqlite).await;
    counters_are_moved_on_and_put_back(Engine::Sqlite).await;
}

#[tokio::test]
async fn postgres_tells_what_changed() {
    what_came_and_went_is_told(Engine::Postgres).await;
    counters_are_moved_on_and_put_back(Engine::Postgres).await;
}
