//! Profiles: a request changes the fields that it names and leaves the others,
//! and every accepted change is kept.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, ok};
use crate::text;

const LONGEST: usize = 100;

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    #[serde(deserialize_with = "text::kept_or_null")]
    display_name: Option<String>,
    #[serde(deserialize_with = "text::kept_or_null")]
    phone: Option<String>,
    #[serde(deserialize_with = "text::kept_or_null")]
    city: Option<String>,
}

impl Change {
    fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        [
            ("display_name", &self.display_name),
            ("phone", &self.phone),
            ("city", &self.city),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value.as_ref()?)))
    }
}

#[derive(Serialize, sqlx::FromRow)]
pub struct Profile {
    display_name: String,
    phone: String,
    city: String,
}

/// `PATCH /api/profile`
pub async fn update(
    State(shop): State<Arc<Shop>>,
    user: User,
    Body(change): Body<Change>,
) -> Answer<Profile> {
    user.may_act()?;
    if change.fields().count() == 0 || change.fields().any(|(_, value)| value.len() > LONGEST) {
        let message = format!("name a field; a value has up to {LONGEST} bytes");
        return Err(Error::Invalid(message));
    }
    let written = if shop.bugs.has(Bug::ProfileLostUpdate) {
        completed(&shop, &user, change.clone()).await?
    } else {
        change.clone()
    };
    let profile = shop
        .db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            // The profile first: who holds its lock makes the next entry in its history.
            let profile: Profile = sqlx::query_as(
                "UPDATE profiles SET display_name = COALESCE($1, display_name),
               phone = COALESCE($2, phone), city = COALESCE($3, city)
             WHERE user_id = $4 RETURNING display_name, phone, city",
            )
            .bind(&written.display_name)
            .bind(&written.phone)
            .bind(&written.city)
            .bind(user.id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(Error::NotFound("profile"))?;
            for (field, value) in change.fields() {
                sqlx::query(
                    "INSERT INTO profile_changes (user_id, field, value) VALUES ($1, $2, $3)",
                )
                .bind(user.id)
                .bind(field)
                .bind(value)
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(profile)
        })
        .await?;
    Ok(ok(profile))
}

/// The change with every other field as it is now.
async fn completed(shop: &Shop, user: &User, change: Change) -> Result<Change, Error> {
    let now: Profile =
        sqlx::query_as("SELECT display_name, phone, city FROM profiles WHERE user_id = $1")
            .bind(user.id)
            .fetch_optional(shop.db.pool())
            .await?
            .ok_or(Error::NotFound("profile"))?;
    Ok(Change {
        display_name: change.display_name.or(Some(now.display_name)),
        phone: change.phone.or(Some(now.phone)),
        city: change.city.or(Some(now.city)),
    })
}
