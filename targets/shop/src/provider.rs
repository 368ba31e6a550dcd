//! The payment provider's API.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::error::Error;

/// Well shorter than our own clients wait, so that they hear from us.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The provider.
pub struct Provider {
    client: Client,
    charges: String,
}

/// A charge that went through.
#[derive(Debug, Deserialize)]
pub struct Charge {
    /// The provider's id of it.
    pub id: String,
}

impl Provider {
    /// The provider at an address.
    pub fn new(url: &str) -> Result<Provider, reqwest::Error> {
        Ok(Provider {
            client: Client::builder().timeout(ANSWER_WITHIN).build()?,
            charges: format!("{}/charges", url.trim_end_matches('/')),
        })
    }

    /// Charges. The provider answers a repeated `key` with the charge that it
    /// has already made; `reference` is what its own records show.
    pub async fn charge(
        &self,
        amount_cents: i64,
        reference: &str,
        key: Option<&str>,
    ) -> Result<Charge, Error> {
        let body = json!({
            "amount_cents": amount_cents,
            "currency": "EUR",
            "reference": reference,
        });
        let mut request = self.client.post(&self.charges).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.map_err(Error::Provider)?;
        if response.status() == StatusCode::PAYMENT_REQUIRED {
            return Err(Error::Declined);
        }
        let charged = response.error_for_status().map_err(Error::Provider)?;
        charged.json().await.map_err(Error::Provider)
    }
}
