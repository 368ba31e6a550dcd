//! The server behind a gate: where it is, and connections to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::wire::postgres::startup::{TLS_REQUEST, TLS_TAKEN};

use super::error::GateError;
use super::tls;

/// How long a connection may take to stand, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

const DEFAULT_PORT: u16 = 5432;

/// Where a server is, and whether TLS is spoken with it.
#[derive(Clone, Debug)]
pub struct Upstream {
    place: Place,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Clone, Debug)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// Without TLS there is no connection.
    required: bool,
}

pub(super) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection to a server.
pub(super) struct Connection {
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    pub(super) is_encrypted: bool,
}

impl Upstream {
    /// The server of a URL: `postgres://user:password@host:port/name`, or with the
    /// folder of a Unix socket as (encoded) host or as parameter `host`. As
    /// everywhere, `sslmode` is `disable`, `allow`, `prefer` (TLS if the server
    /// takes it, and the default, but not on the same machine), `require` (TLS, no
    /// certificate is checked), or `verify-ca` and `verify-full` (checked, both with
    /// the host's name, against the file in `sslrootcert` or the system's
    /// authorities).
    pub fn parse(url: &str) -> Result<Upstream, GateError> {
        let refused = |why: &str| GateError::Url {
            url: shown(url),
            why: why.to_owned(),
        };
        let parsed = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(refused("it is not a PostgreSQL URL"));
        }
        let parameter = |names: &[&str]| {
            let mut pairs = parsed.query_pairs();
            pairs
                .find(|(key, _)| names.contains(&key.as_ref()))
                .map(|(_, value)| value.into_owned())
        };
        let decoded = parsed.host_str().map(decoded);
        let host = parameter(&["host", "hostaddr"])
            .or(decoded)
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| "localhost".to_owned());
        let port = match parameter(&["port"]) {
            Some(port) => port.parse().map_err(|_| refused("its port is no number"))?,
            None => parsed.port().unwrap_or(DEFAULT_PORT),
        };
        if host.starts_with('/') {
            let place = Place::Unix(Path::new(&host).join(format!(".s.PGSQL.{port}")));
            return Ok(Upstream { place, tls: None });
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        let here = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        let mode = parameter(&["sslmode", "ssl-mode"]);
        let (required, checked) = match mode.as_deref() {
            None if here => (None, false),
            Some("disable" | "allow") => (None, false),
            None | Some("prefer") => (Some(false), false),
            Some("require") => (Some(true), false),
            Some("verify-ca" | "verify-full") => (Some(true), true),
            Some(other) => return Err(refused(&format!("sslmode={other} is none that there is"))),
        };
        let root = parameter(&["sslrootcert", "ssl-root-cert"]);
        let tls = match required {
            None => None,
            Some(required) => Some(Tls {
                config: tls::config(checked, root.as_deref()).map_err(|why| {
                    GateError::Certificates {
                        url: shown(url),
                        why,
                    }
                })?,
                name: ServerName::try_from(host.clone())
                    .map_err(|_| refused("no certificate can be for this host name"))?,
                required,
            }),
        };
        let place = Place::Tcp { host, port };
        Ok(Upstream { place, tls })
    }

    /// Where it is, in a person's words.
    pub fn describe(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    pub(super) async fn connect(&self) -> io::Result<Connection> {
        match tokio::time::timeout(CONNECT_WITHIN, self.connect_untimed()).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("neither a connection nor a refusal within {CONNECT_WITHIN:?}"),
            )),
        }
    }

    async fn connect_untimed(&self) -> io::Result<Connection> {
        let (host, port) = match &self.place {
            Place::Unix(path) => {
                let (reading, writing) = UnixStream::connect(path).await?.into_split();
                return Ok(plain(reading, writing));
            }
            Place::Tcp { host, port } => (host.as_str(), *port),
        };
        let mut tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        if let Some(tls) = &self.tls {
            tcp.write_all(&TLS_REQUEST).await?;
            // No byte more: what came in clear behind the answer would not be the
            // server's.
            if tcp.read_u8().await? == TLS_TAKEN {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                let stream = connector.connect(tls.name.clone(), tcp).await?;
                let (reading, writing) = tokio::io::split(stream);
                return Ok(Connection {
                    is_encrypted: true,
                    ..plain(reading, writing)
                });
            }
            if tls.required {
                let refusal = "the server takes no TLS, and sslmode asks for it";
                return Err(io::Error::new(io::ErrorKind::Unsupported, refusal));
            }
        }
        let (reading, writing) = tcp.into_split();
        Ok(plain(reading, writing))
    }
}

fn plain(
    reading: impl AsyncRead + Send + Unpin + 'static,
    writing: impl AsyncWrite + Send + Unpin + 'static,
) -> Connection {
    Connection {
        reading: Box::new(reading),
        writing: Box::new(writing),
        is_encrypted: false,
    }
}

/// A host as it is written in a URL, which encodes the path of a socket.
fn decoded(host: &str) -> String {
    // A query's value is decoded the same way.
    let pair = format!("host={host}");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// A URL as it may be shown.
fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Only URLs that cannot have a password refuse to have one set.
            let _ = parsed.set_password(Some("***"));
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

/// The same URL, but for another server on this machine, with which TLS is not
/// spoken.
pub(super) fn with_port(url: &str, port: u16) -> Result<String, GateError> {
    let refused = |why: &str| GateError::Url {
        url: shown(url),
        why: why.to_owned(),
    };
    let mut parsed = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
    let elsewhere = [
        "host",
        "hostaddr",
        "port",
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "channel_binding",
    ];
    let pairs: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(key, _)| !elsewhere.contains(&key.as_ref()))
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    let set = parsed.set_host(Some("127.0.0.1")).is_ok() && parsed.set_port(Some(port)).is_ok();
    if !set {
        return Err(refused("it has no place for a host"));
    }
    parsed.set_query(None);
    if !pairs.is_empty() {
        parsed.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(parsed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_where_a_url_says() {
        for (url, place) in [
            ("postgres://a:b@h:6000/d", "h:6000"),
            ("postgresql:///d", "localhost:5432"),
            ("postgres://u@[::1]/d?sslmode=disable", "::1:5432"),
            ("postgres://%2Frun%2Fpg/d", "/run/pg/.s.PGSQL.5432"),
            (
                "postgres:///d?host=/run/pg&port=6000",
                "/run/pg/.s.PGSQL.6000",
            ),
        ] {
            assert_eq!(Upstream::parse(url).unwrap().describe(), place, "{url}");
        }
        let tls = |url: &str| {
            let tls = Upstream::parse(url).unwrap().tls;
            tls.map(|tls| tls.required)
        };
        assert_eq!(tls("postgres://localhost/d"), None);
        assert_eq!(tls("postgres://elsewhere/d"), Some(false));
        assert_eq!(tls("postgres://localhost/d?sslmode=require"), Some(true));
        let error = Upstream::parse("postgres://u:secret@h/d?sslmode=?").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("sslmode=?") && !text.contains("secret"),
            "{text}"
        );
        assert!(Upstream::parse("mysql://h/d").is_err());
    }

    #[test]
    fn the_service_is_given_the_same_url_but_for_the_place() {
        let url = "postgres://a:b%20@h:6000/d?sslmode=require&application_name=x&host=/run";
        let given = with_port(url, 7).unwrap();
        assert_eq!(given, "postgres://a:b%20@127.0.0.1:7/d?application_name=x");
        assert_eq!(
            with_port("postgres:///d", 7).unwrap(),
            "postgres://127.0.0.1:7/d"
        );
    }
}
