"""The shop: orders that take from stock, and payments that a provider charges.

Every handler looks first and acts then. Looking gives friendly refusals; what makes
the act right is a guard of its own, and each of `BUGS` leaves one out.
"""

import contextlib
import os
import sys

import asyncpg
import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

BUGS = {
    "oversell": "stock checked, then decremented without a condition",
    "double_charge": "idempotency key stored once the charge went through, and not passed on",
}
MADE = {name.strip() for name in os.environ.get("SHOP_BUGS", "").split(",")} - {""}
if MADE - BUGS.keys():
    sys.exit(f"SHOP_BUGS knows {', '.join(BUGS)}, and not {', '.join(sorted(MADE - BUGS.keys()))}")


@contextlib.asynccontextmanager
async def lifespan(app):
    """What the handlers share, as long as the shop is open."""
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1) as app.state.db,
        httpx.AsyncClient(base_url=os.environ["PROVIDER_URL"]) as app.state.provider,
    ):
        yield


async def health(request):
    await request.app.state.db.execute("SELECT 1")
    return JSONResponse({})


MOST = 1_000_000


async def numbers(request, *names):
    """What these fields of the body say, each a whole number that somebody can mean."""
    body = await request.json()
    found = [body.get(name) if isinstance(body, dict) else None for name in names]
    if not all(type(number) is int and 1 <= number <= MOST for number in found):
        raise HTTPException(422, f"{' and '.join(names)}: whole numbers from 1 to {MOST}")
    return found


async def order(request):
    """`POST /orders`: an order, and the stock that it takes."""
    product_id, quantity = await numbers(request, "product_id", "quantity")
    pool = request.app.state.db
    product = await pool.fetchrow("SELECT price_cents, stock FROM products WHERE id = $1", product_id)
    if product is None:
        raise HTTPException(404, "no such product")
    if product["stock"] < quantity:
        raise HTTPException(409, "sold out")
    take = "UPDATE products SET stock = stock - $2 WHERE id = $1"
    if "oversell" not in MADE:
        take += " AND stock >= $2"
    async with pool.acquire() as db, db.transaction():
        placed = await db.fetchrow(
            "INSERT INTO orders (customer, product_id, quantity, total_cents) VALUES ($1, $2, $3, $4)"
            " RETURNING id, total_cents",
            request.headers["X-Customer"],
            product_id,
            quantity,
            product["price_cents"] * quantity,
        )
        if await db.execute(take, product_id, quantity) != "UPDATE 1":
            raise HTTPException(409, "sold out")
    return JSONResponse(dict(placed), 201)


async def pay(request):
    """`POST /payments`: the order is claimed, charged and settled.

    The claim is committed before the provider is called and holds the key, so a
    payment that was cut off is taken up again by the next request with that key.
    """
    customer, key = request.headers["X-Customer"], request.headers["Idempotency-Key"]
    [order_id] = await numbers(request, "order_id")
    pool = request.app.state.db
    payment = await find(pool, customer, key)
    if "double_charge" in MADE and payment is None:
        total = await payable(pool, order_id)
        charge_id = await charge(request, total, key)
        payment = await claim(pool, customer, key, order_id)
    else:
        payment = payment or await claim(pool, customer, key, order_id)
        if payment["order_id"] != order_id:
            raise HTTPException(422, "this Idempotency-Key has paid another order")
        if payment["charge_id"] is not None:
            return JSONResponse({"id": payment["id"], "order_id": order_id})
        # Two customers may choose the same key; the provider must not take it for one.
        charge_id = await charge(request, payment["total_cents"], key, f"{customer}-{key}")
    async with pool.acquire() as db, db.transaction():
        settle = "UPDATE payments SET charge_id = $2 WHERE id = $1 AND charge_id IS NULL"
        first = await db.execute(settle, payment["id"], charge_id) == "UPDATE 1"
        await db.execute("UPDATE orders SET status = 'paid' WHERE id = $1", order_id)
    return JSONResponse({"id": payment["id"], "order_id": order_id}, 201 if first else 200)


async def find(db, customer, key):
    """The payment that this key has begun."""
    return await db.fetchrow(
        "SELECT p.id, p.order_id, p.charge_id, o.total_cents FROM payments p"
        " JOIN orders o ON o.id = p.order_id WHERE p.customer = $1 AND p.idempotency_key = $2",
        customer,
        key,
    )


async def payable(db, order_id, lock=""):
    """What an order costs, if it can be paid."""
    found = await db.fetchrow(f"SELECT status, total_cents FROM orders WHERE id = $1 {lock}", order_id)
    if found is None:
        raise HTTPException(404, "no such order")
    if found["status"] != "open":
        raise HTTPException(409, "this order is paid, or being paid")
    return found["total_cents"]


async def claim(pool, customer, key, order_id):
    """Writes down, under the key, that this payment and no other pays the order."""
    async with pool.acquire() as db, db.transaction():
        await db.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", order_id)
        # A duplicate may have waited for this very lock.
        if known := await find(db, customer, key):
            return known
        await payable(db, order_id)
        claimed = await db.fetchval(
            "INSERT INTO payments (customer, order_id, idempotency_key) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING RETURNING id",
            customer,
            order_id,
            key,
        )
        if claimed is None:
            raise HTTPException(409, "this Idempotency-Key pays another order")
        await db.execute("UPDATE orders SET status = 'paying' WHERE id = $1", order_id)
        return await find(db, customer, key)


async def charge(request, total_cents, reference, key=None):
    """The provider answers a repeated key with the charge that it has made."""
    answer = await request.app.state.provider.post(
        "/charges",
        json={"amount_cents": total_cents, "reference": reference},
        headers={"Idempotency-Key": key} if key else {},
    )
    answer.raise_for_status()
    return answer.json()["id"]


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/health", health),
        Route("/orders", order, methods=["POST"]),
        Route("/payments", pay, methods=["POST"]),
    ],
)
