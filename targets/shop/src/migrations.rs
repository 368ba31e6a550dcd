//! What the service adds to the schema when it starts. The tables are made by
//! `schema.*.sql`; a bug that is a forgotten constraint is left out here.

use crate::bugs::{Bug, Bugs};
use crate::db::Db;
use crate::error::Error;

/// The bug that one was forgotten, its name, and what it makes unique.
const UNIQUE: [(Bug, &str, &str); 4] = [
    (
        Bug::KeyNotUnique,
        "transfers_key",
        "transfers (from_user_id, idempotency_key)",
    ),
    (
        Bug::CouponTwice,
        "redemptions_once",
        "redemptions (coupon_code, user_id)",
    ),
    (
        Bug::DoubleBooking,
        "reservations_seat",
        "reservations (slot_id, seat)",
    ),
    (
        Bug::WebhookReplay,
        "webhook_events_id",
        "webhook_events (event_id)",
    ),
];

/// Creates the unique indexes, unless they are what was forgotten. One that stands is
/// let be: even `IF NOT EXISTS` waits for all who write to the table, and a replica
/// that comes back must not.
pub async fn run(db: &Db, bugs: &Bugs) -> Result<(), Error> {
    db.retry(|| async {
        let mut tx = db.begin().await?;
        db.lock_migrations(&mut tx).await?;
        for (forgotten, name, unique) in UNIQUE {
            if !bugs.has(forgotten) && !db.has_index(&mut tx, name).await? {
                let index = format!("CREATE UNIQUE INDEX {name} ON {unique}");
                sqlx::query(&index).execute(&mut *tx).await?;
            }
        }
        Ok(tx.commit().await?)
    })
    .await
}
