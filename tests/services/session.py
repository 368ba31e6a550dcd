"""A small shop as many are: sign in, take a token and a cookie, fetch a page with
a CSRF token, post a form. It also takes the same order as GraphQL. It looks at the
stock before it sells, and trusts what it saw."""
import http.server, json, os, secrets, sqlite3, urllib.parse

DATABASE = os.environ["DATABASE"]
PEOPLE = {}  # cookie -> [token, csrf]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        body = body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def person(self):
        cookie = self.headers.get("cookie", "").removeprefix("sid=")
        person = PEOPLE.get(cookie)
        if person and self.headers.get("authorization") == "Bearer " + person[0]:
            return person

    def sell(self, product):
        database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
        (stock,) = database.execute("SELECT stock FROM product WHERE id = ?", (product,)).fetchone()
        if stock > 0:
            database.execute("UPDATE product SET stock = stock - 1 WHERE id = ?", (product,))
        database.close()
        return stock > 0

    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, "")
        if not (person := self.person()):
            return self.answer(401, "who are you?")
        person[1] = secrets.token_hex(8)
        self.answer(200, f'<form><input name="csrf" value="{person[1]}"></form>')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        if self.path == "/sign-in":
            cookie, token = secrets.token_hex(8), json.loads(body)["name"] + "-" + secrets.token_hex(8)
            PEOPLE[cookie] = [token, None]
            return self.answer(200, json.dumps({"token": token}), set_cookie=f"sid={cookie}; Path=/")
        if not (person := self.person()):
            return self.answer(401, "who are you?")
        if self.path == "/buy":
            form = dict(urllib.parse.parse_qsl(body))
            if form["csrf"] != person[1]:
                return self.answer(403, "stale form")
            return self.answer(201, "") if self.sell(form["product"]) else self.answer(409, "sold out")
        sold = self.sell(json.loads(body)["variables"]["product"])
        self.answer(200, json.dumps({"data": {"sold": True}} if sold else {"errors": [{"message": "sold out"}]}))

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
