//! A whole order: with its note and its items, for whoever may see it. A buyer sees
//! their own, managers and auditors the company's; any other is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Error, Id, ok};

/// What is selected for [`Bare`].
pub const COLUMNS: &str = "id, user_id, status, total_cents, note";

/// An order without its items.
#[derive(sqlx::FromRow)]
pub struct Bare {
    /// The order's id.
    pub id: i64,
    user_id: i64,
    status: String,
    total_cents: i64,
    note: Option<String>,
}

/// An order as it is answered.
#[derive(Serialize)]
pub struct Whole {
    id: i64,
    user_id: i64,
    status: String,
    #[serde(flatten)]
    total: Total,
    note: Option<String>,
    items: Vec<Item>,
}

/// The field that says what an order costs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Total {
    TotalCents(i64),
    /// `Bug::RenamedField`
    Total(i64),
}

#[derive(Serialize)]
struct Item {
    product_id: i64,
    quantity: i64,
    price_cents: i64,
}

/// `GET /api/orders/{id}`
pub async fn read(State(shop): State<Arc<Shop>>, user: User, Id(id): Id) -> Answer<Whole> {
    let mut connection = shop.db.connection().await?;
    let found = if shop.bugs.has(Bug::OrderById) {
        find_anyones(&mut connection, id).await?
    } else {
        find(&mut connection, &user, id).await?
    };
    let mut order = with_items(&mut connection, found).await?;
    if shop.bugs.has(Bug::UnknownStatus) {
        order.say_settled();
    }
    if let (Total::TotalCents(cents), true) = (&order.total, shop.bugs.has(Bug::RenamedField)) {
        order.total = Total::Total(*cents);
    }
    Ok(ok(order))
}

/// An order that the user may see.
pub async fn find(connection: &mut AnyConnection, user: &User, id: i64) -> Result<Bare, Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM orders
         WHERE id = $1 AND tenant_id = $2 AND ($3 = 0 OR user_id = $3)"
    );
    sqlx::query_as(&query)
        .bind(id)
        .bind(user.tenant_id)
        .bind(user.sees_orders_of())
        .fetch_optional(connection)
        .await?
        .ok_or(Error::NotFound("order"))
}

/// An order, whoever asks: `Bug::OrderById`.
async fn find_anyones(connection: &mut AnyConnection, id: i64) -> Result<Bare, Error> {
    let query = format!("SELECT {COLUMNS} FROM orders WHERE id = $1");
    sqlx::query_as(&query)
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or(Error::NotFound("order"))
}

/// An order with its items.
pub async fn with_items(connection: &mut AnyConnection, order: Bare) -> Result<Whole, Error> {
    let mut items = items(connection, &[order.id]).await?;
    Ok(Whole::of(order, &mut items))
}

/// Orders with their items, which one statement asks for, however many orders these are.
pub async fn all_with_items(
    connection: &mut AnyConnection,
    orders: Vec<Bare>,
) -> Result<Vec<Whole>, Error> {
    let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
    let mut items = items(connection, &ids).await?;
    let whole = |order| Whole::of(order, &mut items);
    Ok(orders.into_iter().map(whole).collect())
}

/// The items of orders, by the order's id.
async fn items(
    connection: &mut AnyConnection,
    orders: &[i64],
) -> Result<BTreeMap<i64, Vec<Item>>, Error> {
    let mut items: BTreeMap<i64, Vec<Item>> = BTreeMap::new();
    if orders.is_empty() {
        return Ok(items);
    }
    let places: Vec<String> = (1..=orders.len()).map(|n| format!("${n}")).collect();
    let query = format!(
        "SELECT order_id, product_id, quantity, price_cents FROM order_items
         WHERE order_id IN ({}) ORDER BY order_id, product_id",
        places.join(", ")
    );
    let mut asked = sqlx::query_as(&query);
    for id in orders {
        asked = asked.bind(id);
    }
    let rows: Vec<(i64, i64, i64, i64)> = asked.fetch_all(connection).await?;
    for (order_id, product_id, quantity, price_cents) in rows {
        items.entry(order_id).or_default().push(Item {
            product_id,
            quantity,
            price_cents,
        });
    }
    Ok(items)
}

impl Whole {
    fn of(order: Bare, items: &mut BTreeMap<i64, Vec<Item>>) -> Whole {
        Whole {
            id: order.id,
            user_id: order.user_id,
            status: order.status,
            total: Total::TotalCents(order.total_cents),
            note: order.note,
            items: items.remove(&order.id).unwrap_or_default(),
        }
    }

    /// What accounting calls a paid order: `Bug::UnknownStatus`.
    pub fn say_settled(&mut self) {
        if self.status == "paid" {
            "settled".clone_into(&mut self.status);
        }
    }
}
