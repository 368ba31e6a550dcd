//! Shots that go one by one, when they are told.
//!
//! Nothing of a request is sent before its turn, not even its head: a service may look
//! up who calls when it has read that.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::Flight;
use super::connect::Connection;
use super::error::DriveError;
use super::race::{Landed, Loaded, Progress, Runner, open, together};
use crate::model::history::Ending;

/// How such a race is led.
#[derive(Debug)]
pub struct Lead {
    /// Fires when every shot has a connection.
    pub ready: oneshot::Receiver<()>,
    /// Lets a shot go, one a shot; where it is dropped, the shot never goes.
    pub go: Vec<oneshot::Sender<()>>,
    /// Makes a shot's client leave before its answer, one a shot; where it is dropped,
    /// the client stays.
    pub leave: Vec<oneshot::Sender<()>>,
    /// Tells the index of each shot that has ended.
    pub ended: mpsc::UnboundedReceiver<usize>,
}

/// The other ends of a [`Lead`].
#[derive(Debug)]
pub(super) struct Reins {
    ready: oneshot::Sender<()>,
    go: Vec<oneshot::Receiver<()>>,
    leave: Vec<oneshot::Receiver<()>>,
    ended: mpsc::UnboundedSender<usize>,
}

/// Both ends, for so many shots.
pub(super) fn reins(shots: usize) -> (Lead, Reins) {
    let (ready, is_ready) = oneshot::channel();
    let (ended, has_ended) = mpsc::unbounded_channel();
    let (go, told) = (0..shots).map(|_| oneshot::channel()).unzip();
    let (leave, leaves) = (0..shots).map(|_| oneshot::channel()).unzip();
    let lead = Lead {
        ready: is_ready,
        go,
        leave,
        ended: has_ended,
    };
    let reins = Reins {
        ready,
        go: told,
        leave: leaves,
        ended,
    };
    (lead, reins)
}

/// Fires the shots on the connections given, or on fresh ones where there is none.
pub(super) async fn race(
    shots: Vec<(Loaded, Option<Connection>)>,
    limit: Duration,
    reins: Reins,
) -> Result<Vec<Landed>, DriveError> {
    let opened = open(shots).await?;
    let zero = Instant::now();
    // Who has gone away meanwhile wants no race any more.
    let _ = reins.ready.send(());
    let reins_of_each = reins.go.into_iter().zip(reins.leave);
    let running = opened.into_iter().zip(reins_of_each).enumerate();
    together(running.map(|(index, ((loaded, connection), (go, leave)))| {
        let ended = reins.ended.clone();
        async move {
            let landed = match go.await {
                Ok(()) => run(loaded, connection, zero, limit, leave).await?,
                Err(_) => (never_went(zero), None),
            };
            let _ = ended.send(index);
            Ok(landed)
        }
    }))
    .await
}

async fn run(
    loaded: Loaded,
    connection: Connection,
    zero: Instant,
    limit: Duration,
    leave: oneshot::Receiver<()>,
) -> Result<Landed, DriveError> {
    let leaves = async {
        if leave.await.is_err() {
            pending::<()>().await;
        }
    };
    let mut runner = Runner::arm(loaded, connection).await?;
    let start = runner.go();
    let (nobody, _) = watch::channel(Progress::default());
    let (flight, _) = runner.finish(start, zero, limit, &nobody, leaves).await;
    let reusable = runner.into_reusable(&flight);
    Ok((flight, reusable))
}

fn never_went(zero: Instant) -> Flight {
    Flight {
        released_us: None,
        ended_us: Some(u64::try_from(zero.elapsed().as_micros()).unwrap_or(u64::MAX)),
        ending: Ending::HungUp,
    }
}
