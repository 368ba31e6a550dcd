// The work of drivers.rs, with TypeORM, on top of node-postgres: entities, a query
// builder, and transactions within transactions.

import { readFileSync } from "node:fs";
import typeorm from "typeorm";

const URL = process.env.DATABASE_URL;
const tell = (section, ...values) => console.log(`${section}: ${values.map((value) => JSON.stringify(value)).join(" ")}`);

const Account = new typeorm.EntitySchema({
  name: "Account",
  tableName: "account",
  columns: { id: { type: "int", primary: true }, owner: { type: "text" }, balance: { type: "bigint" } },
});

const Note = new typeorm.EntitySchema({
  name: "Note",
  tableName: "note",
  columns: {
    id: { type: "int", primary: true, generated: "identity" },
    text: { type: "text", nullable: true },
    amount: { type: "numeric", nullable: true },
    at: { type: "timestamptz", nullable: true },
    data: { type: "jsonb", nullable: true },
    raw: { type: "bytea", nullable: true },
    tags: { type: "text", array: true, nullable: true },
  },
});

const connect = (extra) => new typeorm.DataSource({ type: "postgres", url: URL, entities: [Account, Note], extra }).initialize();

const ALL = { id: typeorm.MoreThan(0) };

// The SQLSTATE that some work fails with.
const state = (work) => work.then(() => "no error", (error) => error.code ?? error.message);

const balances = async (db) => (await db.getRepository(Account).find({ order: { id: "ASC" } })).map(({ balance }) => balance);

async function queries(db) {
  const [accounts, notes] = [db.getRepository(Account), db.getRepository(Note)];
  for (let n = 0; n < 8; n++) {
    tell("queries", await accounts.findOneBy({ id: 1 + (n % 2) }));
  }
  const at = new Date("2024-02-29T12:30:00Z");
  const note = { text: "naïve ☃", amount: "12.50", at, data: { a: [1, null] }, raw: Buffer.from([0, 255]), tags: ["x", null] };
  tell("queries", await notes.save(note));
  tell("queries", await notes.findOneBy({ text: "naïve ☃" }), await notes.save({}));
  tell("queries", (await accounts.update(ALL, { balance: () => "balance + 0" })).affected);
  tell("queries", await accounts.findBy({ id: typeorm.In([3, 4]) }));
  tell("queries", (await notes.save({ text: "x".repeat(1_000_000) })).id);
  tell("queries", (await db.query("SELECT generate_series(1, 50000)")).length);
  const built = accounts.createQueryBuilder("a").leftJoin(Note, "n", "n.id = a.id").where("a.owner LIKE :like", { like: "%a%" });
  tell("queries", await built.select(["a.id AS id", "n.text AS text"]).getRawMany());
  tell("queries", await notes.findAndCount({ where: { amount: typeorm.IsNull() }, select: { id: true }, take: 1 }));
  const upserted = await accounts.upsert([{ id: 2, owner: "ben", balance: "100" }], ["id"]);
  tell("queries", upserted.identifiers);
}

async function transactions(db) {
  await db.transaction(async (tx) => {
    await tx.decrement(Account, { id: 1 }, "balance", 10);
    await tx.increment(Account, { id: 2 }, "balance", 10);
  });
  tell("transactions", await balances(db));
  const undone = db.transaction(async (tx) => {
    await tx.update(Account, ALL, { balance: "0" });
    tell("transactions", await balances(tx));
    throw new Error("undone");
  });
  tell("transactions", await state(undone), await balances(db));
  await db.transaction("SERIALIZABLE", async (tx) => tell("transactions", await tx.query("SHOW transaction_isolation")));
}

async function savepoints(db) {
  await db.transaction(async (outer) => {
    await outer.increment(Account, { id: 1 }, "balance", 1);
    const fails = outer.transaction(async (inner) => {
      await inner.update(Account, { id: 2 }, { balance: "0" });
      await inner.insert(Account, { id: 1, owner: "twice", balance: "0" });
    });
    tell("savepoints", await state(fails));
    await outer.transaction((inner) => inner.increment(Account, { id: 1 }, "balance", 1));
  });
  tell("savepoints", await balances(db));
}

function copy() {
  console.log("copy: - it has no call that copies");
}

async function failures(db) {
  const twice = (db) => db.getRepository(Account).insert({ id: 9, owner: "ada", balance: "0" });
  for (let n = 0; n < 7; n++) {
    tell("errors", await state(twice(db)));
  }
  tell("errors", await state(db.query("SELEC 1")), await state(db.query("SELECT 1 / $1::int", [0])));
  const failed = db.transaction(async (tx) => {
    tell("errors", await state(twice(tx)), await state(tx.query("SELECT 1")));
  });
  tell("errors", await state(failed), await balances(db));
}

function cancel() {
  console.log("cancel: - it has no call that cancels a query");
}

function notify() {
  console.log("notify: - it has no call that listens");
}

async function steps() {
  const db = await connect({ max: 1 });
  const run = () => db.query("UPDATE run SET n = n + 1");
  for (let n = 0; n < 10; n++) {
    await run();
    await db.transaction(async (outer) => {
      const account = await outer.findOne(Account, { where: { id: 1 }, lock: { mode: "pessimistic_write" } });
      await outer.update(Account, { id: 1 }, { balance: account.balance });
      await outer.transaction((inner) => inner.insert(Note, { text: "kept" }));
    });
    await db.getRepository(Note).findOneBy({ id: 1 });
    await db.query("SELECT * FROM mood_of WHERE now = $1", ["calm"]);
    // In a transaction of its own.
    await db.getRepository(Note).save({ text: "saved" });
  }
  await run();
  tell("steps", await balances(db));
  await db.destroy();
}

const { version } = JSON.parse(readFileSync(new globalThis.URL("node_modules/typeorm/package.json", import.meta.url)));
console.log(`version: ${version}`);
const db = await connect();
for (const section of [queries, transactions, savepoints, copy, failures, cancel, notify, steps]) {
  await section(db);
}
await db.destroy();
