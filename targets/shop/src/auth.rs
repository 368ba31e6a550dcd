//! Who calls: a bearer token's user, with tenant and role.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::app::Shop;
use crate::error::Error;

/// A user of one tenant.
#[derive(Debug, sqlx::FromRow)]
pub struct User {
    /// The user's id.
    pub id: i64,
    /// The company that the user belongs to.
    pub tenant_id: i64,
    role: String,
}

impl User {
    /// Refuses who does not manage the company.
    pub fn may_manage(&self) -> Result<(), Error> {
        if self.role != "manager" {
            return Err(Error::Forbidden("only managers do that"));
        }
        Ok(())
    }

    /// Refuses who may only look.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.role == "auditor" {
            return Err(Error::Forbidden("auditors only read"));
        }
        Ok(())
    }

    /// Whose orders the user sees: a buyer their own. 0 stands for the whole company's,
    /// so that one query does for all.
    pub fn sees_orders_of(&self) -> i64 {
        if self.role == "buyer" { self.id } else { 0 }
    }
}

impl FromRequestParts<Arc<Shop>> for User {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<User, Error> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(Error::Unauthorized)?;
        sqlx::query_as(
            "SELECT u.id, u.tenant_id, u.role FROM api_tokens t
             JOIN users u ON u.id = t.user_id WHERE t.token = $1 AND u.active",
        )
        .bind(token)
        .fetch_optional(shop.db.pool())
        .await?
        .ok_or(Error::Unauthorized)
    }
}

/// The `Idempotency-Key` header, which the caller must send.
#[derive(Debug)]
pub struct IdempotencyKey(pub String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Error> {
        parts
            .headers
            .get("idempotency-key")
            .and_then(|value| value.to_str().ok())
            .filter(|key| (1..=100).contains(&key.len()))
            .map(|key| IdempotencyKey(key.to_owned()))
            .ok_or_else(|| Error::Invalid("send an Idempotency-Key header".to_owned()))
    }
}
