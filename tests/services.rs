//! Services as teams have them: one that runs already and wants its customers to
//! sign in, one that remembers, one that stands still.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Place, eventually};

/// A service that somebody else runs.
struct Running(Child);

impl Running {
    fn start(place: &Place, database: &str, port: u16) -> Running {
        let child = Command::new("python3")
            .arg("session.py")
            .current_dir(place.path())
            .env("DATABASE", database)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let listens = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        assert!(eventually(Duration::from_secs(20), listens));
        Running(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

const SESSION: &str = r#"
[database]
engines = ["sqlite"]
prepare = ["schema.sql"]

[actors.ann]
sign_in = ["sign-in"]
headers = { Authorization = "Bearer {{ token }}" }

[actors.bob]
sign_in = ["sign-in"]
headers = { Authorization = "Bearer {{ token }}" }

[shared]
product = { rows = "SELECT id FROM product" }

[operations.sign-in]
request = "POST /sign-in"
body = { name = "{{ actor.name }}" }
race = false
capture.token = { json = "$.token" }

[operations.page]
request = "GET /buy"
race = false
capture.csrf = { regex = 'name="csrf" value="([^"]+)"' }

[operations.buy]
request = "POST /buy"
before = ["page"]
form = { csrf = "{{ csrf }}", product = "{{ product }}" }
answers = [201, 409]

[operations.buy-by-graphql]
request = "POST /graphql"
body = { query = "mutation Buy($product: ID!) { buy(product: $product) { sold } }", variables = { product = "{{ product }}" } }
failure = { json = "$.errors[*]" }
answers = [200]

[invariants.stock]
says = "Nothing is sold that is not there."
sql = "SELECT id, stock FROM product WHERE stock < 0"
"#;

#[test]
fn a_running_service_whose_customers_sign_in() {
    let place = Place::new();
    place.file("session.py", include_str!("services/session.py"));
    place.file(
        "schema.sql",
        "CREATE TABLE product (id INTEGER PRIMARY KEY, stock INT NOT NULL); \
         INSERT INTO product VALUES (1, 1), (2, 1);",
    );
    let database = place.path().join("shop.db").display().to_string();
    let port = free_port();
    place.target(&format!(
        "[service]\nurls = ['http://127.0.0.1:{port}']\nready = '/health'\n{SESSION}"
    ));
    let url = format!("sqlite://{database}?mode=rwc");
    let run = ["run", ".", "--database-url", &url, "--rounds", "200"];
    place.run(&run).fails(2, &["reset", "--reset-database"]);
    let service = Running::start(&place, &database, port);
    let run = place.run(&[&run[..], &["--reset-database"]].concat());
    assert_eq!(run.code, Some(1), "{run:#?}");
    for shown in [
        "Nothing is sold that is not there.",
        "invariant `stock` on sqlite",
        "Authorization: Bearer ",
        "Cookie: sid=",
    ] {
        let shown = shown.to_lowercase();
        let out = run.out.to_lowercase();
        assert!(out.contains(&shown), "no {shown:?} in {run:#?}");
    }
    drop(service);
    place
        .run(
            &[
                &["run", ".", "--database-url", &url],
                &["--reset-database"][..],
            ]
            .concat(),
        )
        .fails(3, &["127.0.0.1", "urls"]);
}

#[test]
fn a_service_that_remembers_is_told_of_each_restore() {
    let place = Place::new();
    place.file("memory.py", include_str!("services/memory.py"));
    let target = |after_restore: &str| {
        place.target(&format!(
            "[service]\nstart = 'exec python3 memory.py'\nready = '/'\nenv.DATABASE = '{{{{ database.path }}}}'\n{after_restore}\n\
             [database]\nengines = ['sqlite']\n\
             [operations.buy]\nrequest = 'POST /buy'\nanswers = [201, 409]\n"
        ));
    };
    let run = ["run", ".", "--rounds", "12", "--calls", "2..4"];
    for after_restore in [
        "after_restore = 'POST /reload'",
        "after_restore = 'restart'",
    ] {
        target(after_restore);
        let ran = place.run(&run);
        assert_eq!(ran.code, Some(0), "{after_restore}: {ran:#?}");
    }
    target("");
    let ran = place.run(&run);
    assert_eq!(ran.code, Some(1), "memory and database differ: {ran:#?}");
}

#[test]
fn calls_that_wait_for_each_other_for_ever_are_a_finding() {
    let place = Place::new();
    place.file("deadlock.py", include_str!("services/deadlock.py"));
    place.file(
        "schema.sql",
        "CREATE TABLE shelf (name TEXT PRIMARY KEY, things INT NOT NULL); \
         INSERT INTO shelf VALUES ('left', 5), ('right', 5);",
    );
    place.target(
        "[service]\nstart = 'exec python3 deadlock.py'\nready = '/'\nanswer_within = '250ms'\n\
         env.DATABASE = '{{ database.path }}'\n\
         [database]\nengines = ['sqlite']\nprepare = ['schema.sql']\n\
         [operations.move]\nrequest = 'POST /move/{{ from }}'\n\
         values.from = { choice = ['left', 'right'] }\n",
    );
    let run = place.run(&["run", ".", "--rounds", "200"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.out.contains("FOUND"), "{run:#?}");
    assert!(
        run.out.contains("/move/left") && run.out.contains("/move/right"),
        "{run:#?}"
    );
}
