INSERT INTO settings (name, value) VALUES
    ('currency', 'EUR'), ('fee', 'none'), ('language', 'en'),
    ('limit', '100000'), ('rounding', 'down'), ('tax', '20');

INSERT INTO accounts (id, opening_cents, balance_cents) VALUES
    (1, 5000, 5000), (2, 0, 0), (3, 120000, 120000);
