//! Payments of eighty statements each, on PostgreSQL: what a scheduler has to find
//! its way through. Right by default, with mistakes that `LONG_BUGS` switches on by
//! name. README.md tells which statement is which.

mod bugs;
mod error;
mod payment;
mod work;

use std::env;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;

use bugs::Bugs;
use error::Error;

/// A payment takes two at most.
const CONNECTIONS: u32 = 20;

type Failure = Box<dyn std::error::Error>;

/// The running service.
struct Service {
    pool: PgPool,
    bugs: Bugs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("long: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let service = Arc::new(Service {
        pool: pool.connect(&required("DATABASE_URL")?).await?,
        bugs: env::var("LONG_BUGS").unwrap_or_default().parse()?,
    });
    let port: u16 = required("PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("long: listening on http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/health", get(health))
        .route("/payments", post(payment::pay))
        .with_state(service);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn health(State(service): State<Arc<Service>>) -> Result<&'static str, Error> {
    sqlx::query("SELECT 1").execute(&service.pool).await?;
    Ok("ok")
}

fn required(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|_| format!("set the environment variable {name}").into())
}
