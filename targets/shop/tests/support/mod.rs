//! A shop of its own for each test: a fresh `SQLite` file, a stand-in for the
//! payment provider, and the service's binary on a free port.

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
const SECRET: &str = "whsec_test";

/// The `Idempotency-Key` headers that the provider was called with.
type Charges = Arc<Mutex<Vec<Option<String>>>>;

/// A running shop.
pub struct Shop {
    process: Child,
    url: String,
    client: Client,
    charges: Charges,
    database: String,
    _folder: tempfile::TempDir,
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
        let (provider, charges) = provider().await;
        let mut process = command(&database, &provider, bugs)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        Shop {
            process,
            url,
            client: Client::new(),
            charges,
            database,
            _folder: folder,
        }
    }

    /// How often the provider was called, a key an entry.
    pub fn charges(&self) -> Vec<Option<String>> {
        self.charges.lock().unwrap().clone()
    }

    /// Sends a request of a user, with an idempotency key if that is not empty.
    pub async fn send(
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

/// Starts the stand-in for the payment provider.
async fn provider() -> (String, Charges) {
    let charges = Charges::default();
    let seen = charges.clone();
    let charge = move |headers: HeaderMap, Json(charge): Json<Value>| async move {
        let key = headers.get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        seen.lock().unwrap().push(key);
        if charge["reference"] == DECLINED {
            return (StatusCode::PAYMENT_REQUIRED, Json(json!({})));
        }
        let done = json!({ "id": "ch_test", "status": "succeeded" });
        (StatusCode::CREATED, Json(done))
    };
    let router = Router::new().route("/charges", post(charge));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, charges)
}
