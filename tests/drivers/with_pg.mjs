// The work of drivers.rs, with node-postgres: what has no parameters is simple SQL, the
// rest is prepared without a name each time, unless it is given one.

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import pg from "pg";
import Cursor from "pg-cursor";
import copies from "pg-copy-streams";

const URL = process.env.DATABASE_URL;
const tell = (section, ...values) => console.log(`${section}: ${values.map((value) => JSON.stringify(value)).join(" ")}`);

async function connect() {
  const client = new pg.Client(URL);
  await client.connect();
  return client;
}

// The SQLSTATE that some work fails with.
const state = (work) => work.then(() => "no error", (error) => error.code ?? error.message);

const rows = async (db, text, values) => (await db.query({ text, values, rowMode: "array" })).rows;
const balances = (db) => rows(db, "SELECT balance FROM account ORDER BY id");

async function queries(db) {
  const text = "SELECT $1::int + 1, owner FROM account WHERE id = $2";
  for (let n = 0; n < 8; n++) {
    tell("queries", await rows(db, text, [n, 1 + (n % 2)]));
    const named = await db.query({ name: "owner", text, values: [n, 1 + (n % 2)], rowMode: "array" });
    tell("queries", named.rows);
  }
  const insert = "INSERT INTO note (text, amount, at, data, raw, tags) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *";
  const at = new Date("2024-02-29T12:30:00Z");
  tell("queries", await rows(db, insert, ["naïve ☃", "12.50", at, { a: [1, null] }, Buffer.from([0, 255]), ["x", null]]));
  tell("queries", await rows(db, insert, Array(6).fill(null)));
  tell("queries", (await db.query("UPDATE account SET balance = balance + 0")).rowCount);
  tell("queries", await rows(db, "SELECT 1 FROM account WHERE false"));
  tell("queries", (await rows(db, "SELECT $1::text", ["x".repeat(1_000_000)]))[0][0].length);
  tell("queries", (await rows(db, "SELECT generate_series(1, 50000)")).length);
  tell("queries", (await db.query("SELECT 1; SELECT 2")).map((result) => result.rows));
  const cursor = db.query(new Cursor("SELECT generate_series(1, $1::int) AS n", [100]));
  for (let part = [0]; part.length > 0; ) {
    part = await cursor.read(40);
    tell("queries", part.length);
  }
  await cursor.close();
  const at_once = [1, 2, 3].map((id) => rows(db, "SELECT balance FROM account WHERE id = $1", [id]));
  tell("queries", await Promise.all(at_once));
}

async function within(db, work, end = "COMMIT") {
  await db.query("BEGIN");
  await work();
  await db.query(end);
}

async function transactions(db) {
  await within(db, async () => {
    await db.query("UPDATE account SET balance = balance - $1 WHERE id = 1", [10]);
    await db.query("UPDATE account SET balance = balance + $1 WHERE id = 2", [10]);
  });
  tell("transactions", await balances(db));
  const undone = async () => {
    await db.query("UPDATE account SET balance = 0");
    tell("transactions", await balances(db));
  };
  await within(db, undone, "ROLLBACK");
  tell("transactions", await balances(db));
  await db.query("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY");
  tell("transactions", await rows(db, "SHOW transaction_isolation"));
  tell("transactions", await state(db.query("UPDATE account SET balance = 0")));
  await db.query("ROLLBACK");
}

async function savepoints(db) {
  await within(db, async () => {
    await db.query("UPDATE account SET balance = balance + 1 WHERE id = 1");
    await db.query("SAVEPOINT inner_one");
    await db.query("UPDATE account SET balance = 0 WHERE id = $1", [2]);
    tell("savepoints", await state(db.query("INSERT INTO account VALUES ($1, 'twice', 0)", [1])));
    await db.query("ROLLBACK TO SAVEPOINT inner_one");
    await db.query("SAVEPOINT inner_two");
    await db.query("UPDATE account SET balance = balance + 1 WHERE id = $1", [1]);
    await db.query("RELEASE SAVEPOINT inner_two");
  });
  tell("savepoints", await balances(db));
}

async function copy(db) {
  const lines = Array.from({ length: 20000 }, (_, n) => `${n}\tline ${n} ☃\n`);
  const into = db.query(copies.from("COPY copied FROM STDIN"));
  await pipeline(Readable.from(lines), into);
  tell("copy", into.rowCount);
  let bytes = 0;
  for await (const part of db.query(copies.to("COPY (SELECT * FROM copied WHERE n < 5000) TO STDOUT"))) {
    bytes += part.length;
  }
  tell("copy", bytes);
  const bad = Readable.from(Array(10000).fill("no number\tx\n"));
  tell("copy", await state(pipeline(bad, db.query(copies.from("COPY copied FROM STDIN")))));
  tell("copy", await rows(db, "SELECT count(*) FROM copied"));
}

async function failures(db) {
  const twice = "INSERT INTO account VALUES ($1, 'ada', 0)";
  for (let n = 0; n < 7; n++) {
    tell("errors", await state(db.query({ name: "twice", text: twice, values: [9] })));
  }
  tell("errors", await state(db.query("SELEC 1")), await state(db.query("SELECT 1 / $1::int", [0])));
  await db.query("BEGIN");
  tell("errors", await state(db.query(twice, [9])), await state(db.query("SELECT 1")));
  await db.query("ROLLBACK");
  tell("errors", await state(db.query("SELECT $1::int", ["no number"])), await balances(db));
}

async function cancel(db) {
  const other = await connect();
  const canceller = new pg.Client(URL);
  const query = new pg.Query("SELECT pg_sleep(60)");
  const slept = new Promise((resolve) => query.on("end", resolve).on("error", (error) => resolve(error.code)));
  db.query(query);
  const sleeps = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
  while ((await rows(other, sleeps, [db.processID])).length === 0);
  canceller.cancel(db, query);
  tell("cancel", await slept, await rows(db, "SELECT 'still there'"));
  await other.end();
}

async function notify(db) {
  const heard = [];
  const both = new Promise((resolve) => {
    db.on("notification", ({ channel, payload }) => heard.push([channel, payload]) === 2 && resolve());
  });
  await db.query("LISTEN news");
  const other = await connect();
  await other.query("NOTIFY news, 'first'");
  await within(other, () => other.query("SELECT pg_notify('news', $1)", ["second"]));
  await other.end();
  await both;
  tell("notify", heard);
  await db.query("UNLISTEN news");
}

async function steps() {
  const pool = new pg.Pool({ connectionString: URL, max: 1 });
  for (let n = 0; n < 10; n++) {
    await pool.query("UPDATE run SET n = n + 1");
    const db = await pool.connect();
    await within(db, async () => {
      const [[stock]] = await rows(db, "SELECT balance FROM account WHERE id = $1 FOR UPDATE", [1]);
      await db.query({ name: "put", text: "UPDATE account SET balance = $1 WHERE id = $2", values: [stock, 1] });
      await db.query("SAVEPOINT inner_one");
      await db.query("INSERT INTO note (text) VALUES ($1)", ["kept"]);
      await db.query("RELEASE SAVEPOINT inner_one");
    });
    db.release();
    await pool.query("SELECT * FROM mood_of WHERE now = $1", ["calm"]);
    await pool.query({ name: "get", text: "SELECT text FROM note WHERE id = $1", values: [1] });
  }
  await pool.query("UPDATE run SET n = n + 1");
  tell("steps", await balances(pool));
  await pool.end();
}

const { version } = JSON.parse(readFileSync(new globalThis.URL("node_modules/pg/package.json", import.meta.url)));
console.log(`version: ${version}`);
const db = await connect();
for (const section of [queries, transactions, savepoints, copy, failures, cancel, notify, steps]) {
  await section(db);
}
await db.end();
