//! Why a gate could not be opened.

use std::io;
use std::path::PathBuf;

/// Why a gate could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The database's URL is not one that a gate can stand before.
    #[error(
        "cannot put a gate before {url}: {why}\n\
         Give the database as `postgres://user:password@host:port/name`."
    )]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server's certificate could not be checked.
    #[error(
        "cannot check the certificate of the server in {url}: {why}\n\
         Name a PEM file with its authority as `sslrootcert`, or use `sslmode=require`, which checks none."
    )]
    Certificates {
        /// The URL, without its password.
        url: String,
        /// What is missing.
        why: String,
    },
    /// No port can be listened at.
    #[error(
        "cannot open a gate on 127.0.0.1: {source}\n\
         See that this process may listen there, and how many files it may have open (`ulimit -n`)."
    )]
    Listen {
        /// What the system said.
        source: io::Error,
    },
    /// No Unix socket can be listened at.
    #[error(
        "cannot open a gate at the Unix socket {}: {source}\n\
         See that `TMPDIR` names a folder that may be written to, with a path of less than some \
         80 characters.",
        path.display()
    )]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no thread to be had for its clock.
    #[error(
        "cannot start a thread for the gate's clock: {source}\n\
         See how many processes this user may have (`ulimit -u`)."
    )]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}
