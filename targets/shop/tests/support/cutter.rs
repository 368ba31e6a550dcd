//! A relay before a PostgreSQL server that breaks one statement: its connection is cut
//! before or after it, it is refused, or it is held while its client breaks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The connection is cut, and the server never sees it.
    Before,
    /// The server has done it, and the connection is cut instead of its answer.
    After,
    /// The server answers an error.
    Refused,
    /// The server answers 40001: the transaction is to be made once more.
    Undone,
    /// It waits until it is released.
    Held,
}

/// Which statement.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// The first that holds this text.
    Text(&'static str),
    /// The one of this number, counted from 0.
    Step(usize),
}

#[derive(Debug, Default)]
struct Armed {
    fault: Option<(At, How)>,
    seen: usize,
}

impl Armed {
    /// What happens to the next statement.
    fn meets(&mut self, sql: &str) -> Option<How> {
        let (at, how) = self.fault?;
        let seen = self.seen;
        self.seen += 1;
        let meant = match at {
            At::Text(text) => sql.contains(text),
            At::Step(number) => number == seen,
        };
        meant.then(|| self.fault = None).map(|()| how)
    }
}

/// What all connections share.
#[derive(Debug, Default)]
struct Shared {
    armed: Mutex<Armed>,
    reached: Notify,
    released: Notify,
}

/// The relay.
pub struct Cutter {
    shared: Arc<Shared>,
    /// Where it listens.
    pub port: u16,
}

impl Cutter {
    /// Stands before the server of a port.
    pub async fn before(server: u16) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&of_all)));
            }
        });
        Cutter { shared, port }
    }

    /// Breaks one statement from now on.
    pub fn arm(&self, at: At, how: How) {
        *self.shared.armed.lock().unwrap() = Armed {
            fault: Some((at, how)),
            seen: 0,
        };
    }

    /// Breaks none any more; answers whether one was broken.
    pub fn struck(&self) -> bool {
        self.shared.armed.lock().unwrap().fault.take().is_none()
    }

    /// Waits until the statement that is to be held is there.
    pub async fn reached(&self) {
        self.shared.reached.notified().await;
    }

    /// Lets it go.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }
}

/// A message: its kind, and what follows its length.
type Message = (u8, Vec<u8>);

async fn read(from: &mut OwnedReadHalf) -> std::io::Result<Message> {
    let kind = from.read_u8().await?;
    let mut body = vec![0; from.read_u32().await? as usize - 4];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

async fn write(to: &mut OwnedWriteHalf, (kind, body): &Message) -> std::io::Result<()> {
    let mut bytes = vec![*kind];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    to.write_all(&bytes).await
}

/// Ends with either side, and takes the other along.
async fn relay(client: TcpStream, server: u16, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    // Messages are passed on one by one, and none must wait for the last one's receipt.
    for side in [&client, &server] {
        let _ = side.set_nodelay(true);
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Whether what comes from the server is the answer that is cut.
    let silent = AtomicBool::new(false);
    let up = async {
        let first = first(&mut from_client, &mut to_server).await;
        if first.is_ok() {
            let _ = up(from_client, to_server, &shared, &silent).await;
        }
    };
    let down = async {
        while let Ok(message) = read(&mut from_server).await {
            let silent = silent.load(Relaxed);
            if silent && message.0 == b'Z' {
                return;
            }
            if !silent && write(&mut to_client, &message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// The first message has no kind.
async fn first(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> std::io::Result<()> {
    let length = from.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    to.write_all(&[&length.to_be_bytes()[..], &body].concat())
        .await
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    silent: &AtomicBool,
) -> std::io::Result<()> {
    let mut prepared: HashMap<Vec<u8>, String> = HashMap::new();
    let mut bound = String::new();
    loop {
        let mut message = read(&mut from).await?;
        let mut parts = message.1.split(|byte| *byte == 0);
        let (first, second) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let sql = match message.0 {
            b'P' => {
                prepared.insert(first.to_vec(), text(second));
                None
            }
            b'B' => {
                bound = prepared.get(second).cloned().unwrap_or_default();
                None
            }
            b'E' => Some(bound.clone()),
            b'Q' => Some(text(first)),
            _ => None,
        };
        let how = sql.and_then(|sql| shared.armed.lock().unwrap().meets(&sql));
        match how {
            Some(How::Before) => return Ok(()),
            Some(How::After) => silent.store(true, Relaxed),
            // No such portal, and no such statement.
            Some(How::Refused) => message.1.insert(0, b'x'),
            Some(How::Undone) => {
                for message in undone(message.0) {
                    write(&mut to, &message).await?;
                }
                continue;
            }
            Some(How::Held) => {
                shared.reached.notify_one();
                shared.released.notified().await;
            }
            None => {}
        }
        write(&mut to, &message).await?;
    }
}

/// What fails with 40001 in the place of a message of this kind.
fn undone(kind: u8) -> Vec<Message> {
    const RAISE: &str = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$";
    let text = format!("{RAISE}\0").into_bytes();
    if kind == b'Q' {
        return vec![(b'Q', text)];
    }
    // The nameless statement, without parameters, and the nameless portal.
    let parse = [&b"\0"[..], &text, &[0; 2]].concat();
    vec![(b'P', parse), (b'B', vec![0; 8]), (b'E', vec![0; 5])]
}
