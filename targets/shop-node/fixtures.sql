-- Little stock: two who buy are enough to sell too much.

INSERT INTO products (id, name, price_cents, initial_stock, stock) VALUES
    (1, 'Anvil', 9900, 1, 1),
    (2, 'Bellows', 4500, 2, 2),
    (3, 'Crucible', 1500, 5, 3);

INSERT INTO orders (id, customer, product_id, quantity, total_cents) VALUES
    (1, 'ann', 3, 1, 1500),
    (2, 'bob', 3, 1, 1500);
