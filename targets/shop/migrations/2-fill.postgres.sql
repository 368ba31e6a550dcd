-- The rows in the order in which all check-outs lock them, so that no two wait for each
-- other.
BEGIN;
SELECT id FROM products ORDER BY id FOR UPDATE;
UPDATE products SET available = stock;
COMMIT;
