//! Why the service cannot be tested.

use std::process::ExitStatus;
use std::time::Duration;

use url::Url;

use crate::process::{ProcessError, said};
use crate::target::error::TargetError;

/// Why the service cannot be tested. All of it belongs to the environment, but
/// for what the target file itself gets wrong.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The target file asks for what cannot be.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The build command failed.
    #[error("the service cannot be built: {0}")]
    Build(ProcessError),
    /// The start command cannot be run.
    #[error("the service cannot be started: {0}")]
    Start(ProcessError),
    /// It ended before it was ready.
    #[error(
        "the service ended while it started (replica {replica}, {status}){}\n\
         Run the `start` command of the target file by hand to see more.",
        said(output)
    )]
    EndedAtStart {
        /// Which replica, counted from 0.
        replica: usize,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// It runs and does not get ready.
    #[error(
        "the service is not ready after {} (replica {replica}): {why}{}\n\
         See that `ready` names a path that answers 2xx and that the service listens on the \
         variable `PORT`, or allow more time with `ready_within`.",
        humantime::format_duration(*within),
        said(output)
    )]
    NeverReady {
        /// Which replica, counted from 0.
        replica: usize,
        /// How long it was waited for.
        within: Duration,
        /// What the last question met.
        why: String,
        /// Its last lines.
        output: String,
    },
    /// A service that should already run is not there.
    #[error("there is no service at {url}: {why}\nStart it, or mend `urls` in the target file.")]
    NotThere {
        /// Where it should be.
        url: Url,
        /// What was met instead.
        why: String,
    },
    /// It ended in the middle.
    #[error("the service died (replica {replica}, {status}){}", said(output))]
    Died {
        /// Which replica, counted from 0.
        replica: usize,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// A port cannot be listened on.
    #[error(
        "port {port} on 127.0.0.1 is not to be had: {source}\n\
         End what listens on it (`ss -ltnp` shows it), or name another `port` in the target file."
    )]
    Port {
        /// The port; 0 for any.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The request that should follow each restore failed.
    #[error("`{request}`, which the target file wants after each restore, failed: {why}")]
    AfterRestore {
        /// The request.
        request: String,
        /// What was met.
        why: String,
    },
    /// A URL is none.
    #[error("the service's URL cannot be used: {0}")]
    Url(url::ParseError),
    /// There is no HTTP client on this machine.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}
