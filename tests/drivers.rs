//! Drivers as services use them, through the gate. Each does the same work straight at
//! the server, through a gate that holds nothing, and through one that holds each step:
//! the three must see the same. `docs/drivers.md` has the table that is measured here.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

#[path = "drivers/install.rs"]
mod install;
#[path = "drivers/with_sqlx.rs"]
mod with_sqlx;
#[path = "drivers/with_tokio_postgres.rs"]
mod with_tokio_postgres;

use std::fmt::Display;
use std::process::Stdio;
use std::time::Duration;

use deadheat::database::{self, Database, Source};
use deadheat::gate::reader::Reader;
use deadheat::gate::sql::{CATALOG, Catalog};
use deadheat::gate::{Event, Gate, Statement, Upstream};
use deadheat::guard::Guard;
use deadheat::model::engine::Engine;
use install::Installed;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

/// What the table shows.
const DOC: &str = include_str!("../docs/drivers.md");

/// The rows of the table, in order.
const DRIVERS: [&str; 7] = [
    "sqlx",
    "tokio-postgres",
    "psycopg",
    "asyncpg",
    "node-postgres",
    "Postgres.js",
    "TypeORM",
];

/// The columns of the table, and what their lines begin with.
const COLUMNS: [(&str, &str); 7] = [
    ("queries", "queries"),
    ("transactions", "transactions"),
    ("savepoints", "savepoints"),
    ("`COPY`", "copy"),
    ("errors", "errors"),
    ("cancel", "cancel"),
    ("`LISTEN`", "notify"),
];

/// The last column: whether the steps of the tenth run are those of the first.
const STEPS: &str = "steps of a run, the first as the tenth";

/// What each run of the steps begins with, and stands after the last.
const RUN: &str = "UPDATE run SET n = n + 1";

const RUNS: usize = 10;

/// What the drivers work on.
const SCHEMA: &str = include_str!("drivers/schema.sql");

/// No work takes long; one that hangs should say where.
const WITHIN: Duration = Duration::from_mins(1);

/// What a driver saw, in lines of `section: what`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<String>);

impl Lines {
    /// Adds a line.
    pub fn tell(&mut self, section: &str, what: impl Display) {
        self.0.push(format!("{section}: {what}"));
    }

    /// Those of one section, without its name.
    fn of(&self, section: &str) -> Vec<&str> {
        let named = |line| str::strip_prefix(line, section)?.strip_prefix(": ");
        self.0.iter().filter_map(|line| named(line)).collect()
    }
}

/// The version of a crate that this was built with.
fn locked(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let named = format!("name = \"{package}\"\nversion = \"");
    let (_, version) = lock.split_once(&named).unwrap();
    version.split('"').next().unwrap()
}

/// How a driver's work is started.
#[derive(Clone, Copy)]
enum Work {
    Sqlx,
    TokioPostgres,
    Python(&'static str),
    Node(&'static str),
}

impl Work {
    /// Does the work on a database.
    async fn run(self, url: String) -> Lines {
        let mut lines = Lines::default();
        // What is installed may take its time.
        let installed = match self {
            Work::Python(_) => install::python(),
            Work::Node(_) => install::node(),
            _ => Installed::default(),
        };
        let work = async {
            match self {
                Work::Sqlx => with_sqlx::work(url, &mut lines).await,
                Work::TokioPostgres => with_tokio_postgres::work(url, &mut lines).await,
                Work::Python(file) | Work::Node(file) => {
                    program(&installed, file, url, &mut lines).await;
                }
            }
        };
        let done = tokio::time::timeout(WITHIN, work).await;
        done.unwrap_or_else(|_| panic!("it hangs after {lines:#?}"));
        lines
    }
}

/// Runs a program to its end, for the lines that it prints.
async fn program(installed: &Installed, file: &str, url: String, lines: &mut Lines) {
    let mut program = Command::new(&installed.interpreter)
        .arg(installed.folder.join(file))
        .env("DATABASE_URL", url)
        .env("NODE_NO_WARNINGS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut err = program.stderr.take().unwrap();
    let mut complaints = String::new();
    let told = async {
        while let Some(line) = out.next_line().await.unwrap() {
            lines.0.push(line);
        }
    };
    let complained = err.read_to_string(&mut complaints);
    let (status, (), _) = tokio::join!(program.wait(), told, complained);
    let status = status.unwrap();
    assert!(status.success(), "{file}: {complaints}\nafter {lines:#?}");
}

/// Opens a gate as a run does, and lets each step go at once. What it says once the
/// gate is closed is the steps that it held.
async fn open_gate(database: &mut dyn Database, hold: bool) -> (Gate, JoinHandle<Vec<Statement>>) {
    let rows = database.query(CATALOG, None).await.unwrap();
    let reader = Reader::default();
    reader.learn(Catalog::from_rows(&rows).unwrap(), "read committed");
    let (tell, mut events) = unbounded_channel();
    let upstream = Upstream::parse(database.url()).unwrap();
    let matters = move |statement: &Statement| reader.matters(statement);
    let gate = Gate::open(upstream, matters, tell).await.unwrap();
    gate.hold(hold);
    let steps = tokio::spawn(async move {
        let mut steps = Vec::new();
        while let Some(event) = events.recv().await {
            if let Event::Arrived { statement, go, .. } = event {
                steps.push(statement);
                go.run();
            }
        }
        steps
    });
    (gate, steps)
}

/// What a driver saw straight at the server, what it saw at the gate, and the steps of
/// its runs.
struct Measured {
    direct: Lines,
    passing: Lines,
    holding: Lines,
    runs: Vec<Vec<Statement>>,
}

async fn measure(work: Work) -> Measured {
    let source = Source::ThrowAway;
    let opened = database::open(Engine::Postgres, &source, &Guard::disabled()).await;
    let mut database = opened.unwrap();
    database.run_script(SCHEMA).await.unwrap();
    let direct = work.run(database.url().to_owned()).await;
    let mut through = async |hold| {
        database.run_script(SCHEMA).await.unwrap();
        let (gate, steps) = open_gate(database.as_mut(), hold).await;
        let lines = work.run(gate.url(database.url()).unwrap()).await;
        drop(gate);
        (lines, steps.await.unwrap())
    };
    let (passing, steps) = through(false).await;
    assert!(steps.is_empty(), "{steps:?}");
    let (holding, steps) = through(true).await;
    let runs = steps.split(|step| step.sql == RUN);
    Measured {
        direct,
        passing,
        holding,
        runs: runs.map(<[Statement]>::to_vec).collect(),
    }
}

impl Measured {
    /// The table's row, and the reasons of its dashes.
    fn row(&self, name: &str) -> (String, Vec<String>) {
        let mut reasons = Vec::new();
        let version = self.direct.of("version").join(" ");
        let mut row = format!("| {name} {version} |");
        for (column, section) in COLUMNS {
            let [direct, passing, holding] =
                [&self.direct, &self.passing, &self.holding].map(|lines| lines.of(section));
            assert_eq!(direct, passing, "{name} through the gate: {section}");
            assert_eq!(direct, holding, "{name} at the gate that holds: {section}");
            let cell = match direct.as_slice() {
                [] => panic!("{name} says nothing about {section}"),
                [line] if line.starts_with("- ") => {
                    reasons.push(format!("- {name}, {column}: {}.", &line[2..]));
                    "–"
                }
                _ => "yes",
            };
            row.extend([" ", cell, " |"]);
        }
        assert_eq!(self.direct, self.passing, "{name} through the gate");
        assert_eq!(self.direct, self.holding, "{name} at the gate that holds");
        // What comes before the first run and after the last is none of them.
        let [_, first, .., tenth, _] = self.runs.as_slice() else {
            panic!("{name}: {:?}", self.runs);
        };
        assert_eq!(self.runs.len(), RUNS + 2, "{name}");
        assert_eq!(first, tenth, "{name}: the first run and the tenth");
        row.extend([" ", &first.len().to_string(), " |"]);
        (row, reasons)
    }
}

async fn is_as_the_table_says(name: &str, work: Work) {
    let (row, reasons) = measure(work).await.row(name);
    for line in [row].iter().chain(&reasons) {
        let shown = DOC.lines().any(|shown| shown == line);
        assert!(shown, "docs/drivers.md does not say:\n{line}");
    }
    let shown = |line: &&str| line.starts_with(&format!("- {name}, "));
    assert_eq!(DOC.lines().filter(shown).count(), reasons.len(), "{name}");
}

#[test]
fn the_table_has_these_rows_and_columns() {
    let columns = COLUMNS.map(|(column, _)| format!(" {column} |")).concat();
    let head = format!("| Driver |{columns} {STEPS} |");
    let table = DOC.lines().skip_while(|line| *line != head).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let names = rows.map(|row| row.split(' ').nth(1).unwrap());
    assert_eq!(names.collect::<Vec<_>>(), DRIVERS, "below {head}");
}

#[tokio::test]
async fn sqlx() {
    is_as_the_table_says(DRIVERS[0], Work::Sqlx).await;
}

#[tokio::test]
async fn tokio_postgres() {
    is_as_the_table_says(DRIVERS[1], Work::TokioPostgres).await;
}

#[tokio::test]
async fn psycopg() {
    is_as_the_table_says(DRIVERS[2], Work::Python("with_psycopg.py")).await;
}

#[tokio::test]
async fn asyncpg() {
    is_as_the_table_says(DRIVERS[3], Work::Python("with_asyncpg.py")).await;
}

#[tokio::test]
async fn node_postgres() {
    is_as_the_table_says(DRIVERS[4], Work::Node("with_pg.mjs")).await;
}

#[tokio::test]
async fn postgres_js() {
    is_as_the_table_says(DRIVERS[5], Work::Node("with_postgres.mjs")).await;
}

#[tokio::test]
async fn typeorm() {
    is_as_the_table_says(DRIVERS[6], Work::Node("with_typeorm.mjs")).await;
}
