//! The bundled shop's own statements.

use super::*;

const SCHEMA: &str = include_str!("../../../../targets/shop/schema.postgres.sql");
/// What the shop adds when it starts.
const INDEXES: &str = "
    CREATE UNIQUE INDEX transfers_key ON transfers (from_user_id, idempotency_key);
    CREATE UNIQUE INDEX redemptions_once ON redemptions (coupon_code, user_id);
    CREATE UNIQUE INDEX reservations_seat ON reservations (slot_id, seat);
    CREATE UNIQUE INDEX webhook_events_id ON webhook_events (event_id);";

const STATEMENTS: &[(&str, &[&str])] = &[
    ("SELECT u.id, u.tenant_id, u.role FROM api_tokens t
      JOIN users u ON u.id = t.user_id WHERE t.token = $1", &["secret"]),
    ("SELECT id, name, price_cents, stock FROM products ORDER BY id", &[]),
    ("SELECT price_cents, stock FROM products WHERE id = $1", &["1"]),
    ("INSERT INTO orders (tenant_id, user_id, status, total_cents) VALUES ($1, $2, 'open', $3)
      RETURNING id, user_id, status, total_cents", &["1", "2", "500"]),
    ("INSERT INTO order_items (order_id, product_id, quantity, price_cents)
      VALUES ($1, $2, $3, $4)", &["1000", "1", "2", "250"]),
    ("UPDATE products SET stock = stock - $1 WHERE id = $2 AND stock >= $1", &["2", "1"]),
    ("UPDATE products SET stock = $1 WHERE id = $2", &["2", "1"]),
    ("INSERT INTO stock_movements (product_id, order_id, quantity) VALUES ($1, $2, $3)", &["1", "1000", "2"]),
    ("INSERT INTO outbox (topic, subject_id) VALUES ($1, $2)", &["order", "1000"]),
    ("SELECT id, user_id, status, total_cents FROM orders
      WHERE tenant_id = $1 AND ($2 = 0 OR user_id = $2) AND id > $3 ORDER BY id LIMIT $4", &["1", "0", "0", "20"]),
    ("SELECT id, order_id, amount_cents, status FROM payments
      WHERE user_id = $1 AND idempotency_key = $2", &["2", "key"]),
    ("SELECT tenant_id, status, total_cents FROM orders WHERE id = $1 FOR UPDATE", &["1000"]),
    ("INSERT INTO payments (tenant_id, user_id, order_id, idempotency_key, amount_cents, status)
      VALUES ($1, $2, $3, $4, $5, 'pending') ON CONFLICT DO NOTHING
      RETURNING id, order_id, amount_cents, status", &["1", "2", "1000", "key", "500"]),
    ("UPDATE orders SET status = 'paying' WHERE id = $1", &["1000"]),
    ("UPDATE payments SET status = 'succeeded', charge_id = $1 WHERE id = $2 AND status = 'pending'", &["ch_1", "1001"]),
    ("UPDATE orders SET status = $1 WHERE id = $2 AND status = 'paying'", &["paid", "1000"]),
    ("INSERT INTO transfers (from_user_id, to_user_id, amount_cents, idempotency_key)
      VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id, to_user_id, amount_cents", &["1", "2", "100", "key"]),
    ("SELECT id, to_user_id, amount_cents FROM transfers WHERE from_user_id = $1 AND idempotency_key = $2", &["1", "key"]),
    ("SELECT w.user_id, w.balance_cents FROM wallets w JOIN users u ON u.id = w.user_id
      WHERE u.tenant_id = $1 AND w.user_id IN ($2, $3) ORDER BY w.user_id", &["1", "1", "2"]),
    ("UPDATE wallets SET balance_cents = balance_cents + $1 WHERE user_id = $2", &["100", "2"]),
    ("INSERT INTO wallet_entries (user_id, amount_cents, reason, reference) VALUES ($1, $2, $3, $4)", &["2", "100", "transfer", "1000"]),
    ("UPDATE coupons SET uses = uses + 1 WHERE code = $1 AND uses < max_uses", &["TEN"]),
    ("INSERT INTO redemptions (coupon_code, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", &["TEN", "2"]),
    ("SELECT credit_cents, max_uses, uses,
        (SELECT COUNT(*) FROM redemptions WHERE coupon_code = code AND user_id = $2) AS mine
      FROM coupons WHERE code = $1", &["TEN", "2"]),
    ("SELECT COUNT(r.id) FROM seats s LEFT JOIN reservations r ON r.slot_id = s.slot_id AND r.seat = s.seat
      WHERE s.slot_id = $1 AND s.seat = $2 GROUP BY s.slot_id, s.seat", &["1", "A1"]),
    ("INSERT INTO reservations (slot_id, seat, user_id) VALUES ($1, $2, $3)
      ON CONFLICT DO NOTHING RETURNING id, slot_id, seat", &["1", "A1", "2"]),
    ("UPDATE profiles SET display_name = COALESCE($1, display_name), phone = COALESCE($2, phone),
        city = COALESCE($3, city) WHERE user_id = $4 RETURNING display_name, phone, city", &["NULL", "1", "NULL", "2"]),
    ("INSERT INTO profile_changes (user_id, field, value) VALUES ($1, $2, $3)", &["2", "phone", "1"]),
    ("SELECT id, user_id, provider_sequence, (SELECT COUNT(*) FROM webhook_events WHERE event_id = $2) AS seen
      FROM payments WHERE charge_id = $1", &["ch_1", "evt_1"]),
    ("INSERT INTO webhook_events (event_id, payment_id, type, sequence)
      VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", &["evt_1", "1001", "succeeded", "3"]),
    ("UPDATE payments SET provider_state = $1, provider_sequence = $2 WHERE id = $3 AND provider_sequence < $2", &["succeeded", "3", "1001"]),
    ("SELECT 1 FROM pg_advisory_xact_lock(7467)", &[]),
    ("CREATE UNIQUE INDEX IF NOT EXISTS transfers_key ON transfers (from_user_id, idempotency_key)", &[]),
    ("BEGIN", &[]),
    ("COMMIT", &[]),
];

#[tokio::test]
async fn each_statement_of_the_shop_is_understood() {
    let (database, catalog) = database(&[SCHEMA, INDEXES]).await;
    let listed = listed(STATEMENTS, &catalog);
    database.close().await.unwrap();
    insta::assert_snapshot!("shop", listed);
}
