//! The gate of a stage, and what is known of what goes through it.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::clock::Alarm;
use crate::database::{Database, Folder};
use crate::failure::Failure;
use crate::gate::control::Pace;
use crate::gate::reader::Reader;
use crate::gate::sql::{CATALOG, Catalog, uncommented};
use crate::gate::{Event, Gate, GateError, Statement, Upstream};
use crate::guard::Guard;
use crate::stage::habits::Habits;
use crate::stub;

/// How long the service is listened to before the first call, for what it does of its
/// own accord: what polls more often is known from the first round on.
pub(crate) const LISTEN_FIRST: Duration = Duration::from_millis(100);

/// The isolation level of transactions that ask for none, in the gate's engine.
const DEFAULT_ISOLATION: &str = "SELECT current_setting('default_transaction_isolation') AS level";

/// The gate, and what is known of what goes through it.
pub(crate) struct Gating {
    pub(crate) gate: Gate,
    pub(crate) events: UnboundedReceiver<Event>,
    /// What the stand-ins tell.
    pub(crate) third_parties: UnboundedReceiver<stub::Event>,
    pub(crate) reader: Arc<Reader>,
    /// The server process of each session.
    pub(crate) processes: HashMap<u64, i32>,
    /// The replica of each session.
    pub(crate) replicas: HashMap<u64, usize>,
    pub(crate) pace: Pace,
    pub(crate) habits: Habits,
    pub(crate) alarm: Alarm,
    /// Whether every call so far has been answered, so that what comes is nobody's.
    pub(crate) calm: bool,
    /// Holds the gate's Unix sockets.
    folder: Folder,
}

impl Gating {
    /// Opens a gate before the database of this URL, with a port for each replica.
    pub(super) async fn open(
        url: &str,
        replicas: usize,
        third_parties: UnboundedReceiver<stub::Event>,
        guard: &Guard,
    ) -> Result<Gating, Failure> {
        let reader = Arc::new(Reader::default());
        let (tell, events) = mpsc::unbounded_channel();
        let asked = Arc::clone(&reader);
        let matters = move |statement: &Statement| asked.matters(statement);
        let mut gate = Gate::open(Upstream::parse(url)?, matters, tell).await?;
        for _ in 1..replicas {
            gate.add_port().await?;
        }
        let folder = Folder::new(guard)?;
        gate.open_socket(folder.path())?;
        Ok(Gating {
            gate,
            events,
            third_parties,
            reader,
            processes: HashMap::new(),
            replicas: HashMap::new(),
            pace: Pace::default(),
            habits: Habits::default(),
            alarm: Alarm::new().map_err(|source| GateError::Thread { source })?,
            calm: true,
            folder,
        })
    }

    /// The folder of the Unix sockets.
    pub(super) fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Learns the tables that stand now, what transactions see of them, and what the
    /// service does before it is called.
    pub(super) async fn learn(&mut self, database: &mut dyn Database) -> Result<(), Failure> {
        let rows = database.query(CATALOG, None).await?;
        let catalog = Catalog::from_rows(&rows);
        let catalog = catalog.map_err(|error| Failure::Internal(error.to_string()))?;
        let level = database.query(DEFAULT_ISOLATION, None).await?;
        let level = level.first().and_then(|row| row.get("level"));
        let level = level.and_then(Value::as_str).unwrap_or_default();
        self.reader.learn(catalog, level);
        self.uncalled(tokio::time::sleep(LISTEN_FIRST)).await;
        Ok(())
    }

    /// The service was started anew: no call is under way, and what it did of its own
    /// accord it does on other connections.
    pub(crate) async fn learn_anew(&mut self) {
        self.calm = true;
        if self.habits.any() {
            self.uncalled(tokio::time::sleep(LISTEN_FIRST)).await;
        }
    }

    /// Does something while no call is under way, and learns what the service does
    /// meanwhile.
    pub(crate) async fn uncalled<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        self.gate.hold(self.calm);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some(event) = self.events.recv() => self.overhear(event),
            }
        };
        self.gate.hold(false);
        while let Ok(event) = self.events.try_recv() {
            self.overhear(event);
        }
        // Of a race that is over.
        while self.third_parties.try_recv().is_ok() {}
        done
    }

    fn overhear(&mut self, event: Event) {
        match event {
            Event::Arrived {
                session, statement, ..
            } => {
                if self.calm {
                    let (plain, _) = uncommented(&statement.sql);
                    self.habits.learn(session, &plain);
                }
            }
            Event::Answered { .. } | Event::Stirred { .. } => {}
            Event::Opened { .. } | Event::Closed { .. } => self.sessions(&event),
        }
    }

    /// The replica that connects to a port of the gate's.
    pub(crate) fn replica(&self, port: u16) -> Option<usize> {
        self.gate.ports().iter().position(|own| *own == port)
    }

    /// Keeps account of the sessions that there are.
    pub(crate) fn sessions(&mut self, event: &Event) {
        match *event {
            Event::Opened {
                session,
                port,
                backend_pid,
            } => {
                let replica = self.replica(port);
                self.replicas.extend(replica.map(|own| (session, own)));
                self.processes.extend(backend_pid.map(|own| (session, own)));
            }
            Event::Closed { session } => {
                self.processes.remove(&session);
                self.replicas.remove(&session);
                self.habits.closed(session);
            }
            Event::Arrived { .. } | Event::Answered { .. } | Event::Stirred { .. } => {}
        }
    }
}
