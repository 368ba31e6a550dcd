//! Opening connections to a replica, and keeping them for the next race.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::error::DriveError;
use super::held::{Held, Wire};
use super::writing::{Watched, Whole, Writing};
use crate::roots;

/// How long a connection may take to stand, TLS included. A service that is up takes far less even
/// under load; one that never accepts should be told of before a user gives up.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may be idle and still be used. Servers close idle ones (Gunicorn after two
/// seconds, Node and Apache after five), and one that is about to be closed is no good for a race.
/// Rounds follow each other much faster than this.
pub(super) const IDLE_WITHIN: Duration = Duration::from_secs(1);

/// An open connection on which no request is under way.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Whole>,
    pub(super) wire: Arc<Wire>,
    pub(super) writing: Arc<Writing>,
    /// Speaks HTTP on it, and notices its end.
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Whether the service has left it open.
    fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.wire.is_ended()
    }
}

/// Opens connections to one replica.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) url: Url,
    host: Host<String>,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Connector {
    /// `roots` is asked for when the URL is https.
    pub(super) fn new(
        url: &Url,
        roots: impl FnOnce() -> Result<Arc<RootCertStore>, DriveError>,
    ) -> Result<Connector, DriveError> {
        let refused = |why: &str| DriveError::Url {
            url: url.clone(),
            why: why.to_owned(),
        };
        let host = url
            .host()
            .ok_or_else(|| refused("it names no host"))?
            .to_owned();
        let port = url
            .port_or_known_default()
            .ok_or_else(|| refused("it names no port"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name = match &host {
                    Host::Domain(name) => ServerName::try_from(name.clone())
                        .map_err(|_| refused("no certificate can be for this host name"))?,
                    Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
                    Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
                };
                Some((Arc::new(tls_config(roots()?)?), name))
            }
            other => return Err(refused(&format!("the scheme {other} is not HTTP"))),
        };
        Ok(Connector {
            url: url.clone(),
            host,
            port,
            tls,
        })
    }

    /// Opens a connection: TCP, TLS, and the task that speaks HTTP on it.
    pub(super) async fn open(&self) -> Result<Connection, DriveError> {
        match tokio::time::timeout(CONNECT_WITHIN, self.open_untimed()).await {
            Ok(opened) => opened,
            Err(_) => Err(DriveError::Slow {
                url: self.url.clone(),
                within: CONNECT_WITHIN,
            }),
        }
    }

    async fn open_untimed(&self) -> Result<Connection, DriveError> {
        let refused = |source| DriveError::Connect {
            url: self.url.clone(),
            source,
        };
        let tcp = match &self.host {
            Host::Domain(name) => TcpStream::connect((name.as_str(), self.port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, self.port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, self.port)).await,
        };
        let wire = tcp.and_then(Wire::new).map_err(refused)?;
        let held = Held(Arc::clone(&wire));
        match &self.tls {
            None => self.speak(held, wire).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), held).await;
                let stream = stream.map_err(|source| DriveError::Tls {
                    url: self.url.clone(),
                    source,
                })?;
                self.speak(stream, wire).await
            }
        }
    }

    async fn speak<S>(&self, stream: S, wire: Arc<Wire>) -> Result<Connection, DriveError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let writing = Writing::new(Arc::clone(&wire));
        let watched = Watched {
            inner: stream,
            writing: Arc::clone(&writing),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(watched))
                .await
                .map_err(|error| {
                    DriveError::fault(format!("no HTTP client for {}: {error}", self.url))
                })?;
        Ok(Connection {
            sender,
            wire,
            writing,
            // How a connection ends is told to the request on it; when there is none, nobody asks.
            task: tokio::spawn(async move {
                let _ = connection.await;
            }),
        })
    }
}

fn tls_config(roots: Arc<RootCertStore>) -> Result<ClientConfig, DriveError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DriveError::fault(format!("no TLS version is usable: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities that the certificate of an https URL is checked against.
pub(super) fn system_roots(url: &Url) -> Result<Arc<RootCertStore>, DriveError> {
    let roots = roots::system().map_err(|why| DriveError::Certificates {
        url: url.clone(),
        why,
    })?;
    Ok(Arc::new(roots))
}

/// The idle connections to one replica.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The one used last stands last.
    kept: Vec<(Instant, Connection)>,
}

impl Idle {
    pub(super) fn keep(&mut self, since: Instant, connection: Connection) {
        self.kept.push((since, connection));
    }

    /// One that is still open, the most recently used first. Drops those that are too old.
    pub(super) fn take(&mut self) -> Option<Connection> {
        self.kept.retain(|(since, _)| since.elapsed() < IDLE_WITHIN);
        while let Some((_, connection)) = self.kept.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }
}
