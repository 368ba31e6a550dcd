//! Wallets: each balance, and an entry for every change of it.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::auth::{IdempotencyKey, User};
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, created, ok};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTransfer {
    to_user_id: i64,
    amount_cents: i64,
}

#[derive(Serialize, sqlx::FromRow)]
pub struct Transfer {
    id: i64,
    to_user_id: i64,
    amount_cents: i64,
}

/// What a transfer does to one wallet.
struct Change {
    user_id: i64,
    before: i64,
    by: i64,
}

const TOO_LITTLE: Error = Error::Conflict("the balance is too small");

/// `POST /api/wallet/transfer`, to a colleague.
pub async fn transfer(
    State(shop): State<Arc<Shop>>,
    user: User,
    IdempotencyKey(key): IdempotencyKey,
    Body(wanted): Body<NewTransfer>,
) -> Answer<Transfer> {
    user.may_act()?;
    if wanted.amount_cents < 1 || wanted.to_user_id == user.id {
        return Err(Error::Invalid("transfer something to someone".to_owned()));
    }
    let mut connection = shop.db.connection().await?;
    if let Some(done) = find(&mut connection, &user, &key).await? {
        return replay(done, &wanted);
    }
    let changes = look_up(&mut connection, &user, &wanted).await?;
    // A request never holds one connection while it waits for another.
    drop(connection);
    let new = if shop.bugs.has(Bug::KeyBeforeEffect) {
        make_step_by_step(&shop, &user, &key, &wanted, &changes).await?
    } else {
        make(&shop, &user, &key, &wanted, &changes).await?
    };
    if let Some(new) = new {
        return Ok(created(new));
    }
    let mut connection = shop.db.connection().await?;
    match find(&mut connection, &user, &key).await? {
        Some(done) => replay(done, &wanted),
        None => Err(Error::Conflict("this Idempotency-Key is in use")),
    }
}

/// Writes the transfer down and moves the money; `None` if the key is in use.
async fn make(
    shop: &Shop,
    user: &User,
    key: &str,
    wanted: &NewTransfer,
    changes: &[Change],
) -> Result<Option<Transfer>, Error> {
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let new = record(&mut tx, user, key, wanted).await?;
            if let Some(new) = &new {
                apply(shop, &mut tx, new.id, changes).await?;
            }
            tx.commit().await?;
            Ok(new)
        })
        .await
}

/// The same as [`make`], in two transactions: `Bug::KeyBeforeEffect`.
async fn make_step_by_step(
    shop: &Shop,
    user: &User,
    key: &str,
    wanted: &NewTransfer,
    changes: &[Change],
) -> Result<Option<Transfer>, Error> {
    let recorded = record(&mut *shop.db.connection().await?, user, key, wanted).await?;
    let Some(new) = recorded else {
        return Ok(None);
    };
    let moved = shop.db.retry(|| async {
        let mut tx = shop.db.begin().await?;
        apply(shop, &mut tx, new.id, changes).await?;
        Ok(tx.commit().await?)
    });
    let moved = moved.await;
    if let Err(Error::Conflict(_)) = moved {
        sqlx::query("DELETE FROM transfers WHERE id = $1")
            .bind(new.id)
            .execute(shop.db.pool())
            .await?;
    }
    moved.map(|()| Some(new))
}

async fn record(
    connection: &mut AnyConnection,
    user: &User,
    key: &str,
    wanted: &NewTransfer,
) -> Result<Option<Transfer>, Error> {
    let new = sqlx::query_as(
        "INSERT INTO transfers (from_user_id, to_user_id, amount_cents, idempotency_key)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
         RETURNING id, to_user_id, amount_cents",
    )
    .bind(user.id)
    .bind(wanted.to_user_id)
    .bind(wanted.amount_cents)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(new)
}

/// The transfer that this key has made.
async fn find(
    connection: &mut AnyConnection,
    user: &User,
    key: &str,
) -> Result<Option<Transfer>, Error> {
    let transfer = sqlx::query_as(
        "SELECT id, to_user_id, amount_cents FROM transfers
         WHERE from_user_id = $1 AND idempotency_key = $2",
    )
    .bind(user.id)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(transfer)
}

fn replay(done: Transfer, wanted: &NewTransfer) -> Answer<Transfer> {
    if (done.to_user_id, done.amount_cents) != (wanted.to_user_id, wanted.amount_cents) {
        let message = "this Idempotency-Key has made another transfer";
        return Err(Error::Invalid(message.to_owned()));
    }
    Ok(ok(done))
}

/// Looks up both wallets, and refuses early what plainly cannot be paid. The
/// changes are in the order of the users' ids: all transfers lock their wallets
/// in this order, so that no two wait for each other.
async fn look_up(
    connection: &mut AnyConnection,
    user: &User,
    wanted: &NewTransfer,
) -> Result<Vec<Change>, Error> {
    let balances: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT w.user_id, w.balance_cents FROM wallets w JOIN users u ON u.id = w.user_id
         WHERE u.tenant_id = $1 AND w.user_id IN ($2, $3) ORDER BY w.user_id",
    )
    .bind(user.tenant_id)
    .bind(user.id)
    .bind(wanted.to_user_id)
    .fetch_all(connection)
    .await?;
    if balances.len() < 2 {
        return Err(Error::NotFound("wallet"));
    }
    balances
        .into_iter()
        .map(|(user_id, before)| {
            let by = if user_id == user.id {
                -wanted.amount_cents
            } else {
                wanted.amount_cents
            };
            if before.saturating_add(by) < 0 {
                return Err(TOO_LITTLE);
            }
            Ok(Change {
                user_id,
                before,
                by,
            })
        })
        .collect()
}

async fn apply(
    shop: &Shop,
    tx: &mut AnyConnection,
    transfer_id: i64,
    changes: &[Change],
) -> Result<(), Error> {
    for change in changes {
        let (update, operand) = if shop.bugs.has(Bug::LostTransfer) {
            let update = "UPDATE wallets SET balance_cents = $1 WHERE user_id = $2";
            (update, change.before + change.by)
        } else if shop.bugs.has(Bug::Overdraft) {
            let update = "UPDATE wallets SET balance_cents = balance_cents + $1 WHERE user_id = $2";
            (update, change.by)
        } else {
            let update = "UPDATE wallets SET balance_cents = balance_cents + $1
                          WHERE user_id = $2 AND balance_cents + $1 >= 0";
            (update, change.by)
        };
        let updated = sqlx::query(update)
            .bind(operand)
            .bind(change.user_id)
            .execute(&mut *tx)
            .await?;
        if updated.rows_affected() == 0 {
            return Err(TOO_LITTLE);
        }
        let reference = transfer_id.to_string();
        enter(tx, change.user_id, change.by, "transfer", &reference).await?;
    }
    Ok(())
}

/// Adds to a wallet what comes from outside.
pub async fn credit(
    tx: &mut AnyConnection,
    user_id: i64,
    amount_cents: i64,
    reason: &str,
    reference: &str,
) -> Result<(), Error> {
    sqlx::query("UPDATE wallets SET balance_cents = balance_cents + $1 WHERE user_id = $2")
        .bind(amount_cents)
        .bind(user_id)
        .execute(&mut *tx)
        .await?;
    enter(tx, user_id, amount_cents, reason, reference).await
}

async fn enter(
    tx: &mut AnyConnection,
    user_id: i64,
    amount_cents: i64,
    reason: &str,
    reference: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO wallet_entries (user_id, amount_cents, reason, reference)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(user_id)
    .bind(amount_cents)
    .bind(reason)
    .bind(reference)
    .execute(tx)
    .await?;
    Ok(())
}
