//! A shop as many are: traced from its front door to its SQL and to its payment
//! provider, with an outbox that a job of its own empties every few milliseconds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use rand::random;
use tokio_postgres::{Client, NoTls};

pub struct Settings {
    pub port: u16,
    pub database: String,
    pub provider: String,
    /// Whether a sale only happens if there still is something to sell.
    pub careful: bool,
}

struct Shop {
    settings: Settings,
    http: reqwest::Client,
    pool: Mutex<Vec<Client>>,
}

pub async fn serve(settings: Settings) {
    let port = settings.port;
    let shop = Arc::new(Shop {
        settings,
        http: reqwest::Client::new(),
        pool: Mutex::default(),
    });
    let job = shop.connect().await;
    tokio::spawn(async move {
        let (unsent, sent) = (
            "SELECT id FROM outbox WHERE NOT sent",
            "UPDATE outbox SET sent = true WHERE id = $1",
        );
        loop {
            for row in job.query(unsent, &[]).await.unwrap() {
                job.execute(sent, &[&row.get::<_, i32>(0)]).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let routes = axum::Router::new()
        .route("/health", get(|| async {}))
        .route("/sales", post(sell))
        .with_state(shop);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    axum::serve(listener.unwrap(), routes).await.unwrap();
}

async fn sell(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> StatusCode {
    let trace = headers
        .get("traceparent")
        .map(|value| value.to_str().unwrap());
    let known = shop.pool.lock().unwrap().pop();
    let client = match known {
        Some(client) => client,
        None => shop.connect().await,
    };
    let sold = shop.sell(&client, trace).await;
    shop.pool.lock().unwrap().push(client);
    if sold {
        StatusCode::CREATED
    } else {
        StatusCode::CONFLICT
    }
}

impl Shop {
    async fn connect(&self) -> Client {
        let connected = tokio_postgres::connect(&self.settings.database, NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn sell(&self, client: &Client, trace: Option<&str>) -> bool {
        let traced = |sql: &str| match trace {
            Some(trace) => format!("{sql} /*traceparent='{}'*/", span_of(trace)),
            None => sql.to_owned(),
        };
        let stock = "SELECT stock FROM things WHERE id = 1";
        let stock: i32 = client.query_one(&traced(stock), &[]).await.unwrap().get(0);
        if stock == 0 {
            return false;
        }
        let mut charge = self
            .http
            .post(format!("{}/charges", self.settings.provider));
        if let Some(trace) = trace {
            charge = charge.header("traceparent", span_of(trace));
        }
        charge.send().await.unwrap().error_for_status().unwrap();
        let taking = if self.settings.careful {
            "UPDATE things SET stock = stock - 1 WHERE id = 1 AND stock > 0"
        } else {
            "UPDATE things SET stock = stock - 1 WHERE id = 1"
        };
        let sold = client.execute(&traced(taking), &[]).await.unwrap() == 1;
        if sold {
            let announce = "INSERT INTO outbox (sent) VALUES (false)";
            client.execute(&traced(announce), &[]).await.unwrap();
        }
        sold
    }
}

/// A span of its own in the trace of a request.
fn span_of(trace: &str) -> String {
    let id = trace.split('-').nth(1).unwrap();
    format!("00-{id}-{:016x}-01", random::<u64>())
}
