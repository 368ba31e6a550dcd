//! The gate: a PostgreSQL front between a service and its server, which passes
//! everything through and, while it is told to, holds each step until it is let go.
//!
//! A *step* is what the server runs at once: a simple query, or extended messages up
//! to a Sync or Flush, if they execute anything. A gate knows sessions and steps. It
//! decides nothing: which steps matter, which call a session works for, who moves next
//! and what is struck by a fault are asked of others. It does not read SQL.

mod answers;
pub mod control;
mod error;
mod event;
mod front;
mod listener;
mod names;
mod pace;
pub mod reader;
mod session;
pub mod sql;
mod strike;
mod tls;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinSet};

use crate::hold::{Holding, Switch, switch};
use listener::Listener;

pub use error::GateError;
pub use event::{Event, SqlError, Statement, StepAnswer, TransactionStatus};
pub use strike::Strike;
pub use upstream::Upstream;

/// How long to wait when the system has no more files to give.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// An open gate. Dropping it closes its ports, its socket and every session.
#[derive(Debug)]
pub struct Gate {
    /// The first that was opened, and then those that were added.
    ports: Vec<u16>,
    holding: Switch,
    shared: Arc<Shared>,
    accepting: Vec<AbortHandle>,
}

impl Gate {
    /// Opens a gate before a server: it listens on a free port of 127.0.0.1, and
    /// connects to the server once for each session. Nothing is held at first.
    ///
    /// `matters` tells which steps are held, when steps are; the others pass at once
    /// and are not told of. It is called for every step, so it should be quick.
    pub async fn open(
        upstream: Upstream,
        matters: impl Fn(&Statement) -> bool + Send + Sync + 'static,
        events: UnboundedSender<Event>,
    ) -> Result<Gate, GateError> {
        let (holding, held) = switch();
        let shared = Arc::new(Shared {
            upstream,
            matters: Box::new(matters),
            events,
            holding: held,
            last_session: AtomicU64::new(0),
            sessions: Mutex::default(),
        });
        let mut gate = Gate {
            ports: Vec::new(),
            holding,
            shared,
            accepting: Vec::new(),
        };
        gate.add_port().await?;
        Ok(gate)
    }

    /// Listens at a Unix socket as well: for clients that are given this folder for a
    /// host, and a port of the gate's. What is in the folder is the caller's to remove.
    pub fn open_socket(&mut self, folder: &Path) -> Result<(), GateError> {
        for port in self.ports.clone() {
            let listener = Listener::unix(folder, port)?;
            self.accept_at(listener, port);
        }
        Ok(())
    }

    fn accept_at(&mut self, listener: Listener, port: u16) {
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&self.shared)));
        self.accepting.push(accepting.abort_handle());
    }

    /// Listens on one more port, so that sessions can be told apart by where they came.
    pub async fn add_port(&mut self) -> Result<(), GateError> {
        let (listener, port) = Listener::tcp().await?;
        self.accept_at(listener, port);
        self.ports.push(port);
        Ok(())
    }

    /// The ports on 127.0.0.1, in the order in which they were opened.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The first port.
    pub fn port(&self) -> u16 {
        self.ports.first().copied().unwrap_or_default()
    }

    /// The URL of the database as the service is to be given it: with the gate in
    /// the server's place, and without TLS.
    pub fn url(&self, database: &str) -> Result<String, GateError> {
        upstream::with_port(database, self.port())
    }

    /// The same, of every port.
    pub fn urls(&self, database: &str) -> Result<Vec<String>, GateError> {
        let ports = self.ports.iter();
        ports
            .map(|port| upstream::with_port(database, *port))
            .collect()
    }

    /// Whether steps are held until they are let go. A step whose first byte has
    /// passed before is not held; turning this off lets go whatever is held at that
    /// moment.
    pub fn hold(&self, on: bool) {
        self.holding.turn(on);
    }

    /// The sessions that are inside a transaction or await an answer, whether their
    /// steps were held or not. What is held and has nothing else under way does not
    /// count.
    pub fn unsettled(&self) -> Vec<u64> {
        let sessions = self.shared.sessions();
        let unsettled = sessions.iter().filter(|(_, talk)| !talk.is_at_rest());
        unsettled.map(|(number, _)| *number).collect()
    }

    /// For each session the number of the last statement that it has prepared under a
    /// name and not closed, counted from 1: what such a one returns is fixed at the
    /// server, for as long as it is there.
    pub fn prepared(&self) -> BTreeMap<u64, u64> {
        let sessions = self.shared.sessions();
        let prepared = sessions
            .iter()
            .map(|(number, talk)| (*number, talk.prepared()));
        prepared.collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for accepting in &self.accepting {
            accepting.abort();
        }
    }
}

/// What a gate's sessions have in common.
struct Shared {
    upstream: Upstream,
    matters: Box<dyn Fn(&Statement) -> bool + Send + Sync>,
    events: UnboundedSender<Event>,
    holding: Holding,
    last_session: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Arc<session::Talk>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("upstream", &self.upstream)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn next_session(&self) -> u64 {
        self.last_session.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<session::Talk>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, session: u64, talk: Arc<session::Talk>) {
        self.sessions().insert(session, talk);
    }

    fn forget(&self, session: u64) {
        self.sessions().remove(&session);
    }

    /// Where nobody listens any more, nothing is held: what an event carries is
    /// dropped, and that lets it go.
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn stirred(&self, session: Option<u64>, port: u16) {
        if self.holding.now().on {
            self.tell(Event::Stirred { session, port });
        }
    }
}

/// Takes connections until it is aborted, and every session with it.
async fn accept(listener: Listener, port: u16, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((reading, writing)) => {
                    let served = session::serve(Arc::clone(&shared), port, reading, writing);
                    sessions.spawn(served);
                }
                // A client that has given up already, or too many open files.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
            },
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
        }
    }
}
