//! A server that speaks TLS, and binds its passwords to it.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::raw::{message, startup};
use super::*;

const OFFER: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

/// Takes one connection, upgrades it, and says what a server does first. Returns
/// the port, and the certificate as PEM.
async fn server() -> (u16, String) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut asked = [0; 8];
            tcp.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, crate::wire::postgres::startup::TLS_REQUEST);
            tcp.write_all(b"S").await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut opening = vec![0; startup("a", "d").len()];
            tls.read_exact(&mut opening).await.unwrap();
            assert_eq!(opening, startup("a", "d"));
            let ready = message(b'Z', b"I");
            let said = [message(b'R', OFFER), message(b'N', b"\0"), ready].concat();
            tls.write_all(&said).await.unwrap();
            let _ = tls.read(&mut opening).await;
        }
    });
    (port, key.cert.pem())
}

async fn said(url: &str) -> Vec<u8> {
    let (tell, _events) = unbounded_channel();
    let gate = Gate::open(Upstream::parse(url).unwrap(), matters, tell)
        .await
        .unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", gate.port()))
        .await
        .unwrap();
    tcp.write_all(&startup("a", "d")).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut said = Vec::new();
    let read = tokio::time::timeout(WITHIN, tcp.read_to_end(&mut said)).await;
    read.unwrap().unwrap();
    said
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_asks_for_it_and_not_offered_to_the_client() {
    let (port, certificate) = server().await;
    let url = format!("postgres://a@localhost:{port}/d");
    let unbound = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
    let ready = message(b'Z', b"I");
    let expected = [message(b'R', unbound), message(b'N', b"\0"), ready].concat();
    assert_eq!(said(&format!("{url}?sslmode=require")).await, expected);
    assert_eq!(said(&format!("{url}?sslmode=prefer")).await, expected);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let checked = format!(
        "{url}?sslmode=verify-full&sslrootcert={}",
        file.path().display()
    );
    assert_eq!(said(&checked).await, expected);
    // The certificate is for another name.
    let refused = said(&checked.replace("localhost", "127.0.0.1")).await;
    let refused = String::from_utf8_lossy(&refused).into_owned();
    assert!(
        refused.contains("08001") && refused.contains("certificate"),
        "{refused}"
    );
}
