//! Payments: an order is claimed, charged and settled.
//!
//! The claim is committed before the provider is called and holds the key, so a
//! payment that was cut off (a client that hung up, a crash, a provider that
//! did not answer) is taken up again by the next request with that key. The
//! provider knows the key as well, and charges it once.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::app::Shop;
use crate::auth::{IdempotencyKey, User};
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, created, ok};
use crate::outbox;
use crate::provider::Charge;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    order_id: i64,
}

#[derive(Serialize, sqlx::FromRow)]
pub struct Payment {
    id: i64,
    order_id: i64,
    amount_cents: i64,
    status: String,
}

#[derive(sqlx::FromRow)]
struct Order {
    tenant_id: i64,
    status: String,
    total_cents: i64,
}

impl Order {
    fn if_open(self) -> Result<Order, Error> {
        if self.status == "open" {
            Ok(self)
        } else {
            Err(Error::Conflict("this order is paid, or being paid"))
        }
    }
}

/// `POST /api/payments`
pub async fn create(
    State(shop): State<Arc<Shop>>,
    user: User,
    IdempotencyKey(key): IdempotencyKey,
    Body(NewPayment { order_id }): Body<NewPayment>,
) -> Answer<Payment> {
    user.may_act()?;
    let request = Request {
        shop: &shop,
        user: &user,
        key: &key,
        order_id,
    };
    let known = request.find(&mut *shop.db.connection().await?).await?;
    if shop.bugs.has(Bug::DoubleCharge) && known.is_none() {
        let order = request.payable().await?;
        let charge = shop.provider.charge(order.total_cents, &key, None).await?;
        let payment = request.claim().await?;
        return request.settle(payment, &charge).await;
    }
    if shop.bugs.has(Bug::ChargeInTransaction) && known.is_none() {
        request.payable().await?;
        return request.pay_at_once().await;
    }
    let payment = if let Some(payment) = known {
        payment
    } else {
        request.payable().await?;
        request.claim().await?
    };
    if payment.status != "pending" {
        return finished(payment);
    }
    // Two users may choose the same key; the provider must not take it for one.
    let theirs = format!("user-{}-{key}", user.id);
    let charge = shop
        .provider
        .charge(payment.amount_cents, &key, Some(&theirs));
    match charge.await {
        Ok(charge) => request.settle(payment, &charge).await,
        Err(Error::Declined) => request.decline(payment).await,
        Err(_) if shop.bugs.has(Bug::SilenceIsDecline) => request.decline(payment).await,
        Err(unclear) => Err(unclear),
    }
}

/// What a payment that is over is answered with, however often it is asked for.
fn finished(payment: Payment) -> Answer<Payment> {
    match payment.status.as_str() {
        "declined" => Err(Error::Declined),
        _ => Ok(ok(payment)),
    }
}

struct Request<'a> {
    shop: &'a Shop,
    user: &'a User,
    key: &'a str,
    order_id: i64,
}

impl Request<'_> {
    /// The payment that this key has begun.
    async fn find(&self, connection: &mut AnyConnection) -> Result<Option<Payment>, Error> {
        let payment: Option<Payment> = sqlx::query_as(
            "SELECT id, order_id, amount_cents, status FROM payments
             WHERE user_id = $1 AND idempotency_key = $2",
        )
        .bind(self.user.id)
        .bind(self.key)
        .fetch_optional(connection)
        .await?;
        match payment {
            Some(other) if other.order_id != self.order_id => Err(Error::Invalid(
                "this Idempotency-Key has paid another order".to_owned(),
            )),
            payment => Ok(payment),
        }
    }

    /// The order, as one of this tenant's; `lock` ends the query.
    async fn order(&self, connection: &mut AnyConnection, lock: &str) -> Result<Order, Error> {
        let query =
            format!("SELECT tenant_id, status, total_cents FROM orders WHERE id = $1 {lock}");
        let order: Option<Order> = sqlx::query_as(&query)
            .bind(self.order_id)
            .fetch_optional(connection)
            .await?;
        let anyones = self.shop.bugs.has(Bug::TenantLeak);
        order
            .filter(|order| anyones || order.tenant_id == self.user.tenant_id)
            .ok_or(Error::NotFound("order"))
    }

    /// Refuses early what plainly cannot be paid.
    async fn payable(&self) -> Result<Order, Error> {
        let mut connection = self.shop.db.connection().await?;
        self.order(&mut connection, "").await?.if_open()
    }

    /// Writes down, under the key, that this payment and no other pays the order.
    async fn claim(&self) -> Result<Payment, Error> {
        self.shop
            .db
            .retry(|| async {
                let mut tx = self.shop.db.begin().await?;
                let order = self.order(&mut tx, self.shop.db.for_update()).await?;
                // A duplicate may have waited for this very lock.
                if let Some(payment) = self.find(&mut tx).await? {
                    return Ok(payment);
                }
                let order = if self.shop.bugs.has(Bug::PayTwice) {
                    order
                } else {
                    order.if_open()?
                };
                let payment = self.begin_payment(&mut tx, &order).await?;
                tx.commit().await?;
                Ok(payment)
            })
            .await
    }

    async fn begin_payment(&self, tx: &mut AnyConnection, order: &Order) -> Result<Payment, Error> {
        let payment: Payment = sqlx::query_as(
            "INSERT INTO payments
               (tenant_id, user_id, order_id, idempotency_key, amount_cents, status)
             VALUES ($1, $2, $3, $4, $5, 'pending') ON CONFLICT DO NOTHING
             RETURNING id, order_id, amount_cents, status",
        )
        .bind(self.user.tenant_id)
        .bind(self.user.id)
        .bind(self.order_id)
        .bind(self.key)
        .bind(order.total_cents)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::Conflict("this Idempotency-Key pays another order"))?;
        sqlx::query("UPDATE orders SET status = 'paying' WHERE id = $1")
            .bind(self.order_id)
            .execute(&mut *tx)
            .await?;
        Ok(payment)
    }

    /// Charges the locked order and writes all of it down, in one transaction:
    /// `Bug::ChargeInTransaction`.
    async fn pay_at_once(&self) -> Answer<Payment> {
        let (payment, first) = self
            .shop
            .db
            .retry(|| async {
                let mut tx = self.shop.db.begin().await?;
                let order = self.order(&mut tx, self.shop.db.for_update()).await?;
                if let Some(done) = self.find(&mut tx).await? {
                    return Ok((done, false));
                }
                let order = order.if_open()?;
                let provider = &self.shop.provider;
                let charge = provider.charge(order.total_cents, self.key, None).await?;
                let payment = self.begin_payment(&mut tx, &order).await?;
                self.mark_paid(&mut tx, payment.id, &charge).await?;
                tx.commit().await?;
                Ok((payment, true))
            })
            .await?;
        let payment = Payment {
            status: "succeeded".to_owned(),
            ..payment
        };
        Ok(if first { created(payment) } else { ok(payment) })
    }

    /// Writes down that the charge went through.
    async fn settle(&self, payment: Payment, charge: &Charge) -> Answer<Payment> {
        let first = self
            .shop
            .db
            .retry(|| async {
                let mut tx = self.shop.db.begin().await?;
                let first = self.mark_paid(&mut tx, payment.id, charge).await?;
                tx.commit().await?;
                Ok(first)
            })
            .await?;
        let payment = Payment {
            status: "succeeded".to_owned(),
            ..payment
        };
        Ok(if first { created(payment) } else { ok(payment) })
    }

    /// Whether this is what ended the payment.
    async fn mark_paid(
        &self,
        tx: &mut AnyConnection,
        payment_id: i64,
        charge: &Charge,
    ) -> Result<bool, Error> {
        let settled = sqlx::query(
            "UPDATE payments SET status = 'succeeded', charge_id = $1
             WHERE id = $2 AND status = 'pending'",
        )
        .bind(&charge.id)
        .bind(payment_id)
        .execute(&mut *tx)
        .await?;
        let first = settled.rows_affected() == 1;
        if first {
            self.put_order(tx, "paid").await?;
            outbox::announce(tx, "order.paid", self.order_id).await?;
        }
        Ok(first)
    }

    /// Writes down that the charge was refused, so that the order may be paid
    /// with another key.
    async fn decline(&self, payment: Payment) -> Answer<Payment> {
        self.shop
            .db
            .retry(|| async {
                let mut tx = self.shop.db.begin().await?;
                let declined = sqlx::query(
                    "UPDATE payments SET status = 'declined' WHERE id = $1 AND status = 'pending'",
                )
                .bind(payment.id)
                .execute(&mut *tx)
                .await?;
                if declined.rows_affected() == 1 {
                    self.put_order(&mut tx, "open").await?;
                }
                Ok(tx.commit().await?)
            })
            .await?;
        Err(Error::Declined)
    }

    async fn put_order(&self, tx: &mut AnyConnection, status: &str) -> Result<(), Error> {
        sqlx::query("UPDATE orders SET status = $1 WHERE id = $2 AND status = 'paying'")
            .bind(status)
            .bind(self.order_id)
            .execute(tx)
            .await?;
        Ok(())
    }
}
