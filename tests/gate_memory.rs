//! The gate's memory stays flat, however much passes through it: a process of its
//! own, so that nothing else is measured.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

use deadheat::gate::{Gate, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What one answer has.
const BYTES: usize = 50 << 20;

/// What the process may grow by while it passes.
const MAY_GROW: usize = 4 << 20;

const PIECE: usize = 64 << 10;

fn message(tag: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length + 4).unwrap().to_be_bytes();
    [&[tag][..], &length].concat()
}

/// A server of one client: to each query it answers 50 MB, in rows of this size.
async fn serve(listener: TcpListener, row: usize) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut buffer = vec![0; PIECE];
    let opening = client.read(&mut buffer).await.unwrap();
    assert!(opening > 8);
    let ready = [message(b'Z', 1), vec![b'I']].concat();
    client.write_all(&ready).await.unwrap();
    while client.read(&mut buffer).await.unwrap_or(0) > 0 {
        for _ in 0..BYTES / row {
            client.write_all(&message(b'D', row)).await.unwrap();
            let mut left = row;
            while left > 0 {
                let piece = left.min(PIECE);
                client.write_all(&buffer[..piece]).await.unwrap();
                left -= piece;
            }
        }
        let done = [message(b'C', 7), b"SELECT\0".to_vec(), ready.clone()].concat();
        client.write_all(&done).await.unwrap();
    }
}

/// What a query's answer makes the process grow by at most.
async fn growth(row: usize) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, row));
    let (tell, _events) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::parse(&format!("postgres://a@127.0.0.1:{port}/d")).unwrap();
    let gate = Gate::open(upstream, |_| true, tell).await.unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", gate.port()))
        .await
        .unwrap();
    let startup = b"\0\0\0\x10\0\x03\0\0user\0a\0\0";
    client.write_all(startup).await.unwrap();
    let mut buffer = vec![0; PIECE];
    assert_eq!(client.read(&mut buffer).await.unwrap(), 6);
    client.write_all(b"Q\0\0\0\x05\0").await.unwrap();
    let before = resident();
    let mut most = before;
    let all = BYTES / row * (row + 5) + 12 + 6;
    let mut bytes = 0;
    while bytes < all {
        bytes += client.read(&mut buffer).await.unwrap();
        most = most.max(resident());
    }
    assert_eq!(bytes, all);
    most - before
}

/// What the process has in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn fifty_megabytes_pass_through_a_flat_memory() {
    for row in [1 << 10, BYTES] {
        let growth = growth(row).await;
        assert!(growth < MAY_GROW, "{growth} bytes more, with rows of {row}");
    }
}
