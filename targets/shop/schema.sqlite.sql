-- The shop's tables, for SQLite. The unique indexes that its right conduct rests
-- on are made by the service when it starts (`src/migrations.rs`).

-- Tenants are companies that buy; the catalogue is the same for all of them.
CREATE TABLE tenants (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('manager', 'buyer', 'auditor')),
    -- Who has left the company is not let in, and holds no seat.
    active BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE api_tokens (
    token TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id)
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    -- What was there before the first sale.
    initial_stock INTEGER NOT NULL,
    stock INTEGER NOT NULL
);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    status TEXT NOT NULL CHECK (status IN ('open', 'paying', 'paid')),
    total_cents INTEGER NOT NULL,
    note TEXT,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

-- What an order has taken from stock.
CREATE TABLE stock_movements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id INTEGER NOT NULL REFERENCES products (id),
    order_id INTEGER NOT NULL REFERENCES orders (id),
    quantity INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- Events that a relay sends on to other services.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    subject_id INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE payments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    order_id INTEGER NOT NULL REFERENCES orders (id),
    idempotency_key TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'declined')),
    charge_id TEXT,
    -- What the provider's newest event has said, and that event's number.
    provider_state TEXT NOT NULL DEFAULT 'unknown',
    provider_sequence INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (user_id, idempotency_key)
);

CREATE INDEX payments_charge ON payments (charge_id);

CREATE TABLE webhook_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    payment_id INTEGER NOT NULL REFERENCES payments (id),
    type TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    received_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE wallets (
    user_id INTEGER PRIMARY KEY REFERENCES users (id),
    -- What the wallet held before its first entry.
    opening_cents INTEGER NOT NULL,
    balance_cents INTEGER NOT NULL
);

-- Every change of a wallet, with what it came from: a transfer's id, a coupon's
-- code, a refund's event.
CREATE TABLE wallet_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES wallets (user_id),
    amount_cents INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('transfer', 'coupon', 'refund')),
    reference TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE transfers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_user_id INTEGER NOT NULL REFERENCES wallets (user_id),
    to_user_id INTEGER NOT NULL REFERENCES wallets (user_id),
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    idempotency_key TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE coupons (
    code TEXT PRIMARY KEY,
    credit_cents INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE redemptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    coupon_code TEXT NOT NULL REFERENCES coupons (code),
    user_id INTEGER NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- A slot is a demonstration in the showroom.
CREATE TABLE slots (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE seats (
    slot_id INTEGER NOT NULL REFERENCES slots (id),
    seat TEXT NOT NULL,
    PRIMARY KEY (slot_id, seat)
);

CREATE TABLE reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slot_id INTEGER NOT NULL,
    seat TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (slot_id, seat) REFERENCES seats (slot_id, seat)
);

CREATE TABLE profiles (
    user_id INTEGER PRIMARY KEY REFERENCES users (id),
    display_name TEXT NOT NULL,
    phone TEXT NOT NULL,
    city TEXT NOT NULL
);

-- Every accepted change of a profile's field.
CREATE TABLE profile_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES profiles (user_id),
    field TEXT NOT NULL CHECK (field IN ('display_name', 'phone', 'city')),
    value TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
