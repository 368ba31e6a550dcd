//! What calls do when no other is there: what schedulers foresee a race by.

use std::collections::HashMap;

use crate::hunt::{Halt, Trials};
use crate::model::scenario::{Call, Role, Scenario};
use crate::model::schedule::Schedule;
use crate::model::step::{Action, Step};
use crate::round::Round;
use crate::schedule::Follow;

/// Stands for an idempotency key in what is remembered. Keys are drawn at random, so
/// none is this one.
const ANY_KEY: &str = "deadheat-any-key";

/// With so many remembered, all are forgotten: to run some again costs little, and a long
/// run must not need ever more memory.
const MOST_REMEMBERED: usize = 5000;

/// What calls do alone, remembered: a call that comes in many pairs is run once,
/// whatever its idempotency key.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Scenarios of one call, and its steps, both as JSON.
    steps: HashMap<String, String>,
    has_statements: bool,
}

impl Alone {
    /// Whether any call has sent a statement.
    pub(super) fn has_statements(&self) -> bool {
        self.has_statements
    }

    /// What each call of a scenario does alone, in order.
    pub(super) async fn all(
        &mut self,
        trials: &mut Trials<'_>,
        scenario: &Scenario,
    ) -> Result<Vec<Vec<Step>>, Halt> {
        let mut all = Vec::new();
        for call in 0..scenario.race.len() {
            let (steps, _) = self.one(trials, scenario, call).await?;
            all.push(steps);
        }
        all.extend(self.migration(trials, scenario).await?);
        Ok(all)
    }

    /// What the migration of a scenario does alone, if it has one.
    pub(super) async fn migration(
        &mut self,
        trials: &mut Trials<'_>,
        scenario: &Scenario,
    ) -> Result<Option<Vec<Step>>, Halt> {
        if scenario.migration.is_none() {
            return Ok(None);
        }
        let alone = Scenario {
            migration: scenario.migration.clone(),
            grown: scenario.grown,
            ..Scenario::default()
        };
        let (steps, _) = self.known(trials, alone, scenario.race.len()).await?;
        Ok(Some(steps))
    }

    /// What one call does alone; and the round that told, if there had to be one.
    pub(super) async fn one(
        &mut self,
        trials: &mut Trials<'_>,
        scenario: &Scenario,
        call: usize,
    ) -> Result<(Vec<Step>, Option<(Scenario, Round)>), Halt> {
        self.known(trials, single(scenario, call), call).await
    }

    /// What a scenario of one call, or of a migration, does, under this number of a call.
    async fn known(
        &mut self,
        trials: &mut Trials<'_>,
        single: Scenario,
        call: usize,
    ) -> Result<(Vec<Step>, Option<(Scenario, Round)>), Halt> {
        let key = single.race.first().and_then(|call| call.key.clone());
        let name = text(&single, key.as_deref(), ANY_KEY);
        let of_call = |steps: Vec<Step>| -> Vec<Step> {
            let own = |step: Step| Step { call, ..step };
            steps.into_iter().map(own).collect()
        };
        if let Some(known) = self.steps.get(&name) {
            let known = known.replace(ANY_KEY, key.as_deref().unwrap_or_default());
            if let Ok(steps) = serde_json::from_str(&known) {
                return Ok((of_call(steps), None));
            }
        }
        let mut straight = Follow::new(Schedule::default());
        let round = trials.once_by(&single, &mut straight).await?;
        let steps = &round.history.steps;
        self.has_statements |= steps
            .iter()
            .any(|step| matches!(step.action, Action::Sql { .. }));
        if self.steps.len() >= MOST_REMEMBERED {
            self.steps.clear();
        }
        self.steps
            .insert(name, text(steps, key.as_deref(), ANY_KEY));
        Ok((of_call(steps.clone()), Some((single, round))))
    }
}

/// One call of a scenario, with nobody beside it and nothing that goes wrong.
pub(super) fn single(scenario: &Scenario, call: usize) -> Scenario {
    Scenario {
        setup: scenario.setup.clone(),
        race: vec![Call {
            role: Role::Original,
            hang_up: None,
            ..scenario.race[call].clone()
        }],
        faults: Vec::new(),
        migration: None,
        grown: scenario.grown,
    }
    .with_needed_setup()
}

/// As JSON, one text in the place of another.
fn text(value: &(impl serde::Serialize + ?Sized), key: Option<&str>, instead: &str) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    match key {
        Some(key) => text.replace(key, instead),
        None => text,
    }
}
