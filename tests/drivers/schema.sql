DROP TABLE IF EXISTS account, note, copied, run;
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL UNIQUE, balance bigint NOT NULL);
CREATE TABLE note (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text, amount numeric, at timestamptz, data jsonb, raw bytea, tags text[]
);
CREATE TABLE copied (n int, text text);
CREATE TABLE run (n int NOT NULL);
INSERT INTO account VALUES (1, 'ada', 100), (2, 'ben', 100);
INSERT INTO run VALUES (0);
