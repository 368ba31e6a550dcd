//! Why requests could not be made at all.
//!
//! What a service does to a request that reached it (closes the connection, answers nonsense, never
//! answers) is no error here but an [`Ending`](crate::model::history::Ending).

use std::io;
use std::time::Duration;

use url::Url;

/// Why requests could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The URL is not one that HTTP can be spoken to.
    #[error(
        "cannot send requests to {url}: {why}\n\
         Give the service's base URL as `http://host:port/` or `https://host:port/`."
    )]
    Url {
        /// The URL.
        url: Url,
        /// What is wrong with it.
        why: String,
    },
    /// No certificate authorities are known, so no https server can be trusted.
    #[error(
        "cannot check the certificate of {url}: {why}\n\
         Install the system's CA certificates, or name a PEM file in SSL_CERT_FILE."
    )]
    Certificates {
        /// The first https URL.
        url: Url,
        /// What reading the system's certificates gave.
        why: String,
    },
    /// The service takes no connection.
    #[error(
        "cannot connect to {url}: {source}\n\
         See that the service runs and listens at this address."
    )]
    Connect {
        /// The replica's URL.
        url: Url,
        /// What the system said.
        source: io::Error,
    },
    /// The connection stands, but TLS does not.
    #[error(
        "cannot speak TLS with {url}: {source}\n\
         See that the URL's scheme is right, and that the service's certificate is signed by a known \
         authority; SSL_CERT_FILE may name the authority's PEM file."
    )]
    Tls {
        /// The replica's URL.
        url: Url,
        /// What went wrong.
        source: io::Error,
    },
    /// Neither a connection nor a refusal.
    #[error(
        "cannot connect to {url}: neither a connection nor a refusal within {within:?}\n\
         See that the service accepts connections while it serves others: each call of a race has \
         one of its own."
    )]
    Slow {
        /// The replica's URL.
        url: Url,
        /// How long it was waited for.
        within: Duration,
    },
    /// The request cannot be written as HTTP.
    #[error(
        "cannot send {method} {path}: {why}\n\
         See the request's template in the target file, and the values that were drawn for it."
    )]
    Request {
        /// The request's method.
        method: String,
        /// Its path.
        path: String,
        /// What HTTP does not allow.
        why: String,
    },
    /// A fault of the caller or of this part itself: there is nothing that a user could do.
    #[error("cannot fire the race: {what}\nThis is a fault of deadheat; please report it.")]
    Fault {
        /// What is wrong.
        what: String,
    },
}

impl DriveError {
    pub(super) fn fault(what: impl Into<String>) -> Self {
        DriveError::Fault { what: what.into() }
    }
}
