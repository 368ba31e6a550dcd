DROP TABLE IF EXISTS account, note, copied, run, mood_of;
DROP TYPE IF EXISTS mood;
-- A type of the user's own: some drivers ask what it is when they first meet it.
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE mood_of (account int PRIMARY KEY, now mood NOT NULL, before mood[] NOT NULL);
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL UNIQUE, balance bigint NOT NULL);
CREATE TABLE note (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text, amount numeric, at timestamptz, data jsonb, raw bytea, tags text[]
);
CREATE TABLE copied (n int, text text);
CREATE TABLE run (n int NOT NULL);
INSERT INTO account VALUES (1, 'ada', 100), (2, 'ben', 100);
INSERT INTO mood_of VALUES (1, 'calm', '{cross, calm}');
INSERT INTO run VALUES (0);
