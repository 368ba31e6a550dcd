//! What the environment says.

use std::env;

use crate::Failure;
use crate::bugs::Bugs;
use crate::stock::Version;

/// The service's configuration.
pub struct Config {
    /// `postgres://…` or `sqlite://…`.
    pub database_url: String,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Where the payment provider answers.
    pub provider_url: String,
    /// Where other services hear of events.
    pub events_url: String,
    /// What the provider signs its webhooks with.
    pub webhook_secret: String,
    /// Which version of the service this is.
    pub version: Version,
    /// The mistakes to make.
    pub bugs: Bugs,
}

impl Config {
    /// Reads the environment; an error names the variable.
    pub fn from_env() -> Result<Config, Failure> {
        Ok(Config {
            database_url: required("DATABASE_URL")?,
            port: required("PORT")?
                .parse()
                .map_err(|_| "PORT is no port number")?,
            provider_url: required("PROVIDER_URL")?,
            events_url: required("EVENTS_URL")?,
            webhook_secret: required("WEBHOOK_SECRET")?,
            version: env::var("SHOP_VERSION")
                .unwrap_or_else(|_| "1".to_owned())
                .parse()?,
            bugs: env::var("SHOP_BUGS").unwrap_or_default().parse()?,
        })
    }
}

fn required(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|_| format!("set the environment variable {name}").into())
}
