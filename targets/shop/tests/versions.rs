//! Two versions of the shop sell from one stock on PostgreSQL while the schema changes
//! beneath them, again and again: nothing fails, and nothing is sold twice.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

#[cfg(test)]
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use deadheat::database::{self, Source};
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use deadheat::target::Target;
use serde_json::json;
use support::Shop;

const MIGRATIONS: [&str; 3] = [
    include_str!("../migrations/1-add.postgres.sql"),
    include_str!("../migrations/2-fill.postgres.sql"),
    include_str!("../migrations/undo.postgres.sql"),
];

/// Orders two products, in either order of their lines, until told to stop; how many
/// orders were taken.
async fn buy(shop: &Shop, user: &str, until: &AtomicBool) -> i64 {
    let mut taken = 0;
    for first in (1..=3).cycle() {
        if until.load(Ordering::Relaxed) {
            break;
        }
        let order = json!({ "items": [
            { "product_id": first, "quantity": 1 },
            { "product_id": first % 3 + 1, "quantity": 1 },
        ] });
        let (status, body) = shop.send(user, "POST /api/orders", "", &order).await;
        assert!([201, 409].contains(&status.as_u16()), "{status}: {body}");
        taken += i64::from(status == 201);
    }
    taken
}

#[tokio::test]
async fn both_versions_sell_while_the_schema_changes() {
    let guard = Guard::disabled();
    let opened = database::open(Engine::Postgres, &Source::ThrowAway, &guard).await;
    let mut database = opened.unwrap_or_else(|error| panic!("{error}"));
    for sql in [
        include_str!("../schema.postgres.sql"),
        include_str!("../fixtures.sql"),
        include_str!("../grown.sql"),
        "UPDATE products SET initial_stock = 60, stock = 60 WHERE id <= 3",
    ] {
        database.run_script(sql).await.unwrap();
    }
    let old = Shop::on(database.url(), "").await;
    let new = old.next().await;
    let stop = AtomicBool::new(false);
    let migrate = async {
        for _ in 0..10 {
            for step in MIGRATIONS {
                database.run_script(step).await.unwrap();
            }
        }
        // The last undo is left out: what version 2 keeps is looked at below.
        for step in &MIGRATIONS[..2] {
            database.run_script(step).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (first, second, third, ()) = tokio::join!(
        buy(&old, "ada", &stop),
        buy(&new, "dan", &stop),
        buy(&new, "ben", &stop),
        migrate,
    );
    assert!(
        first > 0 && second + third > 0,
        "{first}, {second}, {third}"
    );

    let order = json!({ "items": [{ "product_id": 4, "quantity": 2 }] });
    let (status, _) = new.send("dan", "POST /api/orders", "", &order).await;
    assert_eq!(status, 201);
    let behind = "SELECT id FROM products WHERE id = 4 AND available IS DISTINCT FROM stock";
    assert!(database.query(behind, None).await.unwrap().is_empty());

    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Target::load(folder).unwrap_or_else(|error| panic!("{error}"));
    for (name, invariant) in &target.file.invariants {
        let rows = database.query(invariant.sql.get_ref(), None).await.unwrap();
        assert!(rows.is_empty(), "{name}: {rows:?}");
    }
    drop((old, new));
    database.close().await.unwrap();
}
