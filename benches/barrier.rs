//! How close together a race's requests arrive: deadheat's barrier beside `join_all` of warm
//! reqwest calls, which is what a hand-written race test does.
//!
//! `cargo bench --bench barrier` prints one table. *Spread* is the time between the first and the
//! last arrival of a round; a request has arrived when the server has read its last byte. Rounds of
//! the two alternate, so that whatever else the machine does falls on both. All connections are
//! open before the first round that counts.
//!
//! The server is as bare as can be: on loopback, a thread a connection that blocks in `read` and
//! stamps the clock when a request is whole. It answers when all have arrived, as a service does
//! that takes its time; answering at once would measure how answers get in the way of arrivals.
//!
//! What the spread is made of, and so what this bench can and cannot show:
//!
//! - Releasing is one system call a request. On loopback the kernel carries the byte to the other
//!   socket within that call and wakes the reader: some four to eleven microseconds each, most on a
//!   virtual machine. The calls stand in a row, so the spread grows with their count, and this is
//!   its floor. `join_all` has the same floor, for a request that fits one write.
//! - So for a few small requests on loopback the two are much the same, and with two `join_all` is
//!   at times ahead: its connections are driven by two threads, which can write at the same moment.
//!   What it writes then is whole requests, and what the held-back byte is for is that nothing else
//!   is left to do: the larger a request, the more of it `join_all` still has to write and the
//!   server to read. TLS, fresh connections and a network in between add to that; they are not
//!   measured here.
//! - The stamps are taken by threads that must first get a core. With more requests than cores they
//!   queue for one, behind each other and behind the releasing loop. That is in both columns, as it
//!   is when a real service is raced, and it makes most of the p99.
//! - Client and server share the machine, and so does whatever else runs on it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use deadheat::drive::{Driver, Shot, Trigger};
use deadheat::model::history::{Ending, Request};
use futures_util::future::join_all;
use url::Url;

/// How many requests race.
const SIZES: [usize; 3] = [2, 8, 32];

/// Rounds that count, of each kind and size.
const ROUNDS: usize = 500;

/// Rounds that open connections and warm caches.
const WARM_UP: usize = 20;

/// The bytes of a request's body: an order, and a document.
const BODIES: [usize; 2] = [32, 64 * 1024];

/// The body's last byte, which stands nowhere else in a request.
const END: u8 = b'!';

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LIMIT: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let cores = std::thread::available_parallelism()?;
    println!("spread of arrivals in microseconds, {ROUNDS} rounds each, {cores} cores\n");
    println!(
        "{:>6} {:>9} {:>13} {:>13} {:>14} {:>14} {:>10} {:>10}",
        "body",
        "requests",
        "barrier p50",
        "barrier p99",
        "join_all p50",
        "join_all p99",
        "ratio p50",
        "ratio p99",
    );
    for length in BODIES {
        let body = "x".repeat(length - 1) + "!";
        for size in SIZES {
            let ([b50, b99], [p50, p99]) = measure(&runtime, size, &body)?;
            println!(
                "{length:>6} {size:>9} {b50:>13.1} {b99:>13.1} {p50:>14.1} {p99:>14.1} {:>9.1}x {:>9.1}x",
                p50 / b50,
                p99 / b99,
            );
        }
    }
    Ok(())
}

/// The spreads of the barrier, and of `join_all`.
fn measure(
    runtime: &tokio::runtime::Runtime,
    size: usize,
    body: &str,
) -> Result<([f64; 2], [f64; 2]), Failure> {
    // Two servers, so that neither client's idle connections are the other's.
    let (barrier_url, barrier_stamps) = serve(size)?;
    let (plain_url, plain_stamps) = serve(size)?;
    let mut driver = Driver::new(std::slice::from_ref(&barrier_url))?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut barrier = Vec::with_capacity(ROUNDS);
    let mut plain = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        runtime.block_on(race(&mut driver, size, body))?;
        let barrier_spread = spread(&barrier_stamps, size)?;
        runtime.block_on(join(&client, &plain_url, size, body))?;
        let plain_spread = spread(&plain_stamps, size)?;
        if round >= WARM_UP {
            barrier.push(barrier_spread);
            plain.push(plain_spread);
        }
    }
    Ok((percentiles(&mut barrier), percentiles(&mut plain)))
}

async fn race(driver: &mut Driver, size: usize, body: &str) -> Result<(), Failure> {
    let shot = Shot {
        replica: 0,
        request: Request {
            method: "POST".to_owned(),
            path: "/orders".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_owned(),
        },
        trigger: Trigger::Barrier,
        hang_up: None,
    };
    for flight in driver.race(&vec![shot; size], LIMIT).await? {
        if !matches!(flight.ending, Ending::Answered(_)) {
            return Err(format!("a call was not answered: {flight:?}").into());
        }
    }
    Ok(())
}

async fn join(client: &reqwest::Client, url: &Url, size: usize, body: &str) -> Result<(), Failure> {
    let url = url.join("orders")?;
    let calls = (0..size).map(|_| {
        let request = client
            .post(url.clone())
            .header("content-type", "application/json");
        async { request.body(body.to_owned()).send().await?.bytes().await }
    });
    for answer in join_all(calls).await {
        answer?;
    }
    Ok(())
}

/// From the first to the last arrival of a round, in microseconds.
fn spread(stamps: &Receiver<Instant>, size: usize) -> Result<f64, Failure> {
    let mut arrivals = Vec::with_capacity(size);
    for _ in 0..size {
        arrivals.push(stamps.recv_timeout(LIMIT)?);
    }
    arrivals.sort();
    match (arrivals.first(), arrivals.last()) {
        (Some(first), Some(last)) => Ok(last.duration_since(*first).as_secs_f64() * 1e6),
        _ => Err("a round without requests".into()),
    }
}

fn percentiles(spreads: &mut [f64]) -> [f64; 2] {
    spreads.sort_by(f64::total_cmp);
    [50, 99].map(|percent| spreads[(spreads.len() - 1) * percent / 100])
}

/// A server that tells when each request was whole.
fn serve(size: usize) -> Result<(Url, Receiver<Instant>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = Url::parse(&format!("http://{}/", listener.local_addr()?))?;
    let (tell, stamps) = channel();
    let all_arrived = Arc::new(Barrier::new(size));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tell, all_arrived) = (tell.clone(), Arc::clone(&all_arrived));
            std::thread::spawn(move || serve_one(stream, &tell, &all_arrived));
        }
    });
    Ok((url, stamps))
}

fn serve_one(mut stream: TcpStream, tell: &Sender<Instant>, all_arrived: &Barrier) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        let now = Instant::now();
        // One request is on its way at a time.
        if buffer[..read].ends_with(&[END]) {
            tell.send(now).ok()?;
            all_arrived.wait();
            stream.write_all(ANSWER).ok()?;
        }
    }
}
