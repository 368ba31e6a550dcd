//! Points that one author gives to another.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Service;
use crate::error::Error;
use crate::noise::{self, Now};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTransfer {
    from: String,
    to: String,
    points: i64,
}

/// `POST /transfers`
pub async fn make(
    State(service): State<Arc<Service>>,
    Json(new): Json<NewTransfer>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let (begun, now) = (Instant::now(), Now::read());
    if new.points < 1 || new.from == new.to {
        return Err(Error::Invalid("give something to somebody"));
    }
    let id = noise::id();
    let mut tx = service.pool.begin().await?;
    let mut changes = [(&new.from, -new.points), (&new.to, new.points)];
    // All lock in this order, so that no two wait for each other.
    changes.sort();
    for (author, by) in changes {
        let updated = sqlx::query(
            "UPDATE authors SET points = points + $2 WHERE id = $1::uuid AND points + $2 >= 0",
        )
        .bind(author)
        .bind(by)
        .execute(&mut *tx)
        .await?;
        if updated.rows_affected() == 0 {
            return Err(Error::Conflict("there are too few points"));
        }
    }
    let receipt = json!({
        "transfer": id,
        "from": new.from,
        "signature": noise::signature(&id, now.seconds()),
    });
    sqlx::query(
        "INSERT INTO transfers (id, from_id, to_id, points, receipt)
         VALUES ($1::uuid, $2::uuid, $3::uuid, $4, $5)",
    )
    .bind(&id)
    .bind(&new.from)
    .bind(&new.to)
    .bind(new.points)
    .bind(receipt.to_string())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let made = json!({
        "id": id,
        "from": new.from,
        "to": new.to,
        "points": new.points,
        "made_at": now.rfc3339(),
        "receipt": receipt,
        "took_ms": noise::took_ms(begun),
    });
    Ok((StatusCode::CREATED, Json(made)))
}
