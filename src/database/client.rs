//! A client of its own, which runs statements one by one, as psql does: each in a
//! transaction of its own unless one was begun. PostgreSQL only.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::database::DatabaseError;

/// A deadlock, or a lock that was not to be had in time: nothing is wrong with the
/// statement, and it is worth another try.
const LOST: [&str; 2] = ["40P01", "55P03"];

/// A connection to a database.
#[derive(Debug)]
pub struct Client(PgConnection);

/// A statement that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The statement and why, in a person's words.
    pub why: String,
    /// Whether another client stood in its way.
    pub lost: bool,
}

impl Client {
    /// Connects to the database of a URL.
    pub async fn connect(url: &str) -> Result<Client, DatabaseError> {
        let options: PgConnectOptions = url.parse().map_err(|source| DatabaseError::Url {
            url: url.to_owned(),
            source,
        })?;
        let options = options.application_name("deadheat migration");
        let connected = options.connect().await;
        connected
            .map(Client)
            .map_err(|source| DatabaseError::Connect {
                url: url.to_owned(),
                source,
            })
    }

    /// Runs a statement.
    pub async fn run(&mut self, statement: &str) -> Result<(), Refused> {
        // A text runs as a simple query: what it does alone, it does here.
        let done = self.0.execute(statement).await;
        done.map(drop).map_err(|error| refused(statement, &error))
    }

    /// Runs statements up to the first that is refused.
    pub async fn run_all(&mut self, statements: &[String]) -> Result<(), Refused> {
        for statement in statements {
            self.run(statement).await?;
        }
        Ok(())
    }

    /// Disconnects; an open transaction ends with it.
    pub async fn close(self) {
        // Who cannot be told has ended it already.
        let _ = self.0.close().await;
    }
}

fn refused(statement: &str, error: &sqlx::Error) -> Refused {
    let of_server = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let (said, state) = match of_server {
        Some(error) => {
            let more: Vec<String> = [error.detail(), error.hint()]
                .into_iter()
                .flatten()
                .map(|more| format!(" ({more})"))
                .collect();
            (
                format!("{}{}", error.message(), more.concat()),
                error.code(),
            )
        }
        None => (error.to_string(), ""),
    };
    Refused {
        why: format!("`{}`: {said}", one_line(statement)),
        lost: LOST.contains(&state),
    }
}

fn one_line(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    words.join(" ")
}
