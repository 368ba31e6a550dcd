// The shop: orders that take from stock, and payments that a provider charges.
//
// Every handler looks first and acts then. Looking gives friendly refusals; what makes
// the act right is a guard of its own, and each of `BUGS` leaves one out.

import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import pg from "pg";

const BUGS = {
  oversell: "stock checked, then decremented without a condition",
  double_charge: "idempotency key stored once the charge went through, and not passed on",
};
const made = (process.env.SHOP_BUGS ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
const unknown = made.filter((name) => !(name in BUGS));
if (unknown.length > 0) {
  console.error(`SHOP_BUGS knows ${Object.keys(BUGS).join(", ")}, and not ${unknown.join(", ")}`);
  process.exit(1);
}

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
// A connection that is lost is replaced at the next use, and must not take the process
// with it: neither while nobody uses it, nor in the middle of a transaction.
pool.on("error", (error) => console.error(error.message));
pool.on("connect", (db) => db.on("error", (error) => console.error(error.message)));

// What a request is refused with.
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function within_transaction(work) {
  const db = await pool.connect();
  let broken;
  try {
    await db.query("BEGIN");
    const result = await work(db);
    await db.query("COMMIT");
    return result;
  } catch (error) {
    await db.query("ROLLBACK").catch((lost) => (broken = lost));
    throw error;
  } finally {
    db.release(broken);
  }
}

async function health() {
  await pool.query("SELECT 1");
  return [200, {}];
}

const MOST = 1_000_000;

// What these fields of a body say, each a whole number that somebody can mean.
function numbers(body, ...names) {
  const found = names.map((name) => body?.[name]);
  if (!found.every((number) => Number.isInteger(number) && number >= 1 && number <= MOST)) {
    throw new Refusal(422, `${names.join(" and ")}: whole numbers from 1 to ${MOST}`);
  }
  return found;
}

// `POST /orders`: an order, and the stock that it takes.
async function order({ headers, body }) {
  const [product_id, quantity] = numbers(body, "product_id", "quantity");
  const found = await pool.query("SELECT price_cents, stock FROM products WHERE id = $1", [product_id]);
  const [product] = found.rows;
  if (product === undefined) throw new Refusal(404, "no such product");
  if (product.stock < quantity) throw new Refusal(409, "sold out");
  const condition = made.includes("oversell") ? "" : "AND stock >= $2";
  return within_transaction(async (db) => {
    const placed = await db.query(
      `INSERT INTO orders (customer, product_id, quantity, total_cents) VALUES ($1, $2, $3, $4)
       RETURNING id, total_cents`,
      [headers["x-customer"], product_id, quantity, product.price_cents * quantity],
    );
    const take = `UPDATE products SET stock = stock - $2 WHERE id = $1 ${condition}`;
    const taken = await db.query(take, [product_id, quantity]);
    if (taken.rowCount === 0) throw new Refusal(409, "sold out");
    return [201, placed.rows[0]];
  });
}

// `POST /payments`: the order is claimed, charged and settled.
//
// The claim is committed before the provider is called and holds the key, so a payment
// that was cut off is taken up again by the next request with that key.
async function pay({ headers, body }) {
  const [order_id] = numbers(body, "order_id");
  const customer = headers["x-customer"];
  const key = headers["idempotency-key"];
  let payment = await find(pool, customer, key);
  let charge_id;
  if (made.includes("double_charge") && payment === undefined) {
    charge_id = await charge(await payable(pool, order_id), key);
    payment = await claim(customer, key, order_id);
  } else {
    payment ??= await claim(customer, key, order_id);
    if (payment.order_id !== order_id) throw new Refusal(422, "this Idempotency-Key has paid another order");
    if (payment.charge_id !== null) return [200, { id: payment.id, order_id }];
    // Two customers may choose the same key; the provider must not take it for one.
    charge_id = await charge(payment.total_cents, key, { "Idempotency-Key": `${customer}-${key}` });
  }
  return within_transaction(async (db) => {
    const settle = "UPDATE payments SET charge_id = $2 WHERE id = $1 AND charge_id IS NULL";
    const settled = await db.query(settle, [payment.id, charge_id]);
    await db.query("UPDATE orders SET status = 'paid' WHERE id = $1", [order_id]);
    return [settled.rowCount === 1 ? 201 : 200, { id: payment.id, order_id }];
  });
}

// The payment that this key has begun.
async function find(db, customer, key) {
  const found = await db.query(
    `SELECT p.id, p.order_id, p.charge_id, o.total_cents FROM payments p
     JOIN orders o ON o.id = p.order_id WHERE p.customer = $1 AND p.idempotency_key = $2`,
    [customer, key],
  );
  return found.rows[0];
}

// What an order costs, if it can be paid.
async function payable(db, order_id) {
  const found = await db.query("SELECT status, total_cents FROM orders WHERE id = $1", [order_id]);
  const [order] = found.rows;
  if (order === undefined) throw new Refusal(404, "no such order");
  if (order.status !== "open") throw new Refusal(409, "this order is paid, or being paid");
  return order.total_cents;
}

// Writes down, under the key, that this payment and no other pays the order.
function claim(customer, key, order_id) {
  return within_transaction(async (db) => {
    await db.query("SELECT FROM orders WHERE id = $1 FOR UPDATE", [order_id]);
    // A duplicate may have waited for this very lock.
    const known = await find(db, customer, key);
    if (known !== undefined) return known;
    await payable(db, order_id);
    const claimed = await db.query(
      `INSERT INTO payments (customer, order_id, idempotency_key) VALUES ($1, $2, $3)
       ON CONFLICT DO NOTHING`,
      [customer, order_id, key],
    );
    if (claimed.rowCount === 0) throw new Refusal(409, "this Idempotency-Key pays another order");
    await db.query("UPDATE orders SET status = 'paying' WHERE id = $1", [order_id]);
    return find(db, customer, key);
  });
}

// The provider answers a repeated key with the charge that it has made.
async function charge(amount_cents, reference, headers = {}) {
  const answer = await fetch(`${process.env.PROVIDER_URL}/charges`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify({ amount_cents, reference }),
  });
  if (!answer.ok) throw new Error(`the provider answers ${answer.status}`);
  return (await answer.json()).id;
}

const ROUTES = { "GET /health": health, "POST /orders": order, "POST /payments": pay };

async function answer(request) {
  const handler = ROUTES[`${request.method} ${request.url}`];
  if (handler === undefined) return [404, { error: "no such path" }];
  try {
    const body = request.method === "POST" ? await json(request) : undefined;
    return await handler({ headers: request.headers, body });
  } catch (error) {
    if (error instanceof Refusal) return [error.status, { error: error.message }];
    console.error(error);
    return [500, { error: "a fault of the shop" }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request);
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
