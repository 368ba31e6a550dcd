//! Stock: what of a product is there, and taking from it.
//!
//! The column `stock` decides. It is to become `available`, by the migration
//! `available-stock`, which takes place while both versions of the service run:
//! version 1 does not know the new column, version 2 keeps it up to date where it is
//! there and still goes by `stock`, which both of them know.

use std::collections::BTreeMap;
use std::str::FromStr;

use sqlx::AnyConnection;

use crate::app::Shop;
use crate::bugs::Bug;
use crate::error::Error;

/// A version of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Knows `stock` alone.
    One,
    /// Knows `available` as well.
    Two,
}

/// What `SHOP_VERSION` says and no version is.
#[derive(Debug, thiserror::Error)]
#[error("SHOP_VERSION is `{0}`; there are 1 and 2")]
pub struct UnknownVersion(String);

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Version, UnknownVersion> {
        match text {
            "1" => Ok(Version::One),
            "2" => Ok(Version::Two),
            other => Err(UnknownVersion(other.to_owned())),
        }
    }
}

/// An item as the catalogue had it when the check-out began.
pub struct Line {
    /// What is bought.
    pub product_id: i64,
    /// How much of it.
    pub quantity: i64,
    /// What one costs.
    pub price_cents: i64,
    stock: i64,
}

const SOLD_OUT: Error = Error::Conflict("not enough in stock");

/// Looks up prices, and refuses early what is plainly sold out.
pub async fn look_up(shop: &Shop, quantities: &BTreeMap<i64, i64>) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for (&product_id, &quantity) in quantities {
        let query = if shop.bugs.has(Bug::StockInTwoPlaces)
            && knows_available(shop, &mut *shop.db.connection().await?, product_id).await?
        {
            "SELECT price_cents, COALESCE(available, stock) FROM products WHERE id = $1"
        } else {
            "SELECT price_cents, stock FROM products WHERE id = $1"
        };
        let (price_cents, stock): (i64, i64) = sqlx::query_as(query)
            .bind(product_id)
            .fetch_optional(shop.db.pool())
            .await?
            .ok_or(Error::NotFound("product"))?;
        if stock < quantity {
            return Err(SOLD_OUT);
        }
        lines.push(Line {
            product_id,
            quantity,
            price_cents,
            stock,
        });
    }
    Ok(lines)
}

/// Takes an order's items from stock, with a movement for each.
pub async fn take(
    shop: &Shop,
    tx: &mut AnyConnection,
    order_id: i64,
    lines: &[Line],
) -> Result<(), Error> {
    let Some(first) = lines.first() else {
        return Ok(());
    };
    let knows_available = knows_available(shop, tx, first.product_id).await?;
    for line in lines {
        if !decrement(shop, tx, line, knows_available).await? {
            return Err(SOLD_OUT);
        }
        let insert =
            "INSERT INTO stock_movements (product_id, order_id, quantity) VALUES ($1, $2, $3)";
        sqlx::query(insert)
            .bind(line.product_id)
            .bind(order_id)
            .bind(line.quantity)
            .execute(&mut *tx)
            .await
            .map_err(|error| failed(shop, insert, error))?;
    }
    Ok(())
}

/// Whether this version knows the column `available`, and it is there. A transaction that
/// has asked keeps the answer: it has read the table, which holds the migration off.
async fn knows_available(
    shop: &Shop,
    connection: &mut AnyConnection,
    product_id: i64,
) -> Result<bool, Error> {
    match shop.version {
        Version::One => Ok(false),
        Version::Two => shop.db.has_available(connection, product_id).await,
    }
}

/// Whether there was enough to take.
async fn decrement(
    shop: &Shop,
    tx: &mut AnyConnection,
    line: &Line,
    knows_available: bool,
) -> Result<bool, Error> {
    if knows_available && shop.bugs.has(Bug::HalfMigratedWrite) {
        return decrement_available(tx, line).await;
    }
    let (update, operand) = if shop.bugs.has(Bug::LostStock) {
        let left = line.stock - line.quantity;
        ("UPDATE products SET stock = $1 WHERE id = $2", left)
    } else if shop.bugs.has(Bug::Oversell) || shop.bugs.has(Bug::OversellProcessLock) {
        let update = "UPDATE products SET stock = stock - $1 WHERE id = $2";
        (update, line.quantity)
    } else if !knows_available {
        let update = "UPDATE products SET stock = stock - $1 WHERE id = $2 AND stock >= $1";
        (update, line.quantity)
    } else if shop.bugs.has(Bug::StockInTwoPlaces) {
        let update = "UPDATE products SET stock = stock - $1,
                        available = COALESCE(available, stock) - $1
                      WHERE id = $2 AND COALESCE(available, stock) >= $1";
        (update, line.quantity)
    } else {
        let update = "UPDATE products SET stock = stock - $1, available = stock - $1
                      WHERE id = $2 AND stock >= $1";
        (update, line.quantity)
    };
    let updated = sqlx::query(update)
        .bind(operand)
        .bind(line.product_id)
        .execute(tx)
        .await
        .map_err(|error| failed(shop, update, error))?;
    Ok(updated.rows_affected() > 0)
}

/// The same, and what is left is read out of the new column: `Bug::HalfMigratedWrite`.
async fn decrement_available(tx: &mut AnyConnection, line: &Line) -> Result<bool, Error> {
    let left: Option<(i64,)> = sqlx::query_as(
        "UPDATE products SET stock = stock - $1, available = available - $1
         WHERE id = $2 AND stock >= $1 RETURNING available",
    )
    .bind(line.quantity)
    .bind(line.product_id)
    .fetch_optional(tx)
    .await?;
    if let Some((0,)) = left {
        println!("shop: product {} is to be ordered", line.product_id);
    }
    Ok(left.is_some())
}

/// A statement that failed, which is nobody's affair but ours.
fn failed(shop: &Shop, statement: &'static str, source: sqlx::Error) -> Error {
    if shop.bugs.has(Bug::SqlInAnswer) {
        Error::Statement { statement, source }
    } else {
        Error::Database(source)
    }
}
