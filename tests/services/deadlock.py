"""A service that moves things between two shelves, and locks the one that it takes
from first: two that move in opposite directions wait for each other for ever."""
import http.server, os, sqlite3, threading

DATABASE = os.environ["DATABASE"]
SHELVES = {"left": threading.Lock(), "right": threading.Lock()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        source = self.path.removeprefix("/move/")
        target = "left" if source == "right" else "right"
        with SHELVES[source]:
            database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
            database.execute("UPDATE shelf SET things = things - 1 WHERE name = ?", (source,))
            with SHELVES[target]:
                database.execute("UPDATE shelf SET things = things + 1 WHERE name = ?", (target,))
            database.close()
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
