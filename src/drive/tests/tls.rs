//! The barrier beneath TLS.

use std::io::Read;

use rustls::ServerConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::drive::connect::Connector;
use crate::drive::exchange::Armed;
use crate::drive::writing::Plan;

/// A server's end, and the authority that a client must trust to speak with it.
fn certified() -> (TlsAcceptor, Arc<RootCertStore>) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), Arc::new(roots))
}

fn https(url: &Url) -> Url {
    Url::parse(&format!("https://127.0.0.1:{}/", url.port().unwrap())).unwrap()
}

/// How many bytes the last record misses to be whole; zero if it is.
fn missing(mut bytes: &[u8]) -> usize {
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if rest.len() < length {
            return length - rest.len();
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "a record's head is cut");
    0
}

/// What the bytes say, after what the connection had before.
fn decrypted(connection: &mut ServerConnection, mut bytes: &[u8]) -> String {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes).unwrap();
        let plain = connection
            .process_new_packets()
            .unwrap()
            .plaintext_bytes_to_read();
        let before = text.len();
        text.resize(before + plain, 0);
        connection.reader().read_exact(&mut text[before..]).unwrap();
    }
    String::from_utf8(text).unwrap()
}

async fn held_back(body: &str) {
    let (acceptor, roots) = certified();
    let (listener, url) = listen().await;
    let url = https(&url);
    let connector = Connector::new(&url, || Ok(roots)).unwrap();
    let (connection, stream) = tokio::join!(connector.open(), async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap()
    });
    let (mut server, mut session) = stream.into_inner();
    let message = Message::new(&post("/pay", body), &url).unwrap();
    let arm = Armed::arm(&connector, connection.unwrap(), &message, Plan::AllButOne);
    tokio::pin!(arm);
    // Reads while the request is written, and then what is left: all that was written is there.
    let mut bytes = Vec::new();
    let armed = loop {
        tokio::select! {
            armed = &mut arm => break armed.unwrap(),
            read = server.read_buf(&mut bytes) => assert!(read.unwrap() > 0),
        }
    };
    while server.try_read_buf(&mut bytes).is_ok_and(|read| read > 0) {}

    assert_eq!(missing(&bytes), 1, "of {} bytes", bytes.len());
    let before = decrypted(&mut session, &bytes);
    let end = format!("\r\n\r\n{body}");
    assert!(!before.ends_with(&end), "the last record is not whole");
    assert!(armed.release().unwrap());
    let last = server.read_u8().await.unwrap();
    let text = before + &decrypted(&mut session, &[last]);
    assert!(text.starts_with("POST /pay HTTP/1.1\r\n"));
    assert!(text.ends_with(&end));
    bytes.push(last);
    assert_eq!(missing(&bytes), 0);
}

#[tokio::test]
async fn all_records_but_one_byte_are_there_before_the_release() {
    held_back("").await;
    held_back(r#"{"sum":5}"#).await;
}

#[tokio::test]
async fn of_a_body_of_a_megabyte_too() {
    let body: String = ('a'..='z').cycle().take(1024 * 1024).collect();
    held_back(&body).await;
}

/// A server over TLS that answers everything.
async fn serving() -> (Server, Arc<RootCertStore>) {
    let (acceptor, roots) = certified();
    let (listener, url) = listen().await;
    let (tell, saw) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let script = |_: usize, _: &str| Then::Answer(OK.to_owned());
                    serve(stream, connection, &script, &tell).await;
                }
            });
        }
    });
    let url = https(&url);
    (Server { url, saw }, roots)
}

#[tokio::test]
async fn a_race_over_tls_and_one_more_on_the_same_connections() {
    let (mut server, roots) = serving().await;
    let urls = [server.url.clone()];
    let mut driver = Driver::trusting(&urls, |_| Ok(Arc::clone(&roots))).unwrap();
    let shots: Vec<Shot> = (0..8)
        .map(|n| shot(post(&format!("/{n}"), "body"), Trigger::Barrier))
        .collect();
    for _ in 0..2 {
        for flight in driver.race(&shots, LONG).await.unwrap() {
            assert_eq!(answered(&flight.ending).body, "ok");
            assert!(flight.released_us.is_some());
        }
        for _ in 0..8 {
            let saw = server.next().await;
            assert!(
                matches!(
                    saw,
                    Saw::Request {
                        connection: 0..8,
                        ..
                    }
                ),
                "{saw:?}"
            );
        }
    }
}

#[tokio::test]
async fn half_of_a_body_is_read_beneath_tls() {
    let (mut server, roots) = serving().await;
    let urls = [server.url.clone()];
    let mut driver = Driver::trusting(&urls, |_| Ok(Arc::clone(&roots))).unwrap();
    let shots = [leaving(post("/pay", "0123456789"), HangUp::HalfWay)];
    let flights = driver.race(&shots, LONG).await.unwrap();
    assert_eq!(flights[0].ending, Ending::HungUp);
    match server.next().await {
        Saw::End { rest, .. } => assert!(rest.ends_with("\r\n\r\n01234"), "{rest}"),
        saw @ Saw::Request { .. } => panic!("{saw:?}"),
    }
}

#[tokio::test]
async fn an_unknown_authority_is_an_error_of_the_environment() {
    let (server, _) = serving().await;
    let (_, others) = certified();
    let urls = [server.url.clone()];
    let mut driver = Driver::trusting(&urls, |_| Ok(Arc::clone(&others))).unwrap();
    let error = driver.call(0, &get("/"), LONG).await.unwrap_err();
    assert!(matches!(error, DriveError::Tls { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains("SSL_CERT_FILE") && told.contains(server.url.as_str()),
        "{told}"
    );
}
