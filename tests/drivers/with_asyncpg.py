"""The work of drivers.rs, with asyncpg: every statement has a name on the server, all
values are binary, and a pool clears a connection that comes back."""

import asyncio
import datetime
import decimal
import io
import os

import asyncpg

URL = os.environ["DATABASE_URL"]


def tell(section, *values):
    print(f"{section}: {' '.join(map(str, values))}", flush=True)


async def state(work):
    """The SQLSTATE that some work fails with."""
    try:
        await work
    except asyncpg.PostgresError as error:
        return error.sqlstate
    return "no error"


async def balances(db):
    return [row["balance"] for row in await db.fetch("SELECT balance FROM account ORDER BY id")]


async def queries(db):
    for n in range(8):
        row = await db.fetchrow("SELECT $1::int + 1, owner FROM account WHERE id = $2", n, 1 + n % 2)
        tell("queries", tuple(row))
    at = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
    insert = "INSERT INTO note (text, amount, at, data, raw, tags) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *"
    values = ("naïve ☃", decimal.Decimal("12.50"), at, '{"a": [1, null]}', b"\0\xff", ["x", None])
    tell("queries", tuple(await db.fetchrow(insert, *values)))
    tell("queries", tuple(await db.fetchrow(insert, *[None] * 6)))
    tell("queries", await db.execute("UPDATE account SET balance = balance + 0"))
    tell("queries", await db.fetch("SELECT 1 FROM account WHERE false"))
    tell("queries", len(await db.fetchval("SELECT $1::text", "x" * 1_000_000)))
    tell("queries", sum(row[0] for row in await db.fetch("SELECT generate_series(1, 50000)")))
    tell("queries", await db.execute("SELECT 1; SELECT 2"))
    async with db.transaction():
        rows = [row[0] async for row in db.cursor("SELECT generate_series(1, $1::int)", 100, prefetch=40)]
        tell("queries", sum(rows))
    tell("queries", await db.executemany("INSERT INTO note (text) VALUES ($1)", [(f"many {n}",) for n in range(20)]))
    tell("queries", await db.fetchval("SELECT count(*) FROM note"))


async def transactions(db):
    async with db.transaction():
        await db.execute("UPDATE account SET balance = balance - $1 WHERE id = 1", 10)
        await db.execute("UPDATE account SET balance = balance + $1 WHERE id = 2", 10)
    tell("transactions", await balances(db))
    undone = db.transaction()
    await undone.start()
    await db.execute("UPDATE account SET balance = 0")
    tell("transactions", await balances(db))
    await undone.rollback()
    tell("transactions", await balances(db))
    async with db.transaction(isolation="serializable", readonly=True):
        tell("transactions", await db.fetchval("SHOW transaction_isolation"))
    tell("transactions", db.is_in_transaction())


async def savepoints(db):
    async def fails():
        async with db.transaction():
            await db.execute("UPDATE account SET balance = 0 WHERE id = 2")
            await db.execute("INSERT INTO account VALUES (1, 'twice', 0)")

    async with db.transaction():
        await db.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
        tell("savepoints", await state(fails()))
        async with db.transaction():
            await db.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
    tell("savepoints", await balances(db))


async def copy(db):
    rows = [(n, f"line {n}\t☃") for n in range(20000)]
    tell("copy", await db.copy_records_to_table("copied", records=rows))
    lines = "".join(f"{n}\tx\n" for n in range(20000)).encode()
    tell("copy", await db.copy_to_table("copied", source=io.BytesIO(lines)))
    out = io.BytesIO()
    tell("copy", await db.copy_from_query("SELECT * FROM copied WHERE n < $1", 5000, output=out), out.tell())
    bad = io.BytesIO(b"no number\tx\n" * 10000)
    tell("copy", await state(db.copy_to_table("copied", source=bad)))

    def given_up():
        yield (1, "x")
        raise ValueError

    try:
        await db.copy_records_to_table("copied", records=given_up())
    except ValueError:
        tell("copy", "given up", await db.fetchval("SELECT count(*) FROM copied"))


async def failures(db):
    twice = "INSERT INTO account VALUES ($1, 'ada', 0)"
    for _ in range(7):
        tell("errors", await state(db.execute(twice, 9)))
    tell("errors", await state(db.execute("SELEC 1")), await state(db.fetch("SELECT 1 / $1::int", 0)))
    await db.execute("BEGIN")
    tell("errors", await state(db.execute(twice, 9)), await state(db.execute("SELECT 1")))
    await db.execute("ROLLBACK")
    many = db.executemany("INSERT INTO account VALUES ($1, $2, 0)", [(7, "eve"), (8, "ada")])
    tell("errors", await state(many), await balances(db))


async def cancel(db):
    sleep = asyncio.create_task(db.execute("SELECT pg_sleep(60)"))
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    other = await asyncpg.connect(URL)
    while await other.fetchval(sleeps, db.get_server_pid()) != 1:
        pass
    sleep.cancel()
    try:
        await sleep
    except asyncio.CancelledError:
        tell("cancel", "cancelled", await db.fetchval("SELECT 'still there'"))
    try:
        await db.fetch("SELECT pg_sleep($1)", 60, timeout=0.05)
    except TimeoutError:
        tell("cancel", "too long", await db.fetchval("SELECT 'still there'"))
    await other.close()


async def notify(db):
    heard = asyncio.Queue()

    def hear(_connection, _pid, channel, payload):
        heard.put_nowait((channel, payload))

    await db.add_listener("news", hear)
    other = await asyncpg.connect(URL)
    await other.execute("NOTIFY news, 'first'")
    async with other.transaction():
        await other.execute("SELECT pg_notify('news', $1)", "second")
    await other.close()
    tell("notify", [await heard.get(), await heard.get()])
    await db.remove_listener("news", hear)


async def steps(_db):
    # So few that some are closed and prepared again.
    async with asyncpg.create_pool(URL, min_size=1, max_size=1, statement_cache_size=3) as pool:
        for _ in range(10):
            await pool.execute("UPDATE run SET n = n + 1")
            async with pool.acquire() as db, db.transaction():
                stock = await db.fetchval("SELECT balance FROM account WHERE id = $1 FOR UPDATE", 1)
                await db.execute("UPDATE account SET balance = $1 WHERE id = $2", stock, 1)
                async with db.transaction():
                    await db.execute("INSERT INTO note (text) VALUES ($1)", "kept")
            await pool.fetchval("SELECT text FROM note WHERE id = $1", 1)
            await pool.fetch("SELECT * FROM mood_of WHERE now = $1", "calm")
        await pool.execute("UPDATE run SET n = n + 1")
        tell("steps", await balances(pool))


async def work():
    tell("version", asyncpg.__version__)
    connection = await asyncpg.connect(URL)
    for section in (queries, transactions, savepoints, copy, failures, cancel, notify, steps):
        await section(connection)
    await connection.close()


asyncio.run(work())
