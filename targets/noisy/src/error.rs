//! What goes wrong, and what the client is told about it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Right in itself, but not as things stand.
    #[error("{0}")]
    Conflict(&'static str),
    /// A request that can never be right.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Database(error) if is_of_the_request(error) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Database(error) => {
                eprintln!("noisy: {error:?}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// Whether the database refuses what the client has sent: a value that is none of its type,
/// or too large (class 22), or the id of nothing (23503).
fn is_of_the_request(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code == "23503")
}
