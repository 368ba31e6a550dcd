//! What a gate costs that holds nothing, beside PgBouncer (session mode) and beside
//! no proxy at all: `SELECT 1`, and an order's transaction of six statements. And
//! what it costs to be told of every step and to let it go.
//!
//! Each way is a process of its own, and all have the same server. They take turns
//! within one run, so that what else the machine does strikes all of them.
//!
//! `cargo bench --bench gate -- [seconds]`; `--runtime many` gives the gate's process
//! a thread a core instead of one thread.

#![allow(missing_docs)]

use std::error::Error;
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table};
use deadheat::database::{self, Source};
use deadheat::gate::{Event, Gate, Upstream};
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use hdrhistogram::Histogram;
use tokio_postgres::{Client, NoTls, Statement};
use url::Url;

type Failure = Box<dyn Error + Send + Sync>;

/// How often all ways have their turn.
const TURNS: u32 = 50;

/// How long each measures, all turns together, unless asked otherwise.
const SECONDS: f64 = 5.0;

const CONNECTIONS: [usize; 2] = [1, 32];

/// Rows enough for each connection to have its own.
const SCHEMA: &str = "
    CREATE TABLE product (id int PRIMARY KEY, stock int NOT NULL, price int NOT NULL);
    CREATE TABLE orders (id bigserial PRIMARY KEY, product int NOT NULL, total int NOT NULL);
    INSERT INTO product SELECT n, 1000000000, 5 FROM generate_series(0, 31) n;";

const PGBOUNCER: &str = "pgbouncer";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let many = after("--runtime").as_deref() == Some("many");
    if let Some(url) = after("--serve") {
        return serve(&url, many, after("--hold").is_some());
    }
    let seconds = arguments.first().and_then(|text| text.parse().ok());
    let turn = Duration::from_secs_f64(seconds.unwrap_or(SECONDS) / f64::from(TURNS));
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(measure(turn, many))
}

/// The gate's process: says its port, and ends with its standard input.
fn serve(url: &str, many: bool, hold: bool) -> Result<(), Failure> {
    let runtime = if many {
        tokio::runtime::Runtime::new()?
    } else {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
    };
    runtime.block_on(async {
        let (tell, mut events) = tokio::sync::mpsc::unbounded_channel();
        let gate = Gate::open(Upstream::parse(url)?, |_| true, tell).await?;
        gate.hold(hold);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Arrived { go, .. } = event {
                    go.run();
                }
            }
        });
        println!("{}", gate.port());
        let end = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
        end.await?;
        Ok(())
    })
}

async fn measure(turn: Duration, many: bool) -> Result<(), Failure> {
    let database = database::open(Engine::Postgres, &Source::ThrowAway, &Guard::disabled()).await?;
    let url = database.url().to_owned();
    connect(&url).await?.batch_execute(SCHEMA).await?;
    let gate = start_gate(&url, many, false)?;
    let holding = start_gate(&url, many, true)?;
    let bouncer = start_bouncer(&url);
    let mut ways = vec![Way::new("no proxy", &url)];
    match &bouncer {
        Ok(bouncer) => ways.push(Way::new("PgBouncer", &bouncer.url)),
        Err(why) => eprintln!(
            "PgBouncer is left out: {why}\n\
             Install it with `apt-get install pgbouncer`."
        ),
    }
    ways.push(Way::new("gate", &gate.url));
    ways.push(Way::new("gate, holding", &holding.url));
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["what", "connections", "way", "p50 µs", "p99 µs", "a second"]);
    for work in [Work::Select, Work::Order] {
        for connections in CONNECTIONS {
            for way in &mut ways {
                way.connect(connections).await?;
            }
            for _ in 0..TURNS {
                for way in &mut ways {
                    way.measure(work, turn).await?;
                }
            }
            for way in &mut ways {
                let seconds = turn.as_secs_f64() * f64::from(TURNS);
                let micros = |quantile| nanos(way.times.value_at_quantile(quantile)) / 1000.0;
                table.add_row([
                    work.name().to_owned(),
                    connections.to_string(),
                    way.name.to_owned(),
                    format!("{:.1}", micros(0.5)),
                    format!("{:.1}", micros(0.99)),
                    format!("{:.0}", nanos(way.times.len()) / seconds),
                ]);
                way.times.reset();
            }
        }
    }
    for column in [1, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    drop(ways);
    drop((gate, holding, bouncer));
    database.close().await?;
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Neither times nor counts come near 2^52.
fn nanos(number: u64) -> f64 {
    number as f64
}

#[derive(Clone, Copy)]
enum Work {
    Select,
    Order,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Select => "SELECT 1",
            Work::Order => "order",
        }
    }
}

/// One way to the server.
struct Way {
    name: &'static str,
    url: String,
    sessions: Vec<Session>,
    times: Histogram<u64>,
}

struct Session {
    client: Client,
    number: i32,
    one: Statement,
    read: Statement,
    take: Statement,
    insert: Statement,
    count: Statement,
}

impl Way {
    fn new(name: &'static str, url: &str) -> Way {
        Way {
            name,
            url: url.to_owned(),
            sessions: Vec::new(),
            times: Histogram::new_with_bounds(100, 60_000_000_000, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are in order")),
        }
    }

    async fn connect(&mut self, connections: usize) -> Result<(), Failure> {
        self.sessions.clear();
        for number in (0..).take(connections) {
            let client = connect(&self.url).await?;
            self.sessions.push(Session {
                number,
                one: client.prepare("SELECT 1").await?,
                read: client
                    .prepare("SELECT stock, price FROM product WHERE id = $1")
                    .await?,
                take: client
                    .prepare("UPDATE product SET stock = stock - 1 WHERE id = $1")
                    .await?,
                insert: client
                    .prepare("INSERT INTO orders (product, total) VALUES ($1, $2) RETURNING id")
                    .await?,
                count: client
                    .prepare("SELECT total FROM orders WHERE id = $1")
                    .await?,
                client,
            });
        }
        Ok(())
    }

    /// Every session works without a pause.
    async fn measure(&mut self, work: Work, turn: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut working = Vec::new();
        for session in std::mem::take(&mut self.sessions) {
            working.push(tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < turn {
                    let since = Instant::now();
                    session.run(work).await?;
                    times.push(since.elapsed());
                }
                Ok::<_, Failure>((session, times))
            }));
        }
        for work in working {
            let (session, times) = work.await??;
            self.sessions.push(session);
            for time in times {
                self.times.record(u64::try_from(time.as_nanos())?)?;
            }
        }
        Ok(())
    }
}

impl Session {
    async fn run(&self, work: Work) -> Result<(), Failure> {
        let client = &self.client;
        match work {
            Work::Select => {
                client.query_one(&self.one, &[]).await?;
            }
            Work::Order => {
                client.batch_execute("BEGIN").await?;
                let row = client.query_one(&self.read, &[&self.number]).await?;
                let price: i32 = row.get(1);
                client.execute(&self.take, &[&self.number]).await?;
                let row = client
                    .query_one(&self.insert, &[&self.number, &price])
                    .await?;
                let id: i64 = row.get(0);
                client.query_one(&self.count, &[&id]).await?;
                client.batch_execute("COMMIT").await?;
            }
        }
        Ok(())
    }
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A process between client and server, which ends with this.
struct Proxy {
    child: Child,
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_port(url: &str, port: u16) -> Result<String, Failure> {
    let mut url = Url::parse(url)?;
    url.set_port(Some(port))
        .map_err(|()| "no port can be set")?;
    Ok(url.into())
}

fn start_gate(url: &str, many: bool, hold: bool) -> Result<Proxy, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve", url]);
    if many {
        command.args(["--runtime", "many"]);
    }
    if hold {
        command.args(["--hold", "each"]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut port = String::new();
    let output = child.stdout.take().ok_or("the gate has no output")?;
    std::io::BufReader::new(output).read_line(&mut port)?;
    Ok(Proxy {
        url: with_port(url, port.trim().parse()?)?,
        child,
        _folder: None,
    })
}

fn start_bouncer(url: &str) -> Result<Proxy, Failure> {
    let parsed = Url::parse(url)?;
    let (user, database) = (parsed.username(), parsed.path().trim_start_matches('/'));
    let (password, server) = (
        parsed.password().unwrap_or_default(),
        parsed.port().unwrap_or(5432),
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let users = path.join("users");
    std::fs::write(&users, format!("\"{user}\" \"{password}\"\n"))?;
    let settings = path.join("settings.ini");
    let text = format!(
        "[databases]\n{database} = host=127.0.0.1 port={server} dbname={database}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
         default_pool_size = 100\nmax_client_conn = 200\nserver_reset_query =\n\
         ignore_startup_parameters = extra_float_digits\nlogfile = {}\n",
        users.display(),
        path.join("log").display(),
    );
    std::fs::write(&settings, text)?;
    let mut command = Command::new(PGBOUNCER);
    command
        .arg(&settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It refuses to run as root.
    if nix::unistd::geteuid().is_root() {
        use std::os::unix::fs::{PermissionsExt, chown};
        use std::os::unix::process::CommandExt;
        let nobody = nix::unistd::User::from_name("postgres")?.ok_or("no user postgres")?;
        let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
        for file in [path, &users, &settings] {
            chown(file, Some(uid), Some(gid))?;
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
        command.uid(uid).gid(gid);
    }
    let child = command
        .spawn()
        .map_err(|error| format!("`{PGBOUNCER}` cannot be started: {error}"))?;
    let mut proxy = Proxy {
        child,
        url: with_port(url, port)?,
        _folder: Some(folder),
    };
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = proxy.child.try_wait()? {
            return Err(format!("`{PGBOUNCER}` ended with {status}").into());
        }
        if begun.elapsed() > Duration::from_secs(5) {
            return Err(format!("`{PGBOUNCER}` does not listen").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(proxy)
}
