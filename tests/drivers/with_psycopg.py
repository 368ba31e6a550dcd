"""The work of drivers.rs, with psycopg: the first runs of a statement go unnamed, the
later ones by a name on the server, and a pipeline sends many before it reads any."""

import datetime
import decimal
import os
import threading

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

URL = os.environ["DATABASE_URL"]


def tell(section, *values):
    print(f"{section}: {' '.join(map(str, values))}", flush=True)


def connect():
    return psycopg.connect(URL, autocommit=True)


def state(work):
    """The SQLSTATE that some work fails with."""
    try:
        work()
    except psycopg.Error as error:
        return error.sqlstate
    return "no error"


def balances(db):
    return [row[0] for row in db.execute("SELECT balance FROM account ORDER BY id")]


def queries(db):
    # Beyond prepare_threshold, which is 5.
    for n in range(8):
        row = db.execute("SELECT %s::int + 1, owner FROM account WHERE id = %s", (n, 1 + n % 2)).fetchone()
        tell("queries", row)
    at = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
    insert = "INSERT INTO note (text, amount, at, data, raw, tags) VALUES (%s, %s, %s, %s, %s, %s) RETURNING *"
    values = ("naïve ☃", decimal.Decimal("12.50"), at, Jsonb({"a": [1, None]}), b"\0\xff", ["x", None])
    row = db.execute(insert, values).fetchone()
    tell("queries", row[:3], row[3].astimezone(datetime.timezone.utc), row[4:])
    tell("queries", db.execute(insert, (None,) * 6, binary=True).fetchone())
    tell("queries", db.execute("UPDATE account SET balance = balance + 0").rowcount)
    tell("queries", db.execute("SELECT 1 FROM account WHERE false").fetchall())
    tell("queries", len(db.execute("SELECT %s::text", ("x" * 1_000_000,)).fetchone()[0]))
    tell("queries", sum(row[0] for row in db.execute("SELECT generate_series(1, 50000)")))
    db.execute("SELECT 1; SELECT 2")
    with db.transaction(), db.cursor("some") as some:
        some.itersize = 40
        some.execute("SELECT generate_series(1, 100)")
        tell("queries", sum(row[0] for row in some))
    with db.pipeline():
        rows = [db.execute("SELECT balance FROM account WHERE id = %s", (1 + n % 2,)) for n in range(8)]
        tell("queries", [row.fetchone() for row in rows])
        db.execute("UPDATE account SET balance = balance + 1")
        with db.transaction():
            db.execute("UPDATE account SET balance = balance - 1")
    with db.cursor() as many:
        many.executemany("INSERT INTO note (text) VALUES (%s)", [(f"many {n}",) for n in range(20)])
    tell("queries", db.execute("SELECT count(*) FROM note").fetchone())
    tell("queries", sum(row[0] for row in db.cursor().stream("SELECT generate_series(1, 1000)")))


def transactions(db):
    with db.transaction():
        db.execute("UPDATE account SET balance = balance - %s WHERE id = 1", (10,))
        db.execute("UPDATE account SET balance = balance + %s WHERE id = 2", (10,))
    tell("transactions", balances(db))
    with db.transaction(force_rollback=True):
        db.execute("UPDATE account SET balance = 0")
        tell("transactions", balances(db))
    tell("transactions", balances(db))
    with psycopg.connect(URL) as implicit:
        implicit.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        implicit.read_only = True
        tell("transactions", implicit.execute("SHOW transaction_isolation").fetchone())
        tell("transactions", state(lambda: implicit.execute("UPDATE account SET balance = 0")))
        implicit.rollback()
    tell("transactions", db.info.transaction_status.name)


def savepoints(db):
    def fails():
        with db.transaction():
            db.execute("UPDATE account SET balance = 0 WHERE id = 2")
            db.execute("INSERT INTO account VALUES (1, 'twice', 0)")

    with db.transaction():
        db.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
        tell("savepoints", state(fails))
        with db.transaction():
            db.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
    tell("savepoints", balances(db))


def copy(db):
    rows = [(n, f"line {n}\t☃") for n in range(20000)]
    for text in ("COPY copied FROM STDIN", "COPY copied FROM STDIN (FORMAT BINARY)"):
        with db.cursor().copy(text) as into:
            into.set_types(["int4", "text"])
            for row in rows:
                into.write_row(row)
    with db.cursor().copy("COPY (SELECT * FROM copied WHERE n < %s) TO STDOUT", (5000,)) as out:
        tell("copy", sum(len(part) for part in out))

    def bad():
        with db.cursor().copy("COPY copied FROM STDIN") as into:
            into.write("no number\tx\n" * 10000)

    tell("copy", state(bad))

    def given_up():
        with db.cursor().copy("COPY copied FROM STDIN") as into:
            into.write_row((1, "x"))
            raise errors.QueryCanceled
    given = state(given_up)
    tell("copy", given, db.execute("SELECT count(*) FROM copied").fetchone())


def failures(db):
    twice = "INSERT INTO account VALUES (%s, 'ada', 0)"
    for n in range(7):
        tell("errors", state(lambda: db.execute(twice, (9,))))
    tell("errors", state(lambda: db.execute("SELEC 1")), state(lambda: db.execute("SELECT 1 / %s", (0,))))
    db.execute("BEGIN")
    tell("errors", state(lambda: db.execute(twice, (9,))), state(lambda: db.execute("SELECT 1")))
    tell("errors", db.info.transaction_status.name)
    db.execute("ROLLBACK")

    def piped():
        with db.pipeline():
            db.execute("UPDATE account SET balance = balance + 1")
            db.execute(twice, (9,))
            db.execute("UPDATE account SET balance = balance + 1")

    tell("errors", state(piped), db.info.transaction_status.name, balances(db))


def cancel(db):
    told = []
    sleep = threading.Thread(target=lambda: told.append(state(lambda: db.execute("SELECT pg_sleep(60)"))))
    sleep.start()
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    with connect() as other:
        while other.execute(sleeps, (db.info.backend_pid,)).fetchone() != (1,):
            pass
    db.cancel_safe()
    sleep.join()
    tell("cancel", *told, db.execute("SELECT 'still there'").fetchone())


def notify(db):
    db.execute("LISTEN news")
    with connect() as other:
        other.execute("NOTIFY news, 'first'")
        with other.transaction():
            other.execute("SELECT pg_notify('news', %s)", ("second",))
    heard = db.notifies(timeout=30, stop_after=2)
    tell("notify", [(notice.channel, notice.payload) for notice in heard])
    db.execute("UNLISTEN news")


def steps(db):
    # So few that some are closed and prepared again.
    db.prepared_max = 3
    for _ in range(10):
        db.execute("UPDATE run SET n = n + 1")
        with db.transaction():
            (stock,) = db.execute("SELECT balance FROM account WHERE id = %s FOR UPDATE", (1,)).fetchone()
            db.execute("UPDATE account SET balance = %s WHERE id = %s", (stock, 1))
            with db.transaction():
                db.execute("INSERT INTO note (text) VALUES (%s)", ("kept",))
        db.execute("SELECT text FROM note WHERE id = %s", (1,))
        db.execute("SELECT * FROM mood_of WHERE now = %s", ("calm",))
        with db.pipeline():
            with db.transaction():
                db.execute("UPDATE account SET balance = balance - %s WHERE id = %s", (1, 1))
                db.execute("UPDATE account SET balance = balance + %s WHERE id = %s", (1, 1))
    db.execute("UPDATE run SET n = n + 1")
    tell("steps", balances(db))


tell("version", psycopg.__version__)
with connect() as connection:
    for section in (queries, transactions, savepoints, copy, failures, cancel, notify, steps):
        section(connection)
