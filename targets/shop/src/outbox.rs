//! Events for other services: rows that a relay sends on. An event stands in
//! the transaction of what it tells of, so that there is neither one without
//! the other.

use sqlx::AnyConnection;

use crate::error::Error;

/// Adds an event about one row.
pub async fn announce(
    connection: &mut AnyConnection,
    topic: &str,
    subject_id: i64,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO outbox (topic, subject_id) VALUES ($1, $2)")
        .bind(topic)
        .bind(subject_id)
        .execute(connection)
        .await?;
    Ok(())
}
