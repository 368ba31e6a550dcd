//! The race: arm all, release together, and let the late ones go when it is their turn.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connect::{Connection, Connector};
use super::error::DriveError;
use super::exchange::{Armed, Outcome};
use super::request::Message;
use super::writing::Plan;
use super::{Flight, Trigger};
use crate::clock::until;
use crate::model::history::Ending;
use crate::model::scenario::HangUp;

/// A shot whose request is known to be valid.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) connector: Arc<Connector>,
    pub(super) message: Message,
    pub(super) trigger: Trigger,
    pub(super) hang_up: Option<HangUp>,
}

/// A flight, and its connection with the time since when it is idle, if it may be used again.
pub(super) type Landed = (Flight, Option<(Instant, Connection)>);

/// Fires the shots on the connections given, or on fresh ones where there is none.
pub(super) async fn race(
    shots: Vec<(Loaded, Option<Connection>)>,
    limit: Duration,
) -> Result<Vec<Landed>, DriveError> {
    // All stand before the first is written to, so that none is half-written for longer than need
    // be: servers close connections on which a request takes too long.
    let opened = open(shots).await?;
    let arming = opened
        .into_iter()
        .map(|(loaded, connection)| Runner::arm(loaded, connection));
    let mut runners = together(arming).await?;
    // While the last were armed, the first may have been closed.
    for runner in runners.iter_mut().filter(|runner| runner.is_at_barrier()) {
        runner.hold_out().await?;
    }
    let clear: Vec<bool> = runners
        .iter_mut()
        .map(|runner| runner.is_at_barrier() && runner.is_clear())
        .collect();

    let mut starts = Vec::with_capacity(runners.len());
    let zero = Instant::now();
    // From here to the end of the loop nothing may wait, allocate or wake a task.
    for (runner, clear) in runners.iter().zip(clear) {
        starts.push(clear.then(|| runner.go()));
    }

    let mut progress: Vec<watch::Receiver<Progress>> = Vec::with_capacity(runners.len());
    let mut running = Vec::with_capacity(runners.len());
    for (runner, start) in runners.into_iter().zip(starts) {
        let turn = match runner.loaded.trigger {
            Trigger::Barrier => None,
            Trigger::After { of, .. } | Trigger::Answered { of } | Trigger::HungUp { of } => {
                let of = progress.get(of).ok_or_else(|| {
                    DriveError::fault(format!("shot {} waits for a later one", progress.len()))
                })?;
                Some(of.clone())
            }
        };
        let (tell, told) = watch::channel(Progress::default());
        progress.push(told);
        running.push(async move {
            let (mut runner, start) = match (start, turn) {
                (Some(start), _) => (runner, start),
                (None, Some(turn)) => runner.wait(turn).await?,
                (None, None) => (runner, Start::Kept { at: zero }),
            };
            let (flight, end) = runner.finish(start, zero, limit, &tell, pending()).await;
            tell.send_modify(|progress| progress.ended = Some(end));
            let reusable = runner.into_reusable(&flight);
            Ok((flight, reusable))
        });
    }
    together(running).await
}

/// Connects those that have no connection yet.
pub(super) async fn open(
    shots: Vec<(Loaded, Option<Connection>)>,
) -> Result<Vec<(Loaded, Connection)>, DriveError> {
    together(shots.into_iter().map(|(loaded, idle)| async move {
        let connection = match idle {
            Some(connection) => connection,
            None => loaded.connector.open().await?,
        };
        Ok((loaded, connection))
    }))
    .await
}

/// What the shots that wait for this one want to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    released: Option<Instant>,
    ended: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// The last byte was let go; whether the socket has taken it.
    Released { at: Instant, taken: bool },
    /// The client left instead.
    Left { at: Instant },
    /// The exchange had ended, or was ending, before the last byte's turn; it was never sent.
    Kept { at: Instant },
}

#[derive(Debug)]
pub(super) struct Runner {
    loaded: Loaded,
    armed: Armed,
}

impl Loaded {
    fn plan(&self) -> Plan {
        match self.hang_up {
            Some(HangUp::HalfWay) => Plan::Half,
            Some(HangUp::BeforeAnswer { .. }) | None => Plan::AllButOne,
        }
    }
}

impl Runner {
    /// Writes the request but for what stays for the release.
    pub(super) async fn arm(loaded: Loaded, connection: Connection) -> Result<Runner, DriveError> {
        let plan = loaded.plan();
        let armed = Armed::arm(&loaded.connector, connection, &loaded.message, plan).await?;
        Ok(Runner { loaded, armed })
    }

    /// The connection, and since when it is idle, if it may be used again after this flight.
    pub(super) fn into_reusable(self, flight: &Flight) -> Option<(Instant, Connection)> {
        flight.released_us?;
        self.armed.into_reusable()
    }

    fn is_at_barrier(&self) -> bool {
        matches!(self.loaded.trigger, Trigger::Barrier)
    }

    async fn hold_out(&mut self) -> Result<(), DriveError> {
        let Loaded {
            connector, message, ..
        } = &self.loaded;
        self.armed
            .hold_out(connector, message, self.loaded.plan())
            .await
    }

    /// Whether the release still means something.
    fn is_clear(&mut self) -> bool {
        !self.armed.is_answering() && !self.armed.is_lost()
    }

    /// The release.
    pub(super) fn go(&self) -> Start {
        if let Some(HangUp::HalfWay) = self.loaded.hang_up {
            self.armed.leave();
            Start::Left { at: Instant::now() }
        } else {
            // The moment before the write: after it, the thread may have been put aside for the very
            // reader that the write woke, and a call that began before another ended must never
            // seem to have begun after it.
            let at = Instant::now();
            match self.armed.release() {
                Ok(taken) => Start::Released { at, taken },
                Err(_) => Start::Kept { at },
            }
        }
    }

    /// Waits for its turn, and starts.
    async fn wait(
        mut self,
        mut turn: watch::Receiver<Progress>,
    ) -> Result<(Runner, Start), DriveError> {
        // The channel closes without an end only when the race has failed as a whole.
        match self.loaded.trigger {
            Trigger::After { delay, .. } => {
                let progress = turn
                    .wait_for(|progress| progress.released.or(progress.ended).is_some())
                    .await
                    .map(|progress| *progress)
                    .unwrap_or_default();
                if let Some(since) = progress.released.or(progress.ended) {
                    until(since + delay).await;
                }
            }
            Trigger::Barrier | Trigger::Answered { .. } | Trigger::HungUp { .. } => {
                let _ = turn.wait_for(|progress| progress.ended.is_some()).await;
            }
        }
        // The service may have closed the connection over the wait. No request was made on it.
        self.hold_out().await?;
        let start = if self.is_clear() {
            self.go()
        } else {
            Start::Kept { at: Instant::now() }
        };
        Ok((self, start))
    }

    /// Waits for the end, or until the client `leaves`. Tells the flight and when it
    /// ended.
    pub(super) async fn finish(
        &mut self,
        start: Start,
        zero: Instant,
        limit: Duration,
        tell: &watch::Sender<Progress>,
        leaves: impl Future<Output = ()>,
    ) -> (Flight, Instant) {
        let since_zero = |at: Instant| micros(at.saturating_duration_since(zero));
        let (released, since) = match start {
            Start::Left { at } => {
                let flight = Flight {
                    released_us: None,
                    ended_us: Some(since_zero(at)),
                    ending: Ending::HungUp,
                };
                return (flight, at);
            }
            Start::Kept { at } => (None, at),
            Start::Released { at, taken: true } => (Some(at), at),
            Start::Released { at, taken: false } => {
                let finishing = self.armed.finish_release();
                match tokio::time::timeout_at((at + limit).into(), finishing).await {
                    Ok(Ok(())) => (Some(at), at),
                    Ok(Err(_)) | Err(_) => (None, at),
                }
            }
        };
        tell.send_modify(|progress| progress.released = released);
        let leave = match self.loaded.hang_up {
            Some(HangUp::BeforeAnswer { after_us }) if released.is_some() => {
                Some(since + Duration::from_micros(after_us))
            }
            _ => None,
        };
        let Outcome { at, ending, .. } = tokio::select! {
            biased;
            outcome = self.armed.outcome() => outcome,
            () = leaves => self.cut(Ending::HungUp),
            () = until(leave.unwrap_or(since)), if leave.is_some() => self.cut(Ending::HungUp),
            () = tokio::time::sleep_until((since + limit).into()) => {
                let within_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                self.cut(Ending::NoAnswer { within_ms })
            }
        };
        let flight = Flight {
            released_us: released.map(since_zero),
            ended_us: Some(since_zero(at)),
            ending,
        };
        (flight, at)
    }

    fn cut(&self, ending: Ending) -> Outcome {
        self.armed.leave();
        Outcome::cut(ending)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Runs the futures at once, each as a task. Their results, in order, or the first error.
pub(super) async fn together<T, F>(
    futures: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, DriveError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DriveError>> + Send + 'static,
{
    let mut set = JoinSet::new();
    for (index, future) in futures.into_iter().enumerate() {
        set.spawn(async move { (index, future.await) });
    }
    let mut results = Vec::with_capacity(set.len());
    while let Some(joined) = set.join_next().await {
        let (index, result) =
            joined.map_err(|error| DriveError::fault(format!("a call's task ended: {error}")))?;
        results.push((index, result?));
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
