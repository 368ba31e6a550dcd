"""A right service that shows and pays orders. What its answers look like is up to the
variable VERSION: each but the first is a change that its clients notice."""
import http.server, json, os, sqlite3

DATABASE = os.environ["DATABASE"]
VERSION = os.environ.get("VERSION", "first")


def order(row):
    number, total, status, note = row
    shown = {"id": number, "total_cents": total, "status": status, "note": note}
    if VERSION == "renamed":
        shown["total"] = shown.pop("total_cents")
    if VERSION == "null":
        shown["note"] = None
    if VERSION == "status" and status == "paid":
        shown["status"] = "settled"
    if VERSION == "grown":
        shown["currency"] = "eur"
    return shown


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            return self.answer(200, {})
        shown = self.query("SELECT * FROM orders WHERE id = ?", self.path.removeprefix("/orders/"))
        self.answer(200, order(shown)) if shown else self.refuse(404, "no such order")

    def do_POST(self):
        number = self.path.removeprefix("/orders/").removesuffix("/pay")
        paid = self.query("UPDATE orders SET status = 'paid' WHERE id = ? AND status = 'open' RETURNING *", number)
        self.answer(200, order(paid)) if paid else self.refuse(409, "paid already")

    def refuse(self, status, why):
        self.answer(status, {"reason" if VERSION == "error" else "error": why})

    def query(self, sql, number):
        database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")  # Nothing here outlives the round.
        row = database.execute(sql, (number,)).fetchone()
        database.close()
        return row

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
