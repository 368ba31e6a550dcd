//! A payment: eighty statements, two of them about a row that it shares.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::Service;
use crate::error::Error;
use crate::work::Work;

const SETTINGS: [&str; 6] = ["currency", "fee", "language", "limit", "rounding", "tax"];
const LINES: i64 = 11;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    method: Method,
    reference: String,
    account: i64,
    amount_cents: i64,
}

/// How it is paid.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    Card,
    Invoice,
    Cash,
}

impl Method {
    /// Before which lines the account's balance is read, and written.
    fn booked(self) -> (i64, i64) {
        match self {
            // The bank has the money already.
            Method::Card => (0, 0),
            Method::Invoice => (4, 8),
            // Counted first.
            Method::Cash => (9, 9),
        }
    }
}

#[derive(Serialize)]
pub struct Paid {
    reference: String,
    /// How many statements it took.
    statements: u32,
}

/// `POST /payments`.
pub async fn pay(
    State(service): State<Arc<Service>>,
    Json(payment): Json<NewPayment>,
) -> Result<(StatusCode, Json<Paid>), Error> {
    let mut work = Work::begin(&service).await?;
    for name in SETTINGS {
        let setting = sqlx::query("SELECT value FROM settings WHERE name = $1");
        work.run(setting.bind(name)).await?;
    }
    open(&mut work, &payment).await?;
    let (read, written) = payment.method.booked();
    let mut balance = 0;
    for number in 0..LINES {
        if number == read {
            balance = work.balance(payment.account).await?;
        }
        if number == written {
            let sum = balance + payment.amount_cents;
            work.set_balance(payment.account, sum).await?;
        }
        line(&mut work, &payment, number).await?;
    }
    close(&mut work, &payment).await?;
    let statements = work.commit().await?;
    let paid = Paid {
        reference: payment.reference,
        statements,
    };
    Ok((StatusCode::CREATED, Json(paid)))
}

async fn open(work: &mut Work, payment: &NewPayment) -> Result<(), Error> {
    let new = sqlx::query(
        "INSERT INTO payments (reference, account_id, amount_cents, status)
         VALUES ($1, $2, $3, 'open')",
    );
    let new = new.bind(&payment.reference).bind(payment.account);
    work.run(new.bind(payment.amount_cents)).await?;
    let receipt =
        sqlx::query("INSERT INTO receipts (reference, total_cents, closed) VALUES ($1, 0, false)");
    work.run(receipt.bind(&payment.reference)).await
}

/// One line, within a savepoint: added, read again, taxed, and added to the receipt.
async fn line(work: &mut Work, payment: &NewPayment, number: i64) -> Result<(), Error> {
    let reference = &payment.reference;
    let share = payment.amount_cents / LINES;
    let rest = payment.amount_cents % LINES;
    let amount = if number == 0 { share + rest } else { share };
    work.run(sqlx::query("SAVEPOINT line")).await?;
    let new = sqlx::query(
        "INSERT INTO lines (reference, number, amount_cents, tax_cents) VALUES ($1, $2, $3, 0)",
    );
    work.run(new.bind(reference).bind(number).bind(amount))
        .await?;
    let again = sqlx::query(
        "SELECT amount_cents, tax_cents FROM lines WHERE reference = $1 AND number = $2",
    );
    work.run(again.bind(reference).bind(number)).await?;
    let taxed = sqlx::query("UPDATE lines SET tax_cents = $3 WHERE reference = $1 AND number = $2");
    work.run(taxed.bind(reference).bind(number).bind(amount / 5))
        .await?;
    let added =
        sqlx::query("UPDATE receipts SET total_cents = total_cents + $2 WHERE reference = $1");
    work.run(added.bind(reference).bind(amount)).await?;
    work.run(sqlx::query("RELEASE SAVEPOINT line")).await
}

async fn close(work: &mut Work, payment: &NewPayment) -> Result<(), Error> {
    let receipt = sqlx::query("UPDATE receipts SET closed = true WHERE reference = $1");
    work.run(receipt.bind(&payment.reference)).await?;
    let settled = sqlx::query("UPDATE payments SET status = 'settled' WHERE reference = $1");
    work.run(settled.bind(&payment.reference)).await
}
