//! Reservations: a seat of a slot, once, and for nobody who has left.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, created};
use crate::text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReservation {
    slot_id: i64,
    #[serde(deserialize_with = "text::kept")]
    seat: String,
}

#[derive(Serialize, sqlx::FromRow)]
pub struct Reservation {
    id: i64,
    slot_id: i64,
    seat: String,
}

const TAKEN: Error = Error::Conflict("this seat is taken");

/// `POST /api/reservations`
pub async fn create(
    State(shop): State<Arc<Shop>>,
    user: User,
    Body(wanted): Body<NewReservation>,
) -> Answer<Reservation> {
    user.may_act()?;
    let (taken,): (i64,) = sqlx::query_as(
        "SELECT COUNT(r.id) FROM seats s
         LEFT JOIN reservations r ON r.slot_id = s.slot_id AND r.seat = s.seat
         WHERE s.slot_id = $1 AND s.seat = $2 GROUP BY s.slot_id, s.seat",
    )
    .bind(wanted.slot_id)
    .bind(&wanted.seat)
    .fetch_optional(shop.db.pool())
    .await?
    .ok_or(Error::NotFound("seat"))?;
    if taken > 0 {
        return Err(TAKEN);
    }
    let reservation = shop
        .db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            if !shop.bugs.has(Bug::RevokeOutlived) {
                still_here(&shop, &mut tx, &user).await?;
            }
            let reservation: Reservation = sqlx::query_as(
                "INSERT INTO reservations (slot_id, seat, user_id) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING RETURNING id, slot_id, seat",
            )
            .bind(wanted.slot_id)
            .bind(&wanted.seat)
            .bind(user.id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(TAKEN)?;
            tx.commit().await?;
            Ok(reservation)
        })
        .await?;
    Ok(created(reservation))
}

/// Refuses who has left since the request began, and keeps the others from being made to
/// leave before the end of the transaction, so that whoever makes them sees their seat.
async fn still_here(shop: &Shop, tx: &mut AnyConnection, user: &User) -> Result<(), Error> {
    let query = format!(
        "SELECT id FROM users WHERE id = $1 AND active {}",
        shop.db.for_share()
    );
    let found: Option<(i64,)> = sqlx::query_as(&query)
        .bind(user.id)
        .fetch_optional(tx)
        .await?;
    found.map(|_| ()).ok_or(Error::Unauthorized)
}
