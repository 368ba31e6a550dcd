//! Why the database cannot be used.

use std::path::PathBuf;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A statement of the user's is wrong.
    #[error("{message}")]
    Sql {
        /// What the database says of it.
        message: String,
    },
    /// A database that is not deadheat's would be reset.
    #[error(
        "every round resets the database to what it holds now, and {} is not one that deadheat made\n\
         If everything in it may be lost, say so with --reset-database.",
        without_password(url)
    )]
    NotOurs {
        /// Its URL.
        url: String,
    },
    /// The URL cannot be read.
    #[error("`{}` is no URL of a database: {source}", without_password(url))]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        source: sqlx::Error,
    },
    /// It cannot be connected to.
    #[error(
        "cannot connect to the database {}: {source}\n\
         See that it runs, and that the URL names the right host, user and database.",
        without_password(url)
    )]
    Connect {
        /// Its URL.
        url: String,
        /// Why not.
        source: sqlx::Error,
    },
    /// Another deadheat is resetting it right now.
    #[error(
        "another deadheat is at work on {}: wait for its end, or name another database",
        without_password(url)
    )]
    Taken {
        /// Its URL.
        url: String,
    },
    /// The connection was lost, or the server said no to what deadheat itself asked.
    #[error(
        "the database failed while deadheat {doing}: {source}{}",
        log_lines(log)
    )]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What was met.
        source: sqlx::Error,
        /// The last lines of the server's log, if it is deadheat's own.
        log: String,
    },
    /// Tables that the snapshot holds are gone.
    #[error(
        "the service dropped what each round begins with: {}\n\
         A round can put rows back, and not tables.",
        .tables.join(", ")
    )]
    TablesGone {
        /// The tables.
        tables: Vec<String>,
    },
    /// There are no binaries of the server.
    #[error(
        "no PostgreSQL server is installed: neither PATH nor /usr/lib/postgresql holds `postgres` and `initdb`\n\
         Install one (`apt-get install postgresql`), name a database with --database-url, or use --engine sqlite."
    )]
    NoServer,
    /// A program of the server failed.
    #[error("{what} failed: {why}{}", log_lines(log))]
    Server {
        /// Which one.
        what: String,
        /// How.
        why: String,
        /// Its last lines.
        log: String,
    },
    /// A temporary folder cannot be made or used.
    #[error("cannot make a temporary folder in {path}: {source}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl DatabaseError {
    /// Whether the user's own SQL, URL or arguments are at fault, rather than
    /// the environment.
    pub fn is_users(&self) -> bool {
        matches!(
            self,
            DatabaseError::Sql { .. } | DatabaseError::NotOurs { .. } | DatabaseError::Url { .. }
        )
    }
}

fn log_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(15));
    let shown: Vec<String> = last.map(|line| format!("\n  | {line}")).collect();
    shown.concat()
}

/// A URL as it may be shown.
fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // Only URLs that cannot have a password refuse to have one set.
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let url = "postgres://u:secret@h/db".to_owned();
        let text = DatabaseError::NotOurs { url }.to_string();
        assert!(text.contains("postgres://u:***@h/db") && !text.contains("secret"));
    }
}
