-- Rows whose ids, tokens and times differ from run to run. They refer to each other by
-- those ids, in columns and within texts.

CREATE TABLE authors (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    points BIGINT NOT NULL CHECK (points >= 0)
);

CREATE TABLE notes (
    id UUID PRIMARY KEY,
    author_id UUID NOT NULL REFERENCES authors (id),
    text TEXT NOT NULL,
    -- Whoever shows it may change the note.
    token TEXT NOT NULL UNIQUE,
    likes BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What happened to a note; `details` is JSON, and says the note's id once more.
CREATE TABLE activities (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    note_id UUID NOT NULL REFERENCES notes (id),
    kind TEXT NOT NULL CHECK (kind IN ('created', 'liked')),
    details TEXT NOT NULL,
    happened_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE transfers (
    id UUID PRIMARY KEY,
    from_id UUID NOT NULL REFERENCES authors (id),
    to_id UUID NOT NULL REFERENCES authors (id),
    points BIGINT NOT NULL CHECK (points > 0),
    receipt TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
