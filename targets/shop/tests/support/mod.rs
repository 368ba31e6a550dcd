//! A shop of its own for each test: a fresh `SQLite` file or a database that is given,
//! a stand-in for the payment provider and for other services, and the service's binary
//! on a free port.

#![allow(dead_code)] // Each story uses a part of it.

pub mod cutter;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, Mac};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::Connection;

/// A key of this text is declined by the provider.
pub const DECLINED: &str = "declined";
/// A key of this text is charged, and the first answer about that is a 500.
pub const UNCLEAR: &str = "unclear";
const SECRET: &str = "whsec_test";

/// What third parties were called with.
#[derive(Debug, Default)]
struct Heard {
    /// The `Idempotency-Key` of each charge.
    charges: Vec<Option<String>>,
    /// How many events other services were told of.
    events: usize,
}

impl Heard {
    /// The number of a charge, counted from 1; of one that repeats a key, the first's.
    fn charge(&mut self, key: Option<String>) -> usize {
        self.charges.push(key);
        self.last_charge()
    }

    fn last_charge(&self) -> usize {
        let last = self.charges.last().unwrap();
        let mut known = self.charges.iter();
        let first = known.position(|key| key.is_some() && key == last);
        first.map_or(self.charges.len(), |first| first + 1)
    }
}

type ThirdParties = Arc<Mutex<Heard>>;

/// A running shop.
pub struct Shop {
    process: Child,
    url: String,
    client: Client,
    heard: ThirdParties,
    third_parties: String,
    database: String,
    bugs: String,
    folder: Option<tempfile::TempDir>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that starts a shop with these mistakes.
pub fn command(database: &str, provider: &str, bugs: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .env("DATABASE_URL", database)
        .env("PORT", "0")
        .env("PROVIDER_URL", provider)
        .env("EVENTS_URL", provider)
        .env("WEBHOOK_SECRET", SECRET)
        .env("SHOP_BUGS", bugs);
    command
}

impl Shop {
    /// Starts one that makes no mistake.
    pub async fn start() -> Shop {
        Shop::with_bugs("").await
    }

    /// Starts one.
    pub async fn with_bugs(bugs: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite://{}", folder.path().join("shop.db").display());
        prepare(&format!("{database}?mode=rwc")).await;
        let mut shop = Shop::on(&database, bugs).await;
        shop.folder = Some(folder);
        shop
    }

    /// Starts one on a database that stands.
    pub async fn on(database: &str, bugs: &str) -> Shop {
        Shop::of_version("1", database, bugs).await
    }

    async fn of_version(version: &str, database: &str, bugs: &str) -> Shop {
        let (third_parties, heard) = third_parties().await;
        let mut command = command(database, &third_parties, bugs);
        command.env("SHOP_VERSION", version);
        let (process, url) = run(command).await;
        Shop {
            process,
            url,
            client: Client::new(),
            heard,
            third_parties,
            database: database.to_owned(),
            bugs: bugs.to_owned(),
            folder: None,
        }
    }

    /// Kills it, and starts it anew.
    pub async fn die_and_rise(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let command = command(&self.database, &self.third_parties, &self.bugs);
        (self.process, self.url) = run(command).await;
    }

    /// How often the provider was called, a key an entry.
    pub fn charges(&self) -> Vec<Option<String>> {
        self.heard.lock().unwrap().charges.clone()
    }

    /// How many events other services were told of.
    pub fn events(&self) -> usize {
        self.heard.lock().unwrap().events
    }

    /// What third parties were called with is of no interest any more.
    pub fn forget(&self) {
        *self.heard.lock().unwrap() = Heard::default();
    }

    /// Sends a request of a user, with an idempotency key if that is not empty. If it
    /// pays, the provider's event follows.
    pub async fn send(
        &self,
        user: &str,
        request: &str,
        key: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let (status, answer) = self.ask(user, request, key, body).await;
        if request == "POST /api/payments" && status.is_success() {
            let event = captured(self.heard.lock().unwrap().last_charge());
            let (first, second) = (self.event(&event).await, self.event(&event).await);
            assert!([first, second].contains(&200), "{first}, {second}");
        }
        (status, answer)
    }

    /// Sends a request of a user, with an idempotency key if that is not empty.
    pub async fn ask(
        &self,
        user: &str,
        request: &str,
        key: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url))
            .bearer_auth(format!("token-{user}"));
        if !key.is_empty() {
            request = request.header("Idempotency-Key", key);
        }
        if method != Method::GET {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// What a request of a user is answered, as it stands.
    pub async fn text(&self, user: &str, request: &str, body: &Value) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(format!("token-{user}")).json(body);
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Sends a request without a key; answers the status alone.
    pub async fn status(&self, user: &str, request: &str, body: Value) -> u16 {
        self.send(user, request, "", &body).await.0.as_u16()
    }

    /// Delivers an event of the provider, signed.
    pub async fn event(&self, event: &Value) -> u16 {
        let body = event.to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        self.deliver(body, &signature).await
    }

    /// Delivers a body as the provider does.
    pub async fn deliver(&self, body: String, signature: &str) -> u16 {
        let request = self.client.post(format!("{}/webhooks/payments", self.url));
        let request = request.header("X-Signature", signature).body(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// A number out of the database.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut connection = sqlx::SqliteConnection::connect(&self.database)
            .await
            .unwrap();
        sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Changes the database behind the shop's back.
    pub async fn run(&self, sql: &str) {
        let mut connection = sqlx::SqliteConnection::connect(&self.database)
            .await
            .unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    /// Another version of it, on the same database.
    pub async fn next(&self) -> Shop {
        Shop::of_version("2", &self.database, &self.bugs).await
    }

    /// The names of the target file's invariants that do not hold.
    pub async fn broken(&self) -> Vec<String> {
        let target =
            deadheat::target::Target::load(std::path::Path::new(env!("CARGO_MANIFEST_DIR")))
                .unwrap_or_else(|error| panic!("{error}"));
        let mut connection = sqlx::SqliteConnection::connect(&self.database)
            .await
            .unwrap();
        let mut broken = Vec::new();
        for (name, invariant) in &target.file.invariants {
            let rows = sqlx::query(invariant.sql.get_ref())
                .fetch_all(&mut connection)
                .await
                .unwrap();
            if !rows.is_empty() {
                broken.push(name.clone());
            }
        }
        broken
    }
}

/// Starts a shop, and waits until it listens at an address.
async fn run(mut command: Command) -> (Child, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    // What it connects to may be served by this very thread.
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    });
    let line = line.await.unwrap();
    let url = line.trim().rsplit(' ').next().unwrap();
    (process, url.to_owned())
}

/// The provider's event of the charge of this number.
fn captured(number: usize) -> Value {
    json!({
        "id": format!("evt_{number}"),
        "type": "payment.captured",
        "sequence": 1,
        "charge_id": format!("ch_{number}"),
    })
}

/// Makes schema and fixtures.
async fn prepare(database: &str) {
    let mut connection = sqlx::SqliteConnection::connect(database).await.unwrap();
    for sql in [
        include_str!("../../schema.sqlite.sql"),
        include_str!("../../fixtures.sql"),
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// Starts the stand-in for the payment provider and other services.
async fn third_parties() -> (String, ThirdParties) {
    let heard = ThirdParties::default();
    let (of_charges, of_events) = (heard.clone(), heard.clone());
    let charge = move |headers: HeaderMap, Json(charge): Json<Value>| async move {
        let key = headers.get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let mut heard = of_charges.lock().unwrap();
        let is_first = !heard.charges.contains(&key);
        let number = heard.charge(key);
        if charge["reference"] == UNCLEAR && is_first {
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({})));
        }
        if charge["reference"] == DECLINED {
            return (StatusCode::PAYMENT_REQUIRED, Json(json!({})));
        }
        let done = json!({ "id": format!("ch_{number}"), "status": "succeeded" });
        (StatusCode::CREATED, Json(done))
    };
    let event = move || async move {
        of_events.lock().unwrap().events += 1;
        StatusCode::ACCEPTED
    };
    let router = Router::new()
        .route("/charges", post(charge))
        .route("/events", post(event));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}
