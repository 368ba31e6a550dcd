//! The HTTP side: sends requests to the service's replicas, one alone or many at once.
//!
//! A race is fired through a barrier. Every request of it is written, on a connection of its own,
//! up to its last byte (`held`); only when the service has all of them but that byte are the
//! bytes let go, in one tight loop. What a client can do wrong is done here too: leaving half-way,
//! leaving before the answer, sending again.
//!
//! - `held`: a TCP connection that keeps the last byte back, beneath TLS and HTTP.
//! - `writing`: knows when a request is written.
//! - `request`, `connect`, `exchange`: a request, a connection, and the one on the other.
//! - `race`: the barrier, and the shots that wait for others.
//! - `led`: shots that go one by one, when they are told.
//! - [`cookies`]: what a browser would remember.
//!
//! It knows requests and answers, and nothing of operations, databases or what an answer should be.

mod connect;
pub mod cookies;
mod error;
mod exchange;
mod held;
mod led;
mod race;
mod request;
#[cfg(test)]
mod tests;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use url::Url;

pub use cookies::Jar;
pub use error::DriveError;
pub use exchange::MOST_OF_AN_ANSWER;
pub use led::Lead;

use crate::model::history::{Ending, Request};
use crate::model::scenario::HangUp;
use connect::{Connection, Connector, Idle};
use race::{Landed, Loaded};
use request::Message;

/// Connections to the replicas of a service, kept open between races.
#[derive(Debug)]
pub struct Driver {
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    connector: Arc<Connector>,
    idle: Idle,
}

/// One request of a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shot {
    /// Index of the replica that it goes to, among the URLs of the [`Driver`].
    pub replica: usize,
    /// What is sent.
    pub request: Request,
    /// When its last byte goes.
    pub trigger: Trigger,
    /// How the client leaves before it has its answer, if it does.
    pub hang_up: Option<HangUp>,
}

/// When a request's last byte is released. `of` is the index of a shot that stands before this one.
///
/// All requests are written up to that byte before the barrier, whatever their trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// With all others.
    Barrier,
    /// This long after the other's release, or after its end if it was never released.
    After {
        /// The other shot.
        of: usize,
        /// From one release to the other.
        delay: Duration,
    },
    /// When the other is answered, or has ended in any other way.
    Answered {
        /// The other shot.
        of: usize,
    },
    /// When the client hangs up on the other, or it has ended in any other way.
    HungUp {
        /// The other shot.
        of: usize,
    },
}

/// What became of a shot. Times are microseconds since the moment before the race's first release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The moment before its last byte was given to the system, so that it never seems to have begun
    /// later than it did. `None` if that byte never went: the client left half-way, or the service answered (or closed the connection) without waiting for the end of
    /// the request.
    pub released_us: Option<u64>,
    /// When its answer was there, whole, or when it ended otherwise. Zero if it ended before the
    /// barrier.
    pub ended_us: Option<u64>,
    /// How it ended.
    pub ending: Ending,
}

impl Driver {
    /// A driver for a service whose replicas have these base URLs, http or https. Connects to none
    /// of them yet.
    ///
    /// An https certificate is checked against the system's authorities, or those in the PEM file
    /// that the environment's `SSL_CERT_FILE` names.
    pub fn new(urls: &[Url]) -> Result<Driver, DriveError> {
        let mut known: Option<Arc<RootCertStore>> = None;
        Driver::trusting(urls, |url| match &known {
            Some(roots) => Ok(Arc::clone(roots)),
            None => Ok(Arc::clone(known.insert(connect::system_roots(url)?))),
        })
    }

    fn trusting(
        urls: &[Url],
        mut roots: impl FnMut(&Url) -> Result<Arc<RootCertStore>, DriveError>,
    ) -> Result<Driver, DriveError> {
        let replicas = urls
            .iter()
            .map(|url| {
                Ok(Replica {
                    connector: Arc::new(Connector::new(url, || roots(url))?),
                    idle: Idle::default(),
                })
            })
            .collect::<Result<_, DriveError>>()?;
        Ok(Driver { replicas })
    }

    /// One call alone, as for set-up and sign-in. It may take as long as `limit`, which counts from
    /// when the request is sent.
    pub async fn call(
        &mut self,
        replica: usize,
        request: &Request,
        limit: Duration,
    ) -> Result<Ending, DriveError> {
        let shot = Shot {
            replica,
            request: request.clone(),
            trigger: Trigger::Barrier,
            hang_up: None,
        };
        let flights = self.race(&[shot], limit).await?;
        flights
            .into_iter()
            .next()
            .map(|flight| flight.ending)
            .ok_or_else(|| DriveError::fault("a call has no end"))
    }

    /// Fires the shots together. One flight a shot, in order. `limit` counts from each shot's
    /// release.
    pub async fn race(
        &mut self,
        shots: &[Shot],
        limit: Duration,
    ) -> Result<Vec<Flight>, DriveError> {
        let loaded = self.load(shots)?;
        let landed = race::race(loaded, limit).await?;
        Ok(self.land(shots, landed))
    }

    /// Fires the shots one by one, each when it is told to; their triggers count for nothing. The
    /// future is the race, and ends when all have ended.
    pub fn led<'a>(
        &'a mut self,
        shots: &'a [Shot],
        limit: Duration,
    ) -> (
        Lead,
        impl Future<Output = Result<Vec<Flight>, DriveError>> + 'a,
    ) {
        let (lead, reins) = led::reins(shots.len());
        let race = async move {
            let loaded = self.load(shots)?;
            let landed = led::race(loaded, limit, reins).await?;
            Ok(self.land(shots, landed))
        };
        (lead, race)
    }

    /// Takes an idle connection for each shot, where there is one.
    fn load(&mut self, shots: &[Shot]) -> Result<Vec<(Loaded, Option<Connection>)>, DriveError> {
        let count = self.replicas.len();
        let mut loaded = Vec::with_capacity(shots.len());
        for shot in shots {
            let replica = self.replicas.get_mut(shot.replica).ok_or_else(|| {
                DriveError::fault(format!(
                    "replica {} of {count} does not exist",
                    shot.replica
                ))
            })?;
            let message = Message::new(&shot.request, &replica.connector.url)?;
            let loading = Loaded {
                connector: Arc::clone(&replica.connector),
                message,
                trigger: shot.trigger,
                hang_up: shot.hang_up,
            };
            loaded.push((loading, replica.idle.take()));
        }
        Ok(loaded)
    }

    /// Keeps the connections that may be used again.
    fn land(&mut self, shots: &[Shot], landed: Vec<Landed>) -> Vec<Flight> {
        let mut flights = Vec::with_capacity(shots.len());
        for (shot, (flight, reusable)) in shots.iter().zip(landed) {
            if let (Some((since, connection)), Some(replica)) =
                (reusable, self.replicas.get_mut(shot.replica))
            {
                replica.idle.keep(since, connection);
            }
            flights.push(flight);
        }
        flights
    }
}
