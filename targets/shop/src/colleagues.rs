//! Who leaves the company, and who returns. Whoever has left is not let in any more,
//! and the seats that they had booked are free.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::app::Shop;
use crate::auth::User;
use crate::error::{Answer, Error, Id, ok};

#[derive(Serialize)]
pub struct Colleague {
    id: i64,
    active: bool,
}

/// `POST /api/colleagues/{id}/leave`
pub async fn leave(State(shop): State<Arc<Shop>>, user: User, Id(id): Id) -> Answer<Colleague> {
    look_up(&shop, &user, id).await?;
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            // The user first: who books a seat holds this row until the seat is theirs.
            sqlx::query("UPDATE users SET active = FALSE WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM reservations WHERE user_id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await?;
    Ok(ok(Colleague { id, active: false }))
}

/// `POST /api/colleagues/{id}/return`
pub async fn come_back(State(shop): State<Arc<Shop>>, user: User, Id(id): Id) -> Answer<Colleague> {
    look_up(&shop, &user, id).await?;
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            sqlx::query("UPDATE users SET active = TRUE WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await?;
    Ok(ok(Colleague { id, active: true }))
}

/// Refuses whoever does not manage the company, and whoever is no colleague in it.
async fn look_up(shop: &Shop, user: &User, id: i64) -> Result<(), Error> {
    user.may_manage()?;
    if id == user.id {
        return Err(Error::Invalid("managers stay".to_owned()));
    }
    let (colleagues,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM users WHERE id = $1 AND tenant_id = $2")
            .bind(id)
            .bind(user.tenant_id)
            .fetch_one(shop.db.pool())
            .await?;
    if colleagues == 0 {
        return Err(Error::NotFound("colleague"));
    }
    Ok(())
}
