// The work of drivers.rs, with Postgres.js: every statement has a name on the server, a
// new one is described before it is bound, and what is asked at once goes in one pipeline.

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import postgres from "postgres";

const URL = process.env.DATABASE_URL;
const tell = (section, ...values) => console.log(`${section}: ${values.map((value) => JSON.stringify(value)).join(" ")}`);
const connect = () => postgres(URL, { max: 1, onnotice: () => {} });

// The SQLSTATE that some work fails with.
const state = (work) => work.then(() => "no error", (error) => error.code ?? error.message);

const balances = async (sql) => (await sql`SELECT balance FROM account ORDER BY id`).map((row) => row.balance);

async function queries(sql) {
  for (let n = 0; n < 8; n++) {
    tell("queries", await sql`SELECT ${n}::int + 1 AS n, owner FROM account WHERE id = ${1 + (n % 2)}`);
  }
  const note = { text: "naïve ☃", amount: "12.50", at: new Date("2024-02-29T12:30:00Z"), data: sql.json({ a: [1, null] }), raw: Buffer.from([0, 255]), tags: ["x", null] };
  tell("queries", await sql`INSERT INTO note ${sql(note)} RETURNING *`);
  const nothing = Object.fromEntries(Object.keys(note).map((key) => [key, null]));
  tell("queries", await sql`INSERT INTO note ${sql(nothing)} RETURNING *`);
  tell("queries", (await sql`UPDATE account SET balance = balance + 0`).count);
  tell("queries", await sql`SELECT 1 FROM account WHERE false`);
  tell("queries", (await sql`SELECT ${"x".repeat(1_000_000)}::text AS text`)[0].text.length);
  tell("queries", (await sql`SELECT generate_series(1, 50000)`).length);
  tell("queries", await sql`SELECT 1 AS one; SELECT 2 AS two`.simple());
  tell("queries", await sql.unsafe("SELECT $1::int AS n", [7]), await sql.unsafe("SELECT $1::int AS n", [7], { prepare: true }));
  for await (const part of sql`SELECT generate_series(1, ${100}::int)`.cursor(40)) {
    tell("queries", part.length);
  }
  const described = await sql`SELECT * FROM account WHERE id = ${1}`.describe();
  tell("queries", described.types, described.columns.map((column) => column.name));
  for (let n = 0; n < 3; n++) {
    const at_once = [1, 2, 3, 1].map((id) => sql`SELECT owner FROM account WHERE id = ${id}`);
    tell("queries", await Promise.all([...at_once, sql`SELECT 1 AS one`, sql`SELECT ${"a"} AS a`]));
  }
}

async function transactions(sql) {
  await sql.begin(async (sql) => {
    await sql`UPDATE account SET balance = balance - ${10} WHERE id = 1`;
    await sql`UPDATE account SET balance = balance + ${10} WHERE id = 2`;
  });
  tell("transactions", await balances(sql));
  const undone = sql.begin(async (sql) => {
    await sql`UPDATE account SET balance = 0`;
    tell("transactions", await balances(sql));
    throw new Error("undone");
  });
  tell("transactions", await state(undone), await balances(sql));
  const reading = sql.begin("ISOLATION LEVEL SERIALIZABLE READ ONLY", async (sql) => {
    tell("transactions", await sql`SHOW transaction_isolation`);
    await sql`UPDATE account SET balance = 0`;
  });
  tell("transactions", await state(reading));
  // All of it in one pipeline.
  const at_once = sql.begin((sql) => [1, 2].map((id) => sql`UPDATE account SET balance = balance + 1 WHERE id = ${id} RETURNING id`));
  tell("transactions", await at_once);
}

async function savepoints(sql) {
  await sql.begin(async (sql) => {
    await sql`UPDATE account SET balance = balance + 1 WHERE id = 1`;
    const fails = sql.savepoint(async (sql) => {
      await sql`UPDATE account SET balance = 0 WHERE id = ${2}`;
      await sql`INSERT INTO account VALUES (${1}, 'twice', 0)`;
    });
    tell("savepoints", await state(fails));
    await sql.savepoint((sql) => sql`UPDATE account SET balance = balance + 1 WHERE id = ${1}`);
  });
  tell("savepoints", await balances(sql));
}

async function copy(sql) {
  const lines = Array.from({ length: 20000 }, (_, n) => `${n}\tline ${n} ☃\n`);
  await pipeline(Readable.from(lines), await sql`COPY copied FROM STDIN`.writable());
  tell("copy", await sql`SELECT count(*) FROM copied`);
  let bytes = 0;
  // After more than a few kilobytes the next query may hang, gate or no gate.
  for await (const part of await sql`COPY (SELECT * FROM copied WHERE n < 500) TO STDOUT`.readable()) {
    bytes += part.length;
  }
  tell("copy", bytes);
  tell("copy", await sql`SELECT count(*) FROM copied`);
}

async function failures(sql) {
  for (let n = 0; n < 7; n++) {
    tell("errors", await state(sql`INSERT INTO account VALUES (${9}, 'ada', 0)`));
  }
  tell("errors", await state(sql`SELEC 1`), await state(sql`SELECT 1 / ${0}::int`));
  const failed = sql.begin(async (sql) => {
    tell("errors", await state(sql`INSERT INTO account VALUES (${9}, 'ada', 0)`), await state(sql`SELECT 1`));
  });
  tell("errors", await state(failed));
  // One of a pipeline fails, and those behind it do not.
  const at_once = [0, 1, 2].map((n) => state(sql`SELECT 1 / (${n}::int - 1)`));
  tell("errors", await Promise.all(at_once));
  tell("errors", await state(sql`SELECT ${"no number"}::int`), await balances(sql));
}

async function cancel(sql) {
  const [{ pid }] = await sql`SELECT pg_backend_pid() AS pid`;
  const other = connect();
  const sleep = sql`SELECT pg_sleep(60)`;
  const slept = state(sleep);
  while ((await other`SELECT 1 FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'PgSleep'`).length === 0);
  sleep.cancel();
  tell("cancel", await slept, await sql`SELECT 'still there' AS it`);
  await other.end();
}

async function notify(sql) {
  const heard = [];
  let tell_both;
  const both = new Promise((resolve) => (tell_both = resolve));
  const { unlisten } = await sql.listen("news", (payload) => heard.push(payload) === 2 && tell_both());
  await sql.notify("news", "first");
  await sql.begin((sql) => sql`SELECT pg_notify('news', ${"second"})`);
  await both;
  tell("notify", heard);
  await unlisten();
}

async function steps() {
  const sql = connect();
  for (let n = 0; n < 10; n++) {
    await sql`UPDATE run SET n = n + 1`;
    await sql.begin(async (sql) => {
      const [{ balance }] = await sql`SELECT balance FROM account WHERE id = ${1} FOR UPDATE`;
      await sql`UPDATE account SET balance = ${balance} WHERE id = ${1}`;
      await sql.savepoint((sql) => sql`INSERT INTO note (text) VALUES (${"kept"})`);
    });
    await sql.begin((sql) => [1, -1].map((by) => sql`UPDATE account SET balance = balance + ${by} WHERE id = ${1}`));
    await sql`SELECT * FROM mood_of WHERE now = ${"calm"}`;
    await Promise.all([1, 2].map((id) => sql`SELECT text FROM note WHERE id = ${id}`));
  }
  await sql`UPDATE run SET n = n + 1`;
  tell("steps", await balances(sql));
  await sql.end();
}

const { version } = JSON.parse(readFileSync(new globalThis.URL("node_modules/postgres/package.json", import.meta.url)));
console.log(`version: ${version}`);
const sql = connect();
for (const section of [queries, transactions, savepoints, copy, failures, cancel, notify, steps]) {
  await section(sql);
}
await sql.end();
