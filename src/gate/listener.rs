//! Where clients connect to a gate: a port on loopback, or a Unix socket.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::error::GateError;
use super::upstream::{Reading, Writing};

/// Takes connections.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// A free port of 127.0.0.1, and its number.
    pub(super) async fn tcp() -> Result<(Listener, u16), GateError> {
        let failed = |source| GateError::Listen { source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok((Listener::Tcp(listener), port))
    }

    /// The socket that clients look for who are given a folder for a host.
    pub(super) fn unix(folder: &Path, port: u16) -> Result<Listener, GateError> {
        let path: PathBuf = folder.join(format!(".s.PGSQL.{port}"));
        let listener = UnixListener::bind(&path);
        let failed = |source| GateError::Socket { path, source };
        listener.map(Listener::Unix).map_err(failed)
    }

    pub(super) async fn accept(&self) -> io::Result<(Reading, Writing)> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (client, _) = listener.accept().await?;
                // Without it answers are late, and right.
                let _ = client.set_nodelay(true);
                let (reading, writing) = client.into_split();
                (Box::new(reading), Box::new(writing))
            }
            Listener::Unix(listener) => {
                let (client, _) = listener.accept().await?;
                let (reading, writing) = client.into_split();
                (Box::new(reading), Box::new(writing))
            }
        })
    }
}
