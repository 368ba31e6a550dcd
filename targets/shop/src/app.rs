//! What the handlers share, and which path is whose.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, patch, post, put};
use tokio::sync::Mutex;

use crate::Failure;
use crate::bugs::Bugs;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::events::Events;
use crate::provider::Provider;
use crate::stock::Version;
use crate::{
    colleagues, coupons, history, migrations, notes, orders, payments, products, profile,
    reservations, wallet, webhooks, whole,
};

/// The running service.
pub struct Shop {
    /// Where everything is kept.
    pub db: Db,
    /// Who charges.
    pub provider: Provider,
    /// Who is told.
    pub events: Events,
    /// What the provider signs its webhooks with.
    pub webhook_secret: String,
    /// Which version of the service this is.
    pub version: Version,
    /// The mistakes to make.
    pub bugs: Bugs,
    /// Held by one check-out of this process at a time, where a bug says so.
    pub checkout: Mutex<()>,
}

impl Shop {
    /// Connects and migrates.
    pub async fn open(config: Config) -> Result<Arc<Shop>, Failure> {
        let db = Db::connect(&config.database_url, &config.bugs).await?;
        migrations::run(&db, &config.bugs).await?;
        Ok(Arc::new(Shop {
            db,
            provider: Provider::new(&config.provider_url)?,
            events: Events::new(&config.events_url)?,
            webhook_secret: config.webhook_secret,
            version: config.version,
            bugs: config.bugs,
            checkout: Mutex::default(),
        }))
    }
}

/// The paths.
pub fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/products", get(products::list))
        .route("/api/orders", get(orders::list).post(orders::create))
        .route("/api/orders/{id}", get(whole::read))
        .route("/api/orders/{id}/note", put(notes::write))
        .route("/api/history", get(history::list))
        .route("/api/payments", post(payments::create))
        .route("/api/coupons/redeem", post(coupons::redeem))
        .route("/api/wallet/transfer", post(wallet::transfer))
        .route("/api/reservations", post(reservations::create))
        .route("/api/profile", patch(profile::update))
        .route("/api/colleagues/{id}/leave", post(colleagues::leave))
        .route("/api/colleagues/{id}/return", post(colleagues::come_back))
        .route("/webhooks/payments", post(webhooks::receive))
        .fallback(async || Error::NotFound("path"))
        .with_state(shop)
}

async fn health(State(shop): State<Arc<Shop>>) -> Result<&'static str, Error> {
    sqlx::query("SELECT 1").execute(shop.db.pool()).await?;
    Ok("ok")
}
