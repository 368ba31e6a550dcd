//! One request after the other, of those who read orders, write notes, leave and
//! return: who may, what it looks like, and how each bug of these shows to one request.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

#[cfg(test)]
mod support;

use serde_json::{Value, json};
use support::{Shop, command};

const READ: &str = "GET /api/orders/4";
const NOTE: &str = "PUT /api/orders/1/note";

async fn get(shop: &Shop, user: &str, request: &str) -> (u16, Value) {
    let (status, body) = shop.send(user, request, "", &Value::Null).await;
    (status.as_u16(), body)
}

async fn ids(shop: &Shop, user: &str, request: &str) -> (Vec<i64>, Value) {
    let (status, page) = get(shop, user, request).await;
    assert_eq!(status, 200, "{request}: {page}");
    let orders = page["orders"].as_array().unwrap();
    let ids = orders.iter().map(|order| order["id"].as_i64().unwrap());
    (ids.collect(), page["next"].clone())
}

/// The note of the order that is written to.
async fn noted(shop: &Shop, text: &str) -> bool {
    let sql = format!("SELECT COUNT(*) FROM orders WHERE id = 1 AND note = '{text}'");
    shop.number(&sql).await == 1
}

#[tokio::test]
async fn an_order_is_read_by_its_buyer_and_by_who_oversees_the_company() {
    let shop = Shop::start().await;
    let (status, order) = get(&shop, "eve", READ).await;
    assert_eq!(status, 200);
    let expected = json!({
        "id": 4, "user_id": 3, "status": "paid", "total_cents": 2000, "note": null,
        "items": [{ "product_id": 4, "quantity": 1, "price_cents": 2000 }],
    });
    assert_eq!(order, expected);
    for (user, order, expected) in [
        ("ada", "4", 200),
        ("ben", "4", 404),
        ("cleo", "4", 404),
        ("otto", "4", 404),
        ("otto", "5", 200),
        ("dan", "5", 404),
        ("ada", "99", 404),
        ("ada", "four", 404),
        ("ada", "99999999999999999999", 404),
        ("nobody", "4", 401),
    ] {
        let (status, body) = get(&shop, user, &format!("GET /api/orders/{order}")).await;
        assert_eq!(status, expected, "{user} {order}");
        assert!(status == 200 || body["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_note_is_written_and_cleared_by_who_may() {
    let shop = Shop::start().await;
    for note in [json!("Ring twice"), Value::Null, json!("x".repeat(200))] {
        let body = json!({ "note": note });
        let (status, order) = shop.send("ben", NOTE, "", &body).await;
        assert_eq!((status.as_u16(), &order["note"]), (200, &note));
        assert_eq!(order["items"][0]["product_id"], 4);
        let (_, read) = get(&shop, "ada", "GET /api/orders/1").await;
        assert_eq!(read, order);
    }
    let note = json!({ "note": "Ring twice" });
    for (user, request, body, expected) in [
        ("ada", NOTE, &note, 200),
        ("eve", NOTE, &note, 404),
        ("cleo", NOTE, &note, 404),
        ("otto", "PUT /api/orders/2/note", &note, 403),
        ("otto", NOTE, &note, 403),
        ("ben", "PUT /api/orders/one/note", &note, 404),
        ("ben", NOTE, &json!({}), 422),
        ("ben", NOTE, &json!({ "note": 5 }), 422),
        ("ben", NOTE, &json!({ "note": "a\u{0}b" }), 422),
        ("ben", NOTE, &json!({ "note": "x".repeat(201) }), 422),
        ("ben", NOTE, &json!({ "note": "x", "status": "paid" }), 422),
        ("ben", NOTE, &json!([]), 422),
    ] {
        let (status, body) = shop.send(user, request, "", body).await;
        assert_eq!(status.as_u16(), expected, "{user} {request}: {body}");
        assert!(expected == 200 || body["error"].is_string(), "{body}");
        assert!(noted(&shop, "Ring twice").await, "{user} {request}");
    }
    let others = "SELECT COUNT(*) FROM orders WHERE id <> 1 AND note IS NOT NULL";
    assert_eq!(shop.number(others).await, 0);
}

#[tokio::test]
async fn the_history_is_paged_newest_first() {
    let shop = Shop::start().await;
    for (user, query, expected, next) in [
        ("ada", "", vec![4, 3, 1], Value::Null),
        ("ada", "?limit=2", vec![4, 3], json!("3")),
        ("ada", "?limit=2&cursor=3", vec![1], Value::Null),
        ("ada", "?limit=3&cursor=", vec![4, 3, 1], Value::Null),
        ("ada", "?cursor=1", vec![], Value::Null),
        ("eve", "", vec![4], Value::Null),
        ("otto", "?limit=1", vec![5], json!("5")),
    ] {
        let page = ids(&shop, user, &format!("GET /api/history{query}")).await;
        assert_eq!(page, (expected, next), "{user} {query}");
    }
    for (query, expected) in [
        ("limit=x", 400),
        ("limit=0", 422),
        ("limit=101", 422),
        ("cursor=x", 422),
        ("cursor=-1", 422),
        ("cursor=0", 422),
    ] {
        let (status, body) = get(&shop, "ada", &format!("GET /api/history?{query}")).await;
        assert_eq!(status, expected, "{query}");
        assert!(body["error"].is_string(), "{query}: {body}");
    }
    let (_, history) = get(&shop, "dan", "GET /api/history").await;
    let (_, order) = get(&shop, "dan", "GET /api/orders/2").await;
    assert_eq!(history, json!({ "orders": [order], "next": null }));
}

#[tokio::test]
async fn who_leaves_is_shut_out_and_holds_no_seat_until_they_return() {
    let shop = Shop::start().await;
    let seat = json!({ "slot_id": 1, "seat": "A1" });
    let ask = async |user: &str, request: &str| {
        let (status, body) = shop.send(user, request, "", &Value::Null).await;
        (status.as_u16(), body)
    };
    let reserve = "POST /api/reservations";
    assert_eq!(shop.status("ben", reserve, seat.clone()).await, 201);
    let (leave, back) = (
        "POST /api/colleagues/2/leave",
        "POST /api/colleagues/2/return",
    );
    for (user, request, expected) in [
        ("eve", leave, 403),
        ("otto", leave, 403),
        ("eve", back, 403),
        ("cleo", leave, 404),
        ("cleo", back, 404),
        ("ada", "POST /api/colleagues/1/leave", 422),
        ("ada", "POST /api/colleagues/1/return", 422),
        ("ada", "POST /api/colleagues/99/leave", 404),
        ("ada", "POST /api/colleagues/ben/leave", 404),
    ] {
        let (status, body) = ask(user, request).await;
        assert_eq!(status, expected, "{user} {request}");
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(ask("ben", "GET /api/products").await.0, 200);
    for _ in 0..2 {
        let gone = json!({ "id": 2, "active": false });
        assert_eq!(ask("ada", leave).await, (200, gone));
        assert_eq!(ask("ben", "GET /api/products").await.0, 401);
        assert_eq!(shop.number("SELECT COUNT(*) FROM reservations").await, 0);
    }
    assert_eq!(shop.status("ben", reserve, seat.clone()).await, 401);
    assert_eq!(shop.status("eve", reserve, seat).await, 201);
    for _ in 0..2 {
        let here = json!({ "id": 2, "active": true });
        assert_eq!(ask("ada", back).await, (200, here));
        assert_eq!(ask("ben", "GET /api/products").await.0, 200);
    }
    assert_eq!(shop.number("SELECT COUNT(*) FROM reservations").await, 1);
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn what_nobody_can_mean_is_refused_in_the_agreed_shape() {
    let shop = Shop::start().await;
    let nul = "a\u{0}";
    for (request, body, expected) in [
        ("POST /api/coupons/redeem", json!({ "code": nul }), 422),
        (
            "POST /api/reservations",
            json!({ "slot_id": 1, "seat": nul }),
            422,
        ),
        ("PATCH /api/profile", json!({ "city": nul }), 422),
        (
            "POST /api/wallet/transfer",
            json!({ "to_user_id": 1, "amount_cents": i64::MAX }),
            409,
        ),
        ("GET /api/nothing", Value::Null, 404),
    ] {
        let (status, answer) = shop.send("ben", request, "k", &body).await;
        assert_eq!(status.as_u16(), expected, "{request}");
        assert!(answer["error"].is_string(), "{request}: {answer}");
    }
    let profile = json!({ "city": "Rome" });
    assert_eq!(
        shop.status("otto", "PATCH /api/profile", profile).await,
        403
    );
    for cents in [0, i64::MAX] {
        let refund = json!({
            "id": "r", "type": "payment.refunded", "sequence": 2, "charge_id": "ch_north",
            "amount_cents": cents,
        });
        assert_eq!(shop.event(&refund).await, 422);
    }
    assert_eq!(shop.broken().await, [""; 0]);
}

#[tokio::test]
async fn a_missing_look_at_who_asks_shows() {
    let shop = Shop::with_bugs("list_all_tenants,role_unchecked,order_by_id").await;
    let count = async |user: &str| {
        let (_, orders) = get(&shop, user, "GET /api/orders").await;
        orders.as_array().unwrap().len()
    };
    assert_eq!(count("ada").await, 5);
    assert_eq!(count("otto").await, 5);
    assert_eq!(count("dan").await, 1);
    assert_eq!(get(&shop, "dan", READ).await.0, 200);
    let note = json!({ "note": "seen" });
    let (status, _) = shop.send("otto", "PUT /api/orders/2/note", "", &note).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_note_that_is_denied_stays_if_it_is_written_first() {
    let shop = Shop::with_bugs("denied_but_written").await;
    let note = json!({ "note": "mine" });
    assert_eq!(shop.status("cleo", NOTE, note.clone()).await, 404);
    assert!(noted(&shop, "mine").await);
    assert_eq!(shop.status("ben", NOTE, note).await, 200);
}

#[tokio::test]
async fn an_answer_of_another_shape_shows() {
    let shop = Shop::with_bugs("renamed_field,note_required,unknown_status,bare_error").await;
    let (_, order) = get(&shop, "eve", READ).await;
    assert_eq!(
        (&order["total"], &order["total_cents"], &order["status"]),
        (&json!(2000), &Value::Null, &json!("settled"))
    );
    let (_, history) = get(&shop, "ada", "GET /api/history").await;
    assert_eq!(history["orders"][0]["status"], "settled");
    assert_eq!(history["orders"][0]["total_cents"], 2000);
    let null = json!({ "note": null });
    assert_eq!(shop.text("ben", NOTE, &null).await, "write a note");
    let (status, order) = shop.send("ben", NOTE, "", &json!({ "note": "x" })).await;
    assert_eq!(
        (status.as_u16(), &order["total_cents"]),
        (200, &json!(2000))
    );
}

#[tokio::test]
async fn a_page_by_its_offset_repeats_a_row_if_one_is_inserted() {
    let shop = Shop::with_bugs("page_by_offset,n_plus_one").await;
    let page = |cursor: &Value| {
        let cursor = cursor.as_str().unwrap_or_default();
        format!("GET /api/history?limit=2&cursor={cursor}")
    };
    let (first, next) = ids(&shop, "ada", &page(&Value::Null)).await;
    assert_eq!(first, [4, 3]);
    assert_eq!(
        ids(&shop, "ada", &page(&next)).await,
        (vec![1], Value::Null)
    );
    let order = json!({ "items": [{ "product_id": 3, "quantity": 1 }] });
    assert_eq!(shop.status("ben", "POST /api/orders", order).await, 201);
    assert_eq!(ids(&shop, "ada", &page(&next)).await.0, [3, 1]);
}

/// The migration's steps, as SQLite takes them.
const STEPS: [&str; 3] = [
    "",
    "ALTER TABLE products ADD COLUMN available INTEGER",
    "UPDATE products SET available = stock",
];

/// What two versions answer to an order of one each, version 1 first, at each moment of
/// the migration, in a shop of these mistakes; and which rules that breaks.
async fn two_versions(bugs: &str) -> Vec<([u16; 2], Vec<String>)> {
    let mut seen = Vec::new();
    for moment in 0..STEPS.len() {
        let shop = Shop::with_bugs(bugs).await;
        let next = shop.next().await;
        for step in &STEPS[..=moment] {
            shop.run(step).await;
        }
        let order = |product: i64| json!({ "items": [{ "product_id": product, "quantity": 1 }] });
        let first = shop.status("ben", "POST /api/orders", order(1)).await;
        let second = next.status("dan", "POST /api/orders", order(1)).await;
        assert_eq!(first, 201);
        let other = next.status("dan", "POST /api/orders", order(2)).await;
        seen.push(([second, other], shop.broken().await));
        if bugs.is_empty() && moment > 0 {
            let behind = "SELECT COUNT(*) FROM products WHERE id = 2 AND available <> stock";
            assert_eq!(shop.number(behind).await, 0);
        }
    }
    seen
}

#[tokio::test]
async fn the_second_version_sells_what_is_there_in_every_shape_of_the_schema() {
    let right = || ([409, 201], vec![]);
    assert_eq!(two_versions("").await, [right(), right(), right()]);
    assert_eq!(
        two_versions("half_migrated_write").await,
        [right(), ([409, 500], vec![]), right()]
    );
    let oversold = vec!["sold-within-stock".to_owned()];
    assert_eq!(
        two_versions("stock_in_two_places").await,
        [right(), right(), ([201, 201], oversold)]
    );
}

#[test]
fn an_unknown_version_ends_the_start() {
    let output = command("sqlite::memory:", "http://127.0.0.1:9", "")
        .env("SHOP_VERSION", "3")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("SHOP_VERSION is `3`"), "{told}");
}
