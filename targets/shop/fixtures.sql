-- Two companies, little stock, little money: what makes calls conflict.

INSERT INTO tenants (id, name) VALUES (1, 'North'), (2, 'South');

INSERT INTO users (id, tenant_id, name, role) VALUES
    (1, 1, 'Ada', 'manager'),
    (2, 1, 'Ben', 'buyer'),
    (3, 1, 'Eve', 'buyer'),
    (4, 2, 'Cleo', 'manager'),
    (5, 2, 'Dan', 'buyer'),
    (6, 2, 'Otto', 'auditor');

INSERT INTO api_tokens (token, user_id) VALUES
    ('token-ada', 1), ('token-ben', 2), ('token-eve', 3),
    ('token-cleo', 4), ('token-dan', 5), ('token-otto', 6);

INSERT INTO products (id, name, price_cents, initial_stock, stock) VALUES
    (1, 'Anvil', 9900, 1, 1),
    (2, 'Bellows', 4500, 2, 2),
    (3, 'Crucible', 1500, 5, 5),
    (4, 'Dividers', 2000, 10, 5);

-- Five dividers have been sold: three orders are open, two are paid.
INSERT INTO orders (id, tenant_id, user_id, status, total_cents) VALUES
    (1, 1, 2, 'open', 2000),
    (2, 2, 5, 'open', 2000),
    (3, 1, 1, 'open', 2000),
    (4, 1, 3, 'paid', 2000),
    (5, 2, 4, 'paid', 2000);

INSERT INTO order_items (order_id, product_id, quantity, price_cents) VALUES
    (1, 4, 1, 2000), (2, 4, 1, 2000), (3, 4, 1, 2000), (4, 4, 1, 2000), (5, 4, 1, 2000);

INSERT INTO stock_movements (id, product_id, order_id, quantity) VALUES
    (1, 4, 1, 1), (2, 4, 2, 1), (3, 4, 3, 1), (4, 4, 4, 1), (5, 4, 5, 1);

INSERT INTO outbox (id, topic, subject_id) VALUES
    (1, 'order.created', 1), (2, 'order.created', 2), (3, 'order.created', 3),
    (4, 'order.created', 4), (5, 'order.paid', 4),
    (6, 'order.created', 5), (7, 'order.paid', 5);

INSERT INTO payments
    (id, tenant_id, user_id, order_id, idempotency_key, amount_cents, status, charge_id,
     provider_state) VALUES
    (1, 1, 3, 4, 'fixture-1', 2000, 'succeeded', 'ch_north', 'captured'),
    (2, 2, 4, 5, 'fixture-2', 2000, 'succeeded', 'ch_south', 'captured');

INSERT INTO wallets (user_id, opening_cents, balance_cents) VALUES
    (1, 1000, 1000), (2, 500, 500), (3, 200, 200), (4, 1000, 1000), (5, 500, 500);

INSERT INTO coupons (code, credit_cents, max_uses) VALUES ('FIRST', 300, 1), ('SPRING', 100, 3);

INSERT INTO slots (id, name) VALUES (1, 'Forging by hand'), (2, 'Casting bronze');

INSERT INTO seats (slot_id, seat) VALUES (1, 'A1'), (1, 'A2'), (2, 'A1');

INSERT INTO profiles (user_id, display_name, phone, city) VALUES
    (1, 'Ada', '100', 'Oslo'),
    (2, 'Ben', '200', 'Oslo'),
    (3, 'Eve', '300', 'Oslo'),
    (4, 'Cleo', '400', 'Rome'),
    (5, 'Dan', '500', 'Rome');
