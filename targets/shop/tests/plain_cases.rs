//! One request after the other: what each endpoint answers and leaves behind.

#[cfg(test)]
mod support;

use serde_json::{Value, json};
use support::{DECLINED, Shop, command};

#[tokio::test]
async fn a_caller_needs_a_token_and_an_auditor_only_reads() {
    let shop = Shop::start().await;
    let order = || json!({ "items": [{ "product_id": 3, "quantity": 1 }] });
    assert_eq!(
        shop.status("nobody", "GET /api/products", Value::Null)
            .await,
        401
    );
    assert_eq!(
        shop.status("otto", "GET /api/products", Value::Null).await,
        200
    );
    assert_eq!(shop.status("otto", "POST /api/orders", order()).await, 403);
    assert_eq!(shop.status("ada", "POST /api/orders", order()).await, 201);
}

#[tokio::test]
async fn an_order_takes_stock_until_there_is_none() {
    let shop = Shop::start().await;
    let order = |product: i64, quantity: i64| json!({ "items": [{ "product_id": product, "quantity": quantity }] });
    let (status, body) = shop.send("ben", "POST /api/orders", "", &order(2, 2)).await;
    assert_eq!(status, 201);
    assert_eq!(body["total_cents"], 9000);
    for (product, quantity, status) in [(2, 1, 409), (9, 1, 404), (2, 0, 422)] {
        let answered = shop.status("ben", "POST /api/orders", order(product, quantity));
        assert_eq!(answered.await, status, "product {product}");
    }
    assert_eq!(
        shop.status("ben", "POST /api/orders", json!({ "items": [] }))
            .await,
        422
    );
    // The second line is sold out, so that the first must not be taken.
    let two = json!({ "items": [
        { "product_id": 3, "quantity": 1 }, { "product_id": 2, "quantity": 1 },
    ] });
    assert_eq!(shop.status("ben", "POST /api/orders", two).await, 409);
    assert_eq!(
        shop.number("SELECT stock FROM products WHERE id = 3").await,
        5
    );
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn orders_are_paged_and_each_sees_what_is_theirs() {
    let shop = Shop::start().await;
    for (user, page, expected) in [
        ("ada", "", vec![1, 3, 4]),
        ("ada", "?limit=2", vec![1, 3]),
        ("ada", "?limit=2&after=3", vec![4]),
        ("ben", "", vec![1]),
        ("cleo", "", vec![2, 5]),
    ] {
        let request = format!("GET /api/orders{page}");
        let (_, orders) = shop.send(user, &request, "", &Value::Null).await;
        let ids: Vec<i64> = orders
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids, expected, "{user} {page}");
    }
    assert_eq!(
        shop.status("ada", "GET /api/orders?limit=x", Value::Null)
            .await,
        400
    );
}

#[tokio::test]
async fn a_payment_charges_once_and_repeats_its_answer() {
    let shop = Shop::start().await;
    let pay = "POST /api/payments";
    let order = |id: i64| json!({ "order_id": id });
    assert_eq!(shop.status("ben", pay, order(1)).await, 422, "no key");
    let (status, first) = shop.send("ben", pay, "k1", &order(1)).await;
    assert_eq!(status, 201);
    let (status, again) = shop.send("ben", pay, "k1", &order(1)).await;
    assert_eq!((status.as_u16(), &again), (200, &first));
    assert_eq!(shop.charges(), [Some("user-2-k1".to_owned())]);
    for (user, key, id, expected) in [
        ("ben", "k2", 1, 409),
        ("ben", "k1", 3, 422),
        ("ben", "k3", 2, 404),
        ("ben", "k4", 99, 404),
        ("dan", "k1", 2, 201),
    ] {
        let (status, _) = shop.send(user, pay, key, &order(id)).await;
        assert_eq!(status.as_u16(), expected, "{user} {key} {id}");
    }
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_declined_order_can_be_paid_with_another_key() {
    let shop = Shop::start().await;
    let order = json!({ "order_id": 3 });
    for (key, expected) in [(DECLINED, 402), (DECLINED, 402), ("k1", 201)] {
        let (status, _) = shop.send("ada", "POST /api/payments", key, &order).await;
        assert_eq!(status.as_u16(), expected, "{key}");
    }
    assert_eq!(
        shop.charges().len(),
        2,
        "a refusal is repeated, not asked for again"
    );
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_coupon_has_its_uses_and_one_a_customer() {
    let shop = Shop::start().await;
    let redeem = async |user: &str, code: &str| {
        let body = json!({ "code": code });
        shop.status(user, "POST /api/coupons/redeem", body).await
    };
    assert_eq!(redeem("ben", "FIRST").await, 201);
    assert_eq!(redeem("dan", "FIRST").await, 409, "used up");
    assert_eq!(redeem("ben", "SPRING").await, 201);
    assert_eq!(redeem("ben", "SPRING").await, 409, "by the same customer");
    assert_eq!(redeem("ben", "AUTUMN").await, 404);
    assert_eq!(
        shop.number("SELECT balance_cents FROM wallets WHERE user_id = 2")
            .await,
        900
    );
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_transfer_moves_what_is_there_once() {
    let shop = Shop::start().await;
    let transfer = async |key: &str, to: i64, amount: i64| {
        let body = json!({ "to_user_id": to, "amount_cents": amount });
        let (status, body) = shop
            .send("ben", "POST /api/wallet/transfer", key, &body)
            .await;
        (status.as_u16(), body)
    };
    let (status, first) = transfer("k1", 1, 300).await;
    assert_eq!(status, 201);
    assert_eq!(transfer("k1", 1, 300).await, (200, first));
    for (key, to, amount, expected) in [
        ("k1", 1, 200, 422),
        ("k2", 3, 201, 409),
        ("k3", 4, 1, 404),
        ("k4", 2, 1, 422),
        ("k5", 3, -1, 422),
        ("k6", 3, 200, 201),
    ] {
        assert_eq!(transfer(key, to, amount).await.0, expected, "{key}");
    }
    assert_eq!(
        shop.number("SELECT balance_cents FROM wallets WHERE user_id = 2")
            .await,
        0
    );
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_seat_is_booked_once() {
    let shop = Shop::start().await;
    let book = async |user: &str, seat: &str| {
        let body = json!({ "slot_id": 1, "seat": seat });
        shop.status(user, "POST /api/reservations", body).await
    };
    assert_eq!(book("ben", "A1").await, 201);
    assert_eq!(book("dan", "A1").await, 409);
    assert_eq!(book("dan", "A2").await, 201);
    assert_eq!(book("dan", "Z9").await, 404);
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_change_of_a_profile_leaves_the_other_fields() {
    let shop = Shop::start().await;
    let change = json!({ "phone": "777" });
    let (_, profile) = shop.send("ben", "PATCH /api/profile", "", &change).await;
    let expected = json!({ "display_name": "Ben", "phone": "777", "city": "Oslo" });
    assert_eq!(profile, expected);
    assert_eq!(
        shop.status("ben", "PATCH /api/profile", json!({})).await,
        422
    );
    assert_eq!(
        shop.status("ben", "PATCH /api/profile", json!({ "role": "x" }))
            .await,
        422
    );
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn an_event_counts_once_and_an_old_one_changes_no_state() {
    let shop = Shop::start().await;
    let event = |id: &str, kind: &str, sequence: i64| json!({ "id": id, "type": kind, "sequence": sequence, "charge_id": "ch_north", "amount_cents": 50 });
    let refund = event("e2", "payment.refunded", 2);
    for event in [&refund, &refund, &event("e1", "payment.captured", 1)] {
        assert_eq!(shop.event(event).await, 200);
    }
    assert_eq!(
        shop.number("SELECT balance_cents FROM wallets WHERE user_id = 3")
            .await,
        250
    );
    assert_eq!(
        shop.number("SELECT provider_sequence FROM payments WHERE id = 1")
            .await,
        2
    );
    assert_eq!(shop.deliver(refund.to_string(), "00").await, 401);
    assert_eq!(shop.event(&json!({ "id": "e3" })).await, 422);
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn every_bug_but_a_missing_check_is_invisible_to_one_request_at_a_time() {
    let bugs = "oversell,lost_stock,oversell_process_lock,order_early_commit,outbox_after_commit,\
                double_charge,key_not_unique,pay_twice,coupon_overuse,coupon_twice,overdraft,\
                lost_transfer,double_booking,profile_lost_update,webhook_replay,webhook_backwards,\
                items_apart,event_before_commit,retry_lost_connection,key_before_effect,\
                webhook_dropped,sql_in_answer,refund_apart,silence_is_decline,revoke_outlived,\
                n_plus_one,half_migrated_write";
    // Those that take the place of another of these.
    for bugs in [
        bugs,
        "charge_in_transaction,swallowed_event,page_by_offset,stock_in_two_places",
    ] {
        is_right_one_request_at_a_time(&Shop::with_bugs(bugs).await).await;
    }
}

async fn is_right_one_request_at_a_time(shop: &Shop) {
    let order = json!({ "items": [{ "product_id": 1, "quantity": 1 }] });
    let transfer = json!({ "to_user_id": 1, "amount_cents": 400 });
    let event =
        json!({ "id": "e", "type": "payment.captured", "sequence": 1, "charge_id": "ch_north" });
    let refund = json!({
        "id": "r", "type": "payment.refunded", "sequence": 2, "charge_id": "ch_north",
        "amount_cents": 50,
    });
    let seat = json!({ "slot_id": 1, "seat": "A1" });
    for (request, body, first, second) in [
        ("POST /api/orders", &order, 201, 409),
        ("POST /api/payments", &json!({ "order_id": 1 }), 201, 200),
        (
            "POST /api/coupons/redeem",
            &json!({ "code": "FIRST" }),
            201,
            409,
        ),
        ("POST /api/wallet/transfer", &transfer, 201, 200),
        ("POST /api/reservations", &seat, 201, 409),
        ("PATCH /api/profile", &json!({ "city": "Rome" }), 200, 200),
    ] {
        for expected in [first, second] {
            let (status, _) = shop.send("ben", request, "k", body).await;
            assert_eq!(status.as_u16(), expected, "{request}");
        }
    }
    for event in [&event, &event, &refund, &refund] {
        assert_eq!(shop.event(event).await, 200);
    }
    assert_eq!(shop.charges().len(), 1);
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_company_pays_anothers_order_if_the_check_is_missing() {
    let shop = Shop::with_bugs("tenant_leak").await;
    let (status, _) = shop
        .send("ben", "POST /api/payments", "k", &json!({ "order_id": 2 }))
        .await;
    assert_eq!(status, 201);
    assert_eq!(shop.broken().await, ["own-companys-orders"]);
}

#[test]
fn an_unknown_bug_ends_the_start() {
    let output = command("sqlite::memory:", "http://127.0.0.1:9", "oversel")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("`oversel`") && told.contains("oversell_process_lock"),
        "{told}"
    );
}
