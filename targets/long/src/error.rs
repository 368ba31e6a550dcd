//! What goes wrong, and what the client is told about it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sqlx::error::ErrorKind;

/// Why a payment is not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused, or failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Error::Database(error) = self;
        let kind = error
            .as_database_error()
            .map(sqlx::error::DatabaseError::kind);
        match kind {
            Some(ErrorKind::UniqueViolation) => {
                (StatusCode::CONFLICT, "this reference was paid before").into_response()
            }
            Some(ErrorKind::ForeignKeyViolation) => {
                (StatusCode::NOT_FOUND, "there is no such account").into_response()
            }
            _ => {
                eprintln!("long: {error:?}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
