//! What the service adds to the schema when it starts. The tables are made by
//! `schema.*.sql`; a bug that is a forgotten constraint is left out here.

use crate::bugs::{Bug, Bugs};
use crate::db::{self, Db};
use crate::error::Error;

const UNIQUE: [(Bug, &str); 4] = [
    (
        Bug::KeyNotUnique,
        "CREATE UNIQUE INDEX IF NOT EXISTS transfers_key
         ON transfers (from_user_id, idempotency_key)",
    ),
    (
        Bug::CouponTwice,
        "CREATE UNIQUE INDEX IF NOT EXISTS redemptions_once
         ON redemptions (coupon_code, user_id)",
    ),
    (
        Bug::DoubleBooking,
        "CREATE UNIQUE INDEX IF NOT EXISTS reservations_seat
         ON reservations (slot_id, seat)",
    ),
    (
        Bug::WebhookReplay,
        "CREATE UNIQUE INDEX IF NOT EXISTS webhook_events_id
         ON webhook_events (event_id)",
    ),
];

/// Creates the unique indexes, unless they are what was forgotten.
pub async fn run(db: &Db, bugs: &Bugs) -> Result<(), Error> {
    db::retry(|| async {
        let mut tx = db.begin().await?;
        db.lock_migrations(&mut tx).await?;
        for (forgotten, index) in UNIQUE {
            if !bugs.has(forgotten) {
                sqlx::query(index).execute(&mut *tx).await?;
            }
        }
        Ok(tx.commit().await?)
    })
    .await
}
