//! Gates before a real server, with drivers as services use them and with bytes as
//! no driver sends them.

mod ends;
mod holding;
mod order;
mod passing;
mod raw;
mod shapes;
mod strikes;
mod tls;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::database::{self, Database, Source};
use crate::guard::Guard;
use crate::hold::Go;
use crate::model::engine::Engine;

/// Nothing here takes long; a test that hangs should say where.
const WITHIN: Duration = Duration::from_secs(30);

/// A server that the tests which run at the same time share.
struct Server {
    url: String,
    /// The same server through its Unix socket, which asks for no password.
    trusted: String,
    _database: Mutex<Box<dyn Database>>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

async fn new_server() -> Server {
    let source = Source::ThrowAway;
    let opened = database::open(Engine::Postgres, &source, &Guard::disabled()).await;
    let mut database = opened.unwrap();
    let url = database.url().to_owned();
    let sql = "SELECT current_setting('unix_socket_directories') AS folder";
    let rows = database.query(sql, None).await.unwrap();
    let folder = rows[0]["folder"].as_str().unwrap();
    let parsed = url::Url::parse(&url).unwrap();
    let trusted = format!(
        "postgres://{}:{}{}?host={folder}",
        "localhost",
        parsed.port().unwrap(),
        parsed.path()
    );
    Server {
        url,
        trusted,
        _database: Mutex::new(database),
    }
}

async fn server() -> Arc<Server> {
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(new_server().await);
    *shared = Arc::downgrade(&server);
    server
}

async fn connect(url: &str) -> (Client, JoinHandle<()>) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (client, task)
}

/// A gate before a server.
struct Place {
    gate: Gate,
    events: UnboundedReceiver<Event>,
    /// Of the database through the gate.
    url: String,
    server: Arc<Server>,
}

/// What the tests take for what does not matter.
fn matters(statement: &Statement) -> bool {
    let first = statement.sql.split(' ').next().unwrap_or_default();
    !["BEGIN", "START", "SHOW", "SET", "LISTEN"].contains(&first) && statement.sql != "SELECT 1"
}

async fn place() -> Place {
    let server = server().await;
    before(server.url.clone(), server).await
}

/// With a server that lets everybody in.
async fn trusting() -> Place {
    let server = server().await;
    before(server.trusted.clone(), server).await
}

async fn before(url: String, server: Arc<Server>) -> Place {
    let (tell, events) = unbounded_channel();
    let upstream = Upstream::parse(&url).unwrap();
    let gate = Gate::open(upstream, matters, tell).await.unwrap();
    Place {
        url: gate.url(&server.url).unwrap(),
        gate,
        events,
        server,
    }
}

impl Place {
    async fn client(&self) -> Client {
        connect(&self.url).await.0
    }

    /// The client past the gate.
    async fn direct(&self) -> Client {
        connect(&self.server.url).await.0
    }

    /// What happens next, signs of life apart.
    async fn next(&mut self) -> Event {
        loop {
            let next = tokio::time::timeout(WITHIN, self.events.recv()).await;
            match next.expect("nothing happens at the gate").unwrap() {
                Event::Stirred { .. } => {}
                event => return event,
            }
        }
    }

    async fn opened(&mut self) -> (u64, Option<i32>) {
        match self.next().await {
            Event::Opened {
                session,
                backend_pid,
                ..
            } => (session, backend_pid),
            other => panic!("{other:?}"),
        }
    }

    async fn arrived(&mut self) -> Arrived {
        match self.next().await {
            Event::Arrived {
                session,
                statement,
                in_transaction,
                go,
            } => Arrived {
                session,
                statement,
                in_transaction,
                go,
            },
            other => panic!("{other:?}"),
        }
    }

    async fn answered(&mut self) -> StepAnswer {
        match self.next().await {
            Event::Answered { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn closed(&mut self) -> u64 {
        match self.next().await {
            Event::Closed { session } => session,
            other => panic!("{other:?}"),
        }
    }

    /// Lets a step go that has to be this one.
    async fn step(&mut self, sql: &str) -> StepAnswer {
        let arrived = self.arrived().await;
        assert_eq!(arrived.statement.sql, sql);
        arrived.go.run();
        self.answered().await
    }

    /// Lets every step go; returns their SQL once the work is done.
    async fn steps_of<T>(&mut self, work: impl Future<Output = T>) -> (Vec<String>, T) {
        let mut steps = Vec::new();
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                event = self.next() => if let Event::Arrived { statement, go, .. } = event {
                    steps.push(statement.sql);
                    go.run();
                },
                done = &mut work => return (steps, done),
            }
        }
    }
}

struct Arrived {
    session: u64,
    statement: Statement,
    in_transaction: bool,
    go: Go<Strike>,
}

fn answer(rows: Option<u64>, status: TransactionStatus) -> StepAnswer {
    StepAnswer {
        rows,
        error: None,
        status,
    }
}
