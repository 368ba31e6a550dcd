//! The other services, told of an event at once. The relay tells them what stands in
//! the outbox; who tells them before that stands there tells of what may never be.

use std::time::Duration;

use reqwest::Client;
use serde_json::json;

const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Where events go.
pub struct Events {
    client: Client,
    events: String,
}

impl Events {
    /// Those who listen at an address.
    pub fn new(url: &str) -> Result<Events, reqwest::Error> {
        Ok(Events {
            client: Client::builder().timeout(ANSWER_WITHIN).build()?,
            events: format!("{}/events", url.trim_end_matches('/')),
        })
    }

    /// Tells of an event about one row. Who does not hear it now hears it of the relay.
    pub async fn tell(&self, topic: &str, subject_id: i64) {
        let body = json!({ "topic": topic, "subject_id": subject_id });
        let told = self.client.post(&self.events).json(&body).send().await;
        if let Err(error) = told {
            eprintln!("shop: {topic} of {subject_id} was not told: {error}");
        }
    }
}
