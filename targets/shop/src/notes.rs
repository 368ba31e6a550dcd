//! The note on an order, which whoever ordered it or manages the company may write.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Error, Id, ok};
use crate::text;
use crate::whole::{self, COLUMNS, Whole};

const LONGEST: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// Null clears it.
    #[serde(deserialize_with = "text::kept_or_null")]
    note: Option<String>,
}

/// `PUT /api/orders/{id}/note`
pub async fn write(
    State(shop): State<Arc<Shop>>,
    user: User,
    Id(id): Id,
    body: Result<Json<NewNote>, JsonRejection>,
) -> Answer<Whole> {
    if !shop.bugs.has(Bug::RoleUnchecked) {
        user.may_act()?;
    }
    let note = checked(&shop, body).map_err(|error| {
        if shop.bugs.has(Bug::BareError) {
            Error::Bare(Box::new(error))
        } else {
            error
        }
    })?;
    if shop.bugs.has(Bug::DeniedButWritten) {
        let written = put(&shop, id, note.as_ref()).await?;
        whole::find(&mut *shop.db.connection().await?, &user, id).await?;
        return Ok(ok(written));
    }
    whole::find(&mut *shop.db.connection().await?, &user, id).await?;
    Ok(ok(put(&shop, id, note.as_ref()).await?))
}

fn checked(
    shop: &Shop,
    body: Result<Json<NewNote>, JsonRejection>,
) -> Result<Option<String>, Error> {
    let Json(NewNote { note }) = body?;
    if note.is_none() && shop.bugs.has(Bug::NoteRequired) {
        return Err(Error::Invalid("write a note".to_owned()));
    }
    if note.as_ref().is_some_and(|note| note.len() > LONGEST) {
        return Err(Error::Invalid(format!("a note has up to {LONGEST} bytes")));
    }
    Ok(note)
}

/// Writes the note. Whose an order is never changes, so that who could see it still can.
async fn put(shop: &Shop, id: i64, note: Option<&String>) -> Result<Whole, Error> {
    let update = format!("UPDATE orders SET note = $1 WHERE id = $2 RETURNING {COLUMNS}");
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let written = sqlx::query_as(&update)
                .bind(note)
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?
                .ok_or(Error::NotFound("order"))?;
            let order = whole::with_items(&mut tx, written).await?;
            tx.commit().await?;
            Ok(order)
        })
        .await
}
