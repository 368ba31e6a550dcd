//! The bundled shop: what a team of ordinary care would run, on PostgreSQL or
//! `SQLite`, with realistic mistakes that `SHOP_BUGS` switches on by name.
//!
//! Every handler looks first and acts then. Looking gives prices and friendly
//! refusals; what makes the act right is a guard of its own, in the statement
//! or in the schema, and most of the bugs are one such guard left out.

mod app;
mod auth;
mod bugs;
mod colleagues;
mod config;
mod coupons;
mod db;
mod error;
mod events;
mod history;
mod migrations;
mod notes;
mod orders;
mod outbox;
mod payments;
mod products;
mod profile;
mod provider;
mod reservations;
mod stock;
mod text;
mod wallet;
mod webhooks;
mod whole;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("shop: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let config = config::Config::from_env()?;
    let port = config.port;
    let shop = app::Shop::open(config).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("shop: listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app::router(shop)).await?;
    Ok(())
}
