CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE accounts (
    id BIGINT PRIMARY KEY,
    opening_cents BIGINT NOT NULL,
    balance_cents BIGINT NOT NULL
);

CREATE TABLE payments (
    reference TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    status TEXT NOT NULL CHECK (status IN ('open', 'settled'))
);

CREATE TABLE receipts (
    reference TEXT PRIMARY KEY REFERENCES payments (reference),
    total_cents BIGINT NOT NULL,
    closed BOOLEAN NOT NULL
);

CREATE TABLE lines (
    reference TEXT NOT NULL REFERENCES payments (reference),
    number BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    tax_cents BIGINT NOT NULL,
    PRIMARY KEY (reference, number)
);
