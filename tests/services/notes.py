"""Notes that their owners write, read and remove, and nobody else sees. With BUG=anybody
a note is read by its name alone."""
import http.server, json, os, sqlite3

DATABASE = os.environ["DATABASE"]
BUG = os.environ.get("BUG", "")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # An answer is one packet, and waits for no acknowledgement.

    def do_GET(self):
        if self.path == "/":
            return self.answer(200, {})
        if not self.who():
            return self.answer(401, {"error": "who are you?"})
        if self.path == "/notes":
            return self.answer(200, self.query("SELECT name, text FROM notes WHERE owner = ?", self.who()))
        found = self.query("SELECT name, text FROM notes WHERE name = ? AND (owner = ? OR ? = 'anybody')", self.name(), self.who(), BUG)
        self.answer(200, found[0]) if found else self.answer(404, {"error": "no such note"})

    def do_PUT(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str):
            return self.answer(422, {"error": "a text, please"})
        kept = self.query(
            "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text"
            " WHERE owner = excluded.owner RETURNING name, text", self.name(), self.who(), text)
        self.answer(200, kept[0]) if kept else self.answer(409, {"error": "the name is taken"})

    def do_DELETE(self):
        gone = self.query("DELETE FROM notes WHERE name = ? AND owner = ? RETURNING name", self.name(), self.who())
        self.answer(200, gone[0]) if gone else self.answer(404, {"error": "no such note"})

    def name(self):
        return self.path.removeprefix("/notes/")

    def who(self):
        return self.headers.get("x-user", "")

    def query(self, sql, *values):
        database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA synchronous = OFF")  # Nothing here outlives the round.
        rows = [dict(row) for row in database.execute(sql, values)]
        database.close()
        return rows

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
