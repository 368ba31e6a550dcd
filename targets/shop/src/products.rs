//! The catalogue, which all tenants share.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::app::Shop;
use crate::auth::User;
use crate::error::{Answer, ok};

#[derive(Serialize, sqlx::FromRow)]
pub struct Product {
    id: i64,
    name: String,
    price_cents: i64,
    stock: i64,
}

/// `GET /api/products`
pub async fn list(State(shop): State<Arc<Shop>>, _: User) -> Answer<Vec<Product>> {
    let products = sqlx::query_as("SELECT id, name, price_cents, stock FROM products ORDER BY id")
        .fetch_all(shop.db.pool())
        .await?;
    Ok(ok(products))
}
