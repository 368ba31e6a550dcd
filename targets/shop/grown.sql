-- Some ten times the orders of the fixtures, for PostgreSQL and for SQLite: forty more,
-- open ones of dividers, whose stock was so much larger at first. Their ids lie between
-- the fixtures' and the first that is generated.

UPDATE products SET initial_stock = initial_stock + 40 WHERE id = 4;

INSERT INTO orders (id, tenant_id, user_id, status, total_cents, note)
SELECT 100 + n, u.tenant_id, u.id, 'open', 2000, CASE WHEN n % 4 = 0 THEN 'Ring twice' END
FROM (
    SELECT 10 * tens.n + ones.n AS n
    FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) tens,
        (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL
         SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL
         SELECT 8 UNION ALL SELECT 9) ones
) numbers
JOIN users u ON u.id = numbers.n % 5 + 1;

INSERT INTO order_items (order_id, product_id, quantity, price_cents)
SELECT id, 4, 1, 2000 FROM orders WHERE id BETWEEN 100 AND 139;

INSERT INTO stock_movements (id, product_id, order_id, quantity)
SELECT id, 4, id, 1 FROM orders WHERE id BETWEEN 100 AND 139;

INSERT INTO outbox (id, topic, subject_id)
SELECT id, 'order.created', id FROM orders WHERE id BETWEEN 100 AND 139;
