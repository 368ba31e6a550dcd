//! All orders that a user may see, whole and newest first, page by page. A page begins
//! below the last id of the one before, so that orders that come in meanwhile move none.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Error, ok};
use crate::whole::{self, Bare, COLUMNS, Whole};

const PAGE: i64 = 20;
const LONGEST_PAGE: i64 = 100;

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    cursor: String,
    limit: Option<i64>,
}

/// A page, and where the next begins, if there is one.
#[derive(Serialize)]
pub struct Page {
    orders: Vec<Whole>,
    next: Option<String>,
}

/// `GET /api/history?cursor=NEXT&limit=N`
pub async fn list(
    State(shop): State<Arc<Shop>>,
    user: User,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer<Page> {
    let Query(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        let message = format!("a page has 1 to {LONGEST_PAGE} orders");
        return Err(Error::Invalid(message));
    }
    let cursor = cursor(&wanted.cursor)?;
    let mut connection = shop.db.connection().await?;
    // One more than is shown tells whether there is a next page.
    let mut found = if shop.bugs.has(Bug::PageByOffset) {
        skip(&mut connection, &user, cursor.unwrap_or(0), limit + 1).await?
    } else {
        below(&mut connection, &user, cursor, limit + 1).await?
    };
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = found.len() <= shown;
    found.truncate(shown);
    let next = match found.last() {
        Some(_) if is_last => None,
        Some(_) if shop.bugs.has(Bug::PageByOffset) => Some(cursor.unwrap_or(0) + limit),
        last => last.map(|order| order.id),
    };
    let mut orders = if shop.bugs.has(Bug::NPlusOne) {
        one_by_one(&mut connection, found).await?
    } else {
        whole::all_with_items(&mut connection, found).await?
    };
    if shop.bugs.has(Bug::UnknownStatus) {
        orders.iter_mut().for_each(Whole::say_settled);
    }
    Ok(ok(Page {
        orders,
        next: next.map(|next| next.to_string()),
    }))
}

/// Where a page begins; `None` for the first.
fn cursor(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => Err(Error::Invalid(
            "a cursor is what a page has said of the next".to_owned(),
        )),
    }
}

/// The newest orders below an id.
async fn below(
    connection: &mut AnyConnection,
    user: &User,
    cursor: Option<i64>,
    limit: i64,
) -> Result<Vec<Bare>, Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM orders
         WHERE tenant_id = $1 AND ($2 = 0 OR user_id = $2) AND id < $3
         ORDER BY id DESC LIMIT $4"
    );
    let orders = sqlx::query_as(&query)
        .bind(user.tenant_id)
        .bind(user.sees_orders_of())
        .bind(cursor.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(orders)
}

/// The newest orders but for so many: `Bug::PageByOffset`.
async fn skip(
    connection: &mut AnyConnection,
    user: &User,
    shown: i64,
    limit: i64,
) -> Result<Vec<Bare>, Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM orders
         WHERE tenant_id = $1 AND ($2 = 0 OR user_id = $2)
         ORDER BY id DESC LIMIT $4 OFFSET $3"
    );
    let orders = sqlx::query_as(&query)
        .bind(user.tenant_id)
        .bind(user.sees_orders_of())
        .bind(shown)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(orders)
}

/// Each order's items asked for by a statement of its own: `Bug::NPlusOne`.
async fn one_by_one(
    connection: &mut AnyConnection,
    orders: Vec<Bare>,
) -> Result<Vec<Whole>, Error> {
    let mut all = Vec::new();
    for order in orders {
        all.push(whole::with_items(connection, order).await?);
    }
    Ok(all)
}
