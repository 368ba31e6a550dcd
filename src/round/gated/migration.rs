//! The migration of a gated round: one more call at the gate, whose client is deadheat's
//! own. Its index is the one after the last call's.

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::database::{Client, Refused};
use crate::failure::Failure;
use crate::model::history::Migrated;
use crate::model::scenario::Scenario;
use crate::stage::Stage;

/// A migration that is connected and waits for its turn.
#[derive(Debug)]
pub(super) struct Migration {
    name: String,
    statements: Vec<String>,
    client: Client,
    limit: Duration,
}

impl Migration {
    /// The migration of a scenario, if it has one. From here on it is one that has begun,
    /// and that somebody has to undo.
    pub(super) async fn of(
        scenario: &Scenario,
        stage: &mut Stage,
    ) -> Result<Option<Migration>, Failure> {
        let Some(name) = scenario.migration.clone() else {
            return Ok(None);
        };
        let known = stage.target.migrations.get(&name);
        let (Some(known), Some(migrations)) = (known, stage.migrations.as_mut()) else {
            let why = "a migration without a gate, or one that the target does not name";
            return Err(Failure::Internal(why.to_owned()));
        };
        migrations.begun = Some(name.clone());
        Ok(Some(Migration {
            name,
            statements: known.steps.clone(),
            client: Client::connect(&migrations.url).await?,
            limit: stage.target.file.service.answer_within,
        }))
    }

    /// Runs it once it is told to begin, statement by statement.
    async fn run(mut self, begin: oneshot::Receiver<()>) -> Migrated {
        let done = match begin.await {
            Ok(()) => tokio::time::timeout(self.limit, self.client.run_all(&self.statements)).await,
            Err(_) => Ok(Ok(())),
        };
        if done.is_ok() {
            self.client.close().await;
        }
        let refused = match done {
            Ok(done) => done.err(),
            Err(_) => Some(Refused {
                why: format!("it was not done within {:?}", self.limit),
                lost: false,
            }),
        };
        Migrated {
            name: self.name,
            again: refused.as_ref().is_some_and(|refused| refused.lost),
            error: refused.map(|refused| refused.why),
        }
    }
}

/// How the migration ends, if there is one.
pub(super) async fn end(migration: Option<Migration>, begin: oneshot::Receiver<()>) -> Migrated {
    match migration {
        Some(migration) => migration.run(begin).await,
        None => pending().await,
    }
}
