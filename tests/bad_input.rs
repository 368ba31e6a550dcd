//! What goes wrong is told in plain words, with what to do and the right exit
//! code: 2 for the user's own files and arguments, 3 for the environment.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use std::net::TcpListener;

use common::{Place, shop};

/// A service that answers everything with 200.
const SERVICE: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *_): pass
print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A target with this `[service]`, one operation and one invariant.
fn target(service: &str, rest: &str) -> Place {
    let place = Place::new();
    place.file("service.py", SERVICE);
    place.file("schema.sql", "CREATE TABLE item (id INTEGER PRIMARY KEY);");
    place.target(&format!(
        "[service]\n{service}\n\
         [database]\nengines = ['sqlite']\nprepare = ['schema.sql']\n\
         [operations.buy]\nrequest = 'POST /buy'\n{rest}"
    ));
    place
}

const START: &str = "start = 'exec python3 service.py'\nready = '/'";

#[test]
fn a_target_that_is_not_there() {
    let place = Place::new();
    place
        .run(&["run", "nowhere"])
        .fails(2, &["nowhere", "deadheat.toml"]);
}

#[test]
fn a_malformed_target_is_drawn() {
    let place = Place::new();
    place.target("[service]\nstrat = 'x'\n");
    let run = place.run(&["run", "."]);
    run.fails(2, &["deadheat.toml:2:1", "strat", "did you mean `start`?"]);
    place.target("[service\n");
    place.run(&["run", "."]).fails(2, &["deadheat.toml:1:9"]);
}

#[test]
fn an_unknown_operation_in_a_reference() {
    let place = target(START, "before = ['bui']\n");
    let run = place.run(&["run", "."]);
    run.fails(
        2,
        &[
            "there is no operation `bui`",
            "did you mean `buy`?",
            "deadheat.toml:",
        ],
    );
}

#[test]
fn a_webhook_that_cannot_be_called() {
    let rest = "actors = ['ann', 'bob']\nbody = { item = '{{ item }}' }\n\
                values.item = { range = [1, 2] }\n[actors.ann]\n[actors.bob]\n\
                [[stubs.provider.answers]]\nrequest = 'POST /charges'\n";
    let webhook = |webhook: &str| {
        let place = target(START, &format!("{rest}webhook = {webhook}\n"));
        place.run(&["run", "."])
    };
    let unknown = webhook("{ operation = 'bui' }");
    unknown.fails(2, &["deadheat.toml:16:25", "did you mean `buy`?"]);
    webhook("{ operation = 'buy', values = { itme = '{{ answr.id }}' } }").fails(
        2,
        &[
            "deadheat.toml:16:25",
            "`buy` is called by 2 actors, a webhook by one",
            "`buy` uses `item`, which this webhook does not give",
            "did you mean `item`?",
            "there is no value `answr`",
        ],
    );
}

#[test]
fn an_invariant_whose_sql_fails() {
    let place = target(
        START,
        "[invariants.none]\nsays = 'No item.'\nsql = 'SELECT colour FROM item'\n",
    );
    let run = place.run(&["run", "."]);
    run.fails(2, &["deadheat.toml:11:7", "no such column: colour"]);
}

#[test]
fn an_allowance_for_what_is_not_there() {
    for (column, wrong) in [
        ("", "no such table: itm"),
        ("column = 'colour'", "no such column"),
    ] {
        let table = if column.is_empty() { "itm" } else { "item" };
        let allowance = format!("[allowances.none]\nsays = 'x'\ntable = '{table}'\n{column}\n");
        let run = target(START, &allowance).run(&["run", "."]);
        run.fails(2, &["deadheat.toml", "this is not there", wrong]);
    }
}

#[test]
fn an_invariant_that_the_fixtures_violate() {
    let place = target(
        START,
        "[invariants.none]\nsays = 'Never.'\nsql = 'SELECT 1 AS one'\n",
    );
    place
        .run(&["run", "."])
        .fails(2, &["the fixtures themselves violate", "\"one\":1"]);
}

#[test]
fn a_schema_that_fails() {
    let place = target(START, "");
    place.file("schema.sql", "CREATE TABLE (;");
    place
        .run(&["run", "."])
        .fails(2, &["deadheat.toml:6:12", "schema.sql: near"]);
    std::fs::remove_file(place.path().join("schema.sql")).unwrap();
    place
        .run(&["run", "."])
        .fails(2, &["schema.sql` cannot be read"]);
}

#[test]
fn a_build_that_fails() {
    let place = target(&format!("build = 'echo no compiler; exit 9'\n{START}"), "");
    place
        .run(&["run", "."])
        .fails(3, &["cannot be built", "exit status: 9", "| no compiler"]);
}

#[test]
fn a_service_that_ends_at_start() {
    let place = target("start = 'echo no configuration >&2; exit 4'", "");
    let run = place.run(&["run", "."]);
    run.fails(
        3,
        &[
            "ended while it started",
            "exit status: 4",
            "| no configuration",
        ],
    );
}

#[test]
fn a_service_that_never_gets_ready() {
    let start = "start = 'echo waiting for godot; exec sleep 60'\nready_within = '300ms'";
    let place = target(start, "");
    let run = place.run(&["run", "."]);
    run.fails(
        3,
        &[
            "not ready after 300ms",
            "| waiting for godot",
            "`ready_within`",
        ],
    );
}

#[test]
fn a_service_that_should_already_run() {
    let taken = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let place = target(&format!("urls = ['http://{taken}']\nready = '/'"), "");
    place
        .run(&["run", "."])
        .fails(3, &["there is no service at", "Start it"]);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let place = target(&format!("{START}\nport = {port}"), "");
    let run = place.run(&["run", "."]);
    run.fails(3, &[&format!("port {port}"), "ss -ltnp", "another `port`"]);
}

#[test]
fn a_service_that_dies_in_the_middle() {
    let place = target("start = 'exec python3 dies.py'\nready = '/'", "");
    let dying = SERVICE.replace(
        "do_POST = do_GET",
        "do_POST = lambda self: (print('oh no', flush=True), os._exit(7))",
    );
    place.file("dies.py", &dying);
    let json = place.path().join("run.json").display().to_string();
    let run = place.run(&["run", ".", "--json", &json]);
    run.fails(3, &["the service died", "exit status: 7", "| oh no"]);
    let report = std::fs::read_to_string(json).unwrap();
    assert!(
        report.contains("the service died"),
        "the report tells it as well: {report}"
    );
}

#[test]
fn a_set_up_that_always_fails_is_no_clean_bill() {
    let place = target(
        START,
        "[operations.sign-in]\nrequest = 'POST /in'\nrace = false\ncapture.token = { json = '$.token' }\n\
         [actors.ann]\nsign_in = ['sign-in']\n",
    );
    let run = place.run(&["run", "."]);
    run.fails(
        3,
        &[
            "could not be judged",
            "`sign-in` lacks what is captured: token",
        ],
    );
}

#[test]
fn a_database_that_refuses() {
    let place = target(START, "");
    let text = std::fs::read_to_string(place.path().join("deadheat.toml")).unwrap();
    place.target(&text.replace("'sqlite'", "'postgres'"));
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("postgres://u:secret@{nobody}/d");
    let refused = place.run(&["run", ".", "--database-url", &url]);
    refused.fails(
        2,
        &["not one that deadheat made", "--reset-database", "u:***@"],
    );
    let run = place.run(&["run", ".", "--database-url", &url, "--reset-database"]);
    run.fails(3, &["cannot connect to the database", "u:***@"]);
    assert!(!run.err.contains("secret"));
    let run = place.run(&[
        "run",
        ".",
        "--database-url",
        "mongo://x",
        "--reset-database",
    ]);
    run.fails(2, &["no URL of a database that deadheat knows"]);
    place
        .run(&["run", ".", "--engine", "sqlite"])
        .fails(2, &["does not run on sqlite"]);
}

#[test]
fn arguments_that_are_none() {
    let place = target(START, "");
    for (arguments, says) in [
        (["--seed", "x"], "a seed is a whole number"),
        (["--calls", "1"], "such as 2..8"),
        (["--for", "soon"], "write one such as 30s"),
        (["--env", "A"], "write NAME=VALUE"),
        (["--engine", "oracle"], "use `postgres` or `sqlite`"),
    ] {
        let run = place.run(&["run", ".", arguments[0], arguments[1]]);
        run.fails(2, &[says]);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_run() {
    let place = target(START, "");
    let run = place.run(&["run", ".", "--json", "/proc/none/run.json"]);
    run.fails(3, &["cannot write the report /proc/none/run.json"]);
}

#[test]
fn what_cannot_be_replayed() {
    let (place, target) = shop();
    let seed = place.run(&["replay", "12x", "--target", &target]);
    seed.fails(2, &["neither the file of a finding nor a seed"]);
    let large = place.run(&["replay", "99999999999999999999", "--target", &target]);
    large.fails(2, &["a seed is a whole number from 0 to"]);
    place
        .run(&["replay", "7"])
        .fails(2, &["name it with --target"]);

    let run = place.run(&["run", &target, "--engine", "sqlite", "--seed", "1"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let folder = place.path().join("corpus/shop");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&file).unwrap();
    let name = file.display().to_string();

    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    place
        .run(&["replay", &name])
        .fails(2, &["is no finding that deadheat wrote", &name]);
    // A run is not stopped by it, and says so.
    let run = place.run(&[
        "run",
        &target,
        "--engine",
        "sqlite",
        "--rounds",
        "1",
        "--env",
        "SHOP_BUGS=",
    ]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(
        run.err.contains("warning:") && run.err.contains("is no finding"),
        "{run:#?}"
    );

    let other = text.replace("\"operation\": \"", "\"operation\": \"no-");
    std::fs::write(&file, other).unwrap();
    place
        .run(&["replay", &name])
        .fails(2, &["no longer fits: there is no operation `no-"]);
}

#[test]
fn an_allowance_for_nothing_is_drawn() {
    let place = Place::new();
    let file = |allowance: &str| {
        format!(
            "[service]\n{START}\n[database]\nengines = ['sqlite']\n\
             [operations.list]\nrequest = 'GET /'\n[allowances.lag]\nsays = 'x'\n{allowance}"
        )
    };
    for (allowance, says) in [
        ("", "name either an `answer`"),
        ("answer = 'lst'", "did you mean `list`?"),
        (
            "answer = 'list'\nfield = 'total'",
            "`total` is no place in an answer",
        ),
        (
            "answer = 'list'\ncolumn = 'n'",
            "a `column` is of a `table`",
        ),
        ("table = 't'\nfield = '$.n'", "a `field` is of an `answer`"),
        ("table = 't'\nany_order = true", "have no order"),
        ("stub = 'p'", "the file names no stub"),
    ] {
        place.target(&file(allowance));
        place.run(&["run", "."]).fails(2, &["deadheat.toml", says]);
    }
}
