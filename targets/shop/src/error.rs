//! What goes wrong, and what the client is told about it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::db::is_transient;

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody known.
    #[error("a valid token or signature is required")]
    Unauthorized,
    /// Somebody known, who may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Not there, or another tenant's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Right in itself, but not as things stand.
    #[error("{0}")]
    Conflict(&'static str),
    /// A request that can never be right.
    #[error("{0}")]
    Invalid(String),
    /// A body that is no JSON of the expected shape.
    #[error(transparent)]
    Body(#[from] JsonRejection),
    /// A query that cannot be read.
    #[error(transparent)]
    Query(#[from] QueryRejection),
    /// A path that names nothing.
    #[error(transparent)]
    Path(#[from] PathRejection),
    /// Any of these, told without the shape that clients expect: `Bug::BareError`.
    #[error(transparent)]
    Bare(Box<Error>),
    /// The provider has refused the charge.
    #[error("the payment was declined")]
    Declined,
    /// The provider did not say whether it charged.
    #[error("the payment provider did not answer; try again with the same key")]
    Provider(#[source] reqwest::Error),
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database, and what it was asked: `Bug::SqlInAnswer`.
    #[error("{source}, while running: {statement}")]
    Statement {
        /// What it was asked.
        statement: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
}

impl Error {
    /// What the database said, if it is that.
    pub fn of_database(&self) -> Option<&sqlx::Error> {
        match self {
            Error::Database(error) | Error::Statement { source: error, .. } => Some(error),
            _ => None,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Error::Unauthorized => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) | Error::Path(_) => StatusCode::NOT_FOUND,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Body(rejection) => rejection.status(),
            Error::Query(rejection) => rejection.status(),
            Error::Bare(error) => error.status(),
            Error::Declined => StatusCode::PAYMENT_REQUIRED,
            Error::Provider(_) => StatusCode::BAD_GATEWAY,
            Error::Database(error) | Error::Statement { source: error, .. } => {
                if is_transient(error) || matches!(error, sqlx::Error::PoolTimedOut) {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            eprintln!("shop: {status}: {self}: {self:?}");
        }
        if let Error::Bare(error) = self {
            return (status, error.to_string()).into_response();
        }
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// A JSON body whose refusal looks like every other.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Error))]
pub struct Body<T>(pub T);

/// The number in a path. What is none names nothing that is there.
#[derive(Deserialize, FromRequestParts)]
#[from_request(via(Path), rejection(Error))]
pub struct Id(pub i64);

/// What a handler answers.
pub type Answer<T> = Result<(StatusCode, Json<T>), Error>;

/// 201.
pub fn created<T: Serialize>(body: T) -> (StatusCode, Json<T>) {
    (StatusCode::CREATED, Json(body))
}

/// 200.
pub fn ok<T: Serialize>(body: T) -> (StatusCode, Json<T>) {
    (StatusCode::OK, Json(body))
}
