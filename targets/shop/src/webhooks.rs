//! What the payment provider tells: signed events, which may come twice and in
//! any order.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::bugs::Bug;
use crate::error::{Answer, Error, ok};
use crate::text;
use crate::wallet;

#[derive(Deserialize)]
struct Event {
    #[serde(deserialize_with = "text::kept")]
    id: String,
    #[serde(flatten)]
    kind: Kind,
    /// Counts a charge's events in the order in which they happened.
    sequence: i64,
    #[serde(deserialize_with = "text::kept")]
    charge_id: String,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Kind {
    #[serde(rename = "payment.authorized")]
    Authorized,
    #[serde(rename = "payment.captured")]
    Captured,
    #[serde(rename = "payment.refunded")]
    Refunded { amount_cents: i64 },
}

impl Kind {
    fn state(&self) -> &'static str {
        match self {
            Kind::Authorized => "authorized",
            Kind::Captured => "captured",
            Kind::Refunded { .. } => "refunded",
        }
    }
}

#[derive(Serialize)]
pub struct Received {
    received: bool,
}

#[derive(sqlx::FromRow)]
struct Payment {
    id: i64,
    user_id: i64,
    provider_sequence: i64,
    seen: i64,
}

const MOST_REFUNDED: i64 = 1_000_000_000;
const RECEIVED: Received = Received { received: true };

/// `POST /webhooks/payments`
pub async fn receive(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Received> {
    verify(&shop.webhook_secret, &headers, &body)?;
    let event: Event =
        serde_json::from_slice(&body).map_err(|error| Error::Invalid(error.to_string()))?;
    if let Kind::Refunded { amount_cents } = event.kind
        && !(1..=MOST_REFUNDED).contains(&amount_cents)
    {
        return Err(Error::Invalid("a refund gives something back".to_owned()));
    }
    if event.sequence < 1 {
        return Err(Error::Invalid("events are counted from 1".to_owned()));
    }
    let payment: Option<Payment> = sqlx::query_as(
        "SELECT id, user_id, provider_sequence,
           (SELECT COUNT(*) FROM webhook_events WHERE event_id = $2) AS seen
         FROM payments WHERE charge_id = $1",
    )
    .bind(&event.charge_id)
    .bind(&event.id)
    .fetch_optional(shop.db.pool())
    .await?;
    let payment = match payment {
        Some(payment) => payment,
        None if shop.bugs.has(Bug::WebhookDropped) => return Ok(ok(RECEIVED)),
        // It may be about to be written down: the provider sends the event again.
        None => return Err(Error::NotFound("charge")),
    };
    if payment.seen > 0 {
        return Ok(ok(RECEIVED));
    }
    let is_new = shop
        .db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let is_new = apply(&shop, &mut tx, &event, &payment).await?;
            if is_new && !shop.bugs.has(Bug::RefundApart) {
                refund(&mut tx, &event, &payment).await?;
            }
            tx.commit().await?;
            Ok(is_new)
        })
        .await?;
    if is_new && shop.bugs.has(Bug::RefundApart) {
        let credited = shop.db.retry(|| async {
            let mut tx = shop.db.begin().await?;
            refund(&mut tx, &event, &payment).await?;
            Ok(tx.commit().await?)
        });
        credited.await?;
    }
    Ok(ok(RECEIVED))
}

/// The body's HMAC-SHA256 stands in `X-Signature`, in hexadecimal digits.
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
    let signature = headers
        .get("x-signature")
        .and_then(|value| hex::decode(value).ok())
        .ok_or(Error::Unauthorized)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| Error::Unauthorized)?;
    mac.update(body);
    mac.verify_slice(&signature)
        .map_err(|_| Error::Unauthorized)
}

/// Writes an event down, and what it says of the payment, unless it is known; answers
/// whether it is new.
async fn apply(
    shop: &Shop,
    tx: &mut AnyConnection,
    event: &Event,
    payment: &Payment,
) -> Result<bool, Error> {
    let new = sqlx::query(
        "INSERT INTO webhook_events (event_id, payment_id, type, sequence)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&event.id)
    .bind(payment.id)
    .bind(event.kind.state())
    .bind(event.sequence)
    .execute(&mut *tx)
    .await?;
    if new.rows_affected() == 0 {
        return Ok(false);
    }
    if event.sequence > payment.provider_sequence {
        let update = if shop.bugs.has(Bug::WebhookBackwards) {
            "UPDATE payments SET provider_state = $1, provider_sequence = $2 WHERE id = $3"
        } else {
            "UPDATE payments SET provider_state = $1, provider_sequence = $2
             WHERE id = $3 AND provider_sequence < $2"
        };
        sqlx::query(update)
            .bind(event.kind.state())
            .bind(event.sequence)
            .bind(payment.id)
            .execute(&mut *tx)
            .await?;
    }
    Ok(true)
}

/// Money that came back is the customer's, however late the news.
async fn refund(tx: &mut AnyConnection, event: &Event, payment: &Payment) -> Result<(), Error> {
    if let Kind::Refunded { amount_cents } = event.kind {
        wallet::credit(tx, payment.user_id, amount_cents, "refund", &event.id).await?;
    }
    Ok(())
}
