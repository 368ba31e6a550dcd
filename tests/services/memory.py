"""A right service that keeps the stock in memory as well. It notices when memory
and database differ, as they do once somebody else has changed the database."""
import http.server, os, sqlite3, threading

DATABASE = os.environ["DATABASE"]
LOCK = threading.Lock()


def load():
    database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
    database.execute("CREATE TABLE IF NOT EXISTS product (id INTEGER PRIMARY KEY, stock INT NOT NULL)")
    database.execute("INSERT OR IGNORE INTO product VALUES (1, 3)")
    stock = database.execute("SELECT stock FROM product").fetchone()[0]
    database.close()
    return stock


stock = load()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        global stock
        with LOCK:
            if self.path == "/reload":
                stock = load()
                return self.answer(200)
            if load() != stock:
                return self.answer(500)
            if stock == 0:
                return self.answer(409)
            database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
            database.execute("UPDATE product SET stock = stock - 1")
            database.close()
            stock -= 1
            self.answer(201)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
