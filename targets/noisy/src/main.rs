//! Notes whose answers and rows are never the same twice, on PostgreSQL: what a judge
//! of outcomes has to see through. Right by default, with mistakes that `NOISY_BUGS`
//! switches on by name. README.md tells which noise is where.

mod bugs;
mod error;
mod noise;
mod notes;
mod transfers;

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

const CONNECTIONS: u32 = 10;

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
            eprintln!("noisy: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let bugs = env::var("NOISY_BUGS").unwrap_or_default().parse()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = pool.connect(&required("DATABASE_URL")?).await?;
    let service = Arc::new(Service { pool, bugs });
    let port: u16 = required("PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("noisy: listening on http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/health", get(health))
        .route("/notes", get(notes::list).post(notes::create))
        .route("/notes/{id}", get(notes::share))
        .route("/notes/{id}/likes", post(notes::like))
        .route("/transfers", post(transfers::make))
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
