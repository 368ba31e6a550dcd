//! Coupons: each has so many uses, one for a customer, and credits a wallet.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::app::Shop;
use crate::auth::User;
use crate::bugs::Bug;
use crate::error::{Answer, Body, Error, created};
use crate::text;
use crate::wallet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRedemption {
    #[serde(deserialize_with = "text::kept")]
    code: String,
}

#[derive(Serialize)]
pub struct Redemption {
    code: String,
    credited_cents: i64,
}

#[derive(sqlx::FromRow)]
struct Coupon {
    credit_cents: i64,
    max_uses: i64,
    uses: i64,
    mine: i64,
}

const USED_UP: Error = Error::Conflict("this coupon is used up");
const ALREADY: Error = Error::Conflict("you have redeemed this coupon");

/// `POST /api/coupons/redeem`
pub async fn redeem(
    State(shop): State<Arc<Shop>>,
    user: User,
    Body(NewRedemption { code }): Body<NewRedemption>,
) -> Answer<Redemption> {
    user.may_act()?;
    let coupon = look_up(&shop, &user, &code).await?;
    shop.db
        .retry(|| async {
            let mut tx = shop.db.begin().await?;
            let update = if shop.bugs.has(Bug::CouponOveruse) {
                "UPDATE coupons SET uses = uses + 1 WHERE code = $1"
            } else {
                "UPDATE coupons SET uses = uses + 1 WHERE code = $1 AND uses < max_uses"
            };
            let counted = sqlx::query(update).bind(&code).execute(&mut *tx).await?;
            if counted.rows_affected() == 0 {
                return Err(USED_UP);
            }
            let redeemed = sqlx::query(
                "INSERT INTO redemptions (coupon_code, user_id) VALUES ($1, $2)
             ON CONFLICT DO NOTHING",
            )
            .bind(&code)
            .bind(user.id)
            .execute(&mut *tx)
            .await?;
            if redeemed.rows_affected() == 0 {
                return Err(ALREADY);
            }
            wallet::credit(&mut tx, user.id, coupon.credit_cents, "coupon", &code).await?;
            Ok(tx.commit().await?)
        })
        .await?;
    Ok(created(Redemption {
        credited_cents: coupon.credit_cents,
        code,
    }))
}

/// Looks up the coupon, and refuses early what plainly cannot be redeemed.
async fn look_up(shop: &Shop, user: &User, code: &str) -> Result<Coupon, Error> {
    let coupon: Coupon = sqlx::query_as(
        "SELECT credit_cents, max_uses, uses,
           (SELECT COUNT(*) FROM redemptions WHERE coupon_code = code AND user_id = $2) AS mine
         FROM coupons WHERE code = $1",
    )
    .bind(code)
    .bind(user.id)
    .fetch_optional(shop.db.pool())
    .await?
    .ok_or(Error::NotFound("coupon"))?;
    if coupon.mine > 0 {
        Err(ALREADY)
    } else if coupon.uses >= coupon.max_uses {
        Err(USED_UP)
    } else {
        Ok(coupon)
    }
}
