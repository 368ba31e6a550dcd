//! Orders: what is bought, the stock that it takes, and the event that tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Connection};

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, created, ok};
use crate::outbox;
use crate::stock::{self, Line};

const MOST_OF_ONE: i64 = 100;
const PAGE: i64 = 20;
const LONGEST_PAGE: i64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product_id: i64,
    quantity: i64,
}

#[derive(Serialize, sqlx::FromRow)]
pub struct Order {
    id: i64,
    user_id: i64,
    status: String,
    total_cents: i64,
}

/// `POST /api/orders`
pub async fn create(
    State(shop): State<Arc<Shop>>,
    user: User,
    Body(order): Body<NewOrder>,
) -> Answer<Order> {
    user.may_act()?;
    let quantities = quantities(order.items)?;
    let _alone = if shop.bugs.has(Bug::OversellProcessLock) {
        Some(shop.checkout.lock().await)
    } else {
        None
    };
    let lines = stock::look_up(&shop, &quantities).await?;
    let placed = if shop.bugs.has(Bug::OrderEarlyCommit) {
        place_step_by_step(&shop, &user, &lines).await?
    } else {
        place(&shop, &user, &lines).await?
    };
    if shop.bugs.has(Bug::ItemsApart) {
        let mut connection = shop.db.connection().await?;
        list_items(&mut connection, placed.id, &lines).await?;
    }
    if shop.bugs.has(Bug::OutboxAfterCommit) {
        announce(&shop, &placed).await?;
    }
    Ok(created(placed))
}

async fn place(shop: &Shop, user: &User, lines: &[Line]) -> Result<Order, Error> {
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let placed = record(shop, &mut tx, user, lines).await?;
            stock::take(shop, &mut tx, placed.id, lines).await?;
            if shop.bugs.has(Bug::EventBeforeCommit) {
                shop.events.tell("order.created", placed.id).await;
            }
            tx.commit().await?;
            Ok(placed)
        })
        .await
}

/// The same as [`place`], in two transactions: `Bug::OrderEarlyCommit`.
async fn place_step_by_step(shop: &Shop, user: &User, lines: &[Line]) -> Result<Order, Error> {
    let placed = shop
        .db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let placed = record(shop, &mut tx, user, lines).await?;
            tx.commit().await?;
            Ok(placed)
        })
        .await?;
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            stock::take(shop, &mut tx, placed.id, lines).await?;
            Ok(tx.commit().await?)
        })
        .await?;
    Ok(placed)
}

/// The event in a transaction of its own: `Bug::OutboxAfterCommit`.
async fn announce(shop: &Shop, placed: &Order) -> Result<(), Error> {
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            outbox::announce(&mut tx, "order.created", placed.id).await?;
            Ok(tx.commit().await?)
        })
        .await
}

/// How much of what, in the order of the products' ids: all check-outs lock
/// their products in this order, so that no two wait for each other.
fn quantities(items: Vec<Item>) -> Result<BTreeMap<i64, i64>, Error> {
    let mut quantities = BTreeMap::new();
    for item in items {
        let quantity = quantities.entry(item.product_id).or_insert(0_i64);
        *quantity = quantity.saturating_add(item.quantity);
        if item.quantity < 1 || *quantity > MOST_OF_ONE {
            return Err(Error::Invalid(format!(
                "order 1 to {MOST_OF_ONE} of a product"
            )));
        }
    }
    if quantities.is_empty() {
        return Err(Error::Invalid("an order has at least one item".to_owned()));
    }
    Ok(quantities)
}

/// Writes the order, its items and its event.
async fn record(
    shop: &Shop,
    tx: &mut AnyConnection,
    user: &User,
    lines: &[Line],
) -> Result<Order, Error> {
    let total: i64 = lines
        .iter()
        .map(|line| line.price_cents * line.quantity)
        .sum();
    let order: Order = sqlx::query_as(
        "INSERT INTO orders (tenant_id, user_id, status, total_cents) VALUES ($1, $2, 'open', $3)
         RETURNING id, user_id, status, total_cents",
    )
    .bind(user.tenant_id)
    .bind(user.id)
    .bind(total)
    .fetch_one(&mut *tx)
    .await?;
    if !shop.bugs.has(Bug::ItemsApart) {
        list_items(tx, order.id, lines).await?;
    }
    if shop.bugs.has(Bug::SwallowedEvent) {
        announce_if_it_can_be(tx, order.id).await?;
    } else if !shop.bugs.has(Bug::OutboxAfterCommit) {
        outbox::announce(tx, "order.created", order.id).await?;
    }
    Ok(order)
}

async fn list_items(
    connection: &mut AnyConnection,
    order_id: i64,
    lines: &[Line],
) -> Result<(), Error> {
    for line in lines {
        sqlx::query(
            "INSERT INTO order_items (order_id, product_id, quantity, price_cents)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(order_id)
        .bind(line.product_id)
        .bind(line.quantity)
        .bind(line.price_cents)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The event, unless the database refuses it: `Bug::SwallowedEvent`.
async fn announce_if_it_can_be(tx: &mut AnyConnection, order_id: i64) -> Result<(), Error> {
    let mut savepoint = tx.begin().await?;
    match outbox::announce(&mut savepoint, "order.created", order_id).await {
        Ok(()) => savepoint.commit().await?,
        Err(error) => {
            eprintln!("shop: order {order_id} was not announced: {error:?}");
            savepoint.rollback().await?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
pub struct Page {
    after: Option<i64>,
    limit: Option<i64>,
}

/// `GET /api/orders?after=ID&limit=N`: a buyer's own orders, or the company's.
pub async fn list(
    State(shop): State<Arc<Shop>>,
    user: User,
    page: Result<Query<Page>, QueryRejection>,
) -> Answer<Vec<Order>> {
    let Query(page) = page?;
    let everybodys = shop.bugs.has(Bug::ListAllTenants);
    let query = if everybodys {
        "SELECT id, user_id, status, total_cents FROM orders
         WHERE ($1 = 0 OR user_id = $1) AND id > $2
         ORDER BY id LIMIT $3"
    } else {
        "SELECT id, user_id, status, total_cents FROM orders
         WHERE ($1 = 0 OR user_id = $1) AND id > $2 AND tenant_id = $4
         ORDER BY id LIMIT $3"
    };
    let mut query = sqlx::query_as(query)
        .bind(user.sees_orders_of())
        .bind(page.after.unwrap_or(0))
        .bind(page.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE));
    if !everybodys {
        query = query.bind(user.tenant_id);
    }
    Ok(ok(query.fetch_all(shop.db.pool()).await?))
}
