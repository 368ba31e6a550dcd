//! A client that sends whatever it is told to, to a server that lets everybody in.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

pub(super) struct Raw {
    pub(super) tcp: TcpStream,
}

pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// A start-up packet.
pub(super) fn startup(user: &str, database: &str) -> Vec<u8> {
    let body = format!("user\0{user}\0database\0{database}\0\0");
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&length[..], &[0, 3, 0, 0], body.as_bytes()].concat()
}

pub(super) fn parse(sql: &str) -> Vec<u8> {
    message(b'P', format!("\0{sql}\0\0\0").as_bytes())
}

pub(super) fn bind() -> Vec<u8> {
    message(b'B', &[0; 8])
}

/// Of the portal without a name, so many rows, or 0 for all.
pub(super) fn execute(rows: u8) -> Vec<u8> {
    message(b'E', &[0, 0, 0, 0, rows])
}

pub(super) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub(super) fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

impl Raw {
    pub(super) async fn new(place: &mut Place) -> Raw {
        let url = url::Url::parse(&place.url).unwrap();
        let mut raw = Raw {
            tcp: TcpStream::connect(("127.0.0.1", place.gate.port()))
                .await
                .unwrap(),
        };
        let opening = startup(url.username(), url.path().trim_start_matches('/'));
        raw.send(&[opening]).await;
        raw.until(b'Z').await;
        place.opened().await;
        raw
    }

    pub(super) async fn send(&mut self, messages: &[Vec<u8>]) {
        self.tcp.write_all(&messages.concat()).await.unwrap();
    }

    /// The kinds of the messages that come, up to one of this kind.
    pub(super) async fn until(&mut self, last: u8) -> String {
        let mut kinds = String::new();
        let reading = async {
            loop {
                let tag = self.tcp.read_u8().await.unwrap();
                let length = self.tcp.read_u32().await.unwrap();
                let mut body = vec![0; usize::try_from(length).unwrap() - 4];
                self.tcp.read_exact(&mut body).await.unwrap();
                kinds.push(char::from(tag));
                if tag == last {
                    return;
                }
            }
        };
        let read = tokio::time::timeout(WITHIN, reading).await;
        assert!(read.is_ok(), "no {} comes", char::from(last));
        kinds
    }
}
