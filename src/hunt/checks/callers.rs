//! By whom an operation's calls are made, and about which rows: everybody and nobody, and
//! one row of each kind, where rows of a kind are those that the same actors are allowed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::generate;
use crate::hunt::checks::Base;
use crate::hunt::{Halt, Hunt};
use crate::model::scenario::{Scenario, SetupCall};

/// How many rows of one kind are tried: two may differ in what they are ready for.
const OF_A_KIND: usize = 2;

/// How many calls that grant or revoke are tried of an operation that does.
const GRANTS: usize = 3;

impl Hunt<'_> {
    /// A base's call by its own actor, and by one of each other role that may make it,
    /// about a row that it may.
    pub(super) async fn by_each_role(&mut self, base: &Base) -> Result<Vec<Scenario>, Halt> {
        let target = self.stage.target();
        let own = base.scenario.race[0].actor.as_deref();
        let role = |actor: &str| target.file.actors[actor].role.clone();
        let mut roles = vec![own.and_then(role)];
        let mut others: Vec<String> = Vec::new();
        for actor in target.file.actors.keys() {
            if !roles.contains(&role(actor)) {
                roles.push(role(actor));
                others.push(actor.clone());
            }
        }
        if target.operations[base.operation()].section.allow.is_none() {
            others.clear();
        }
        let rows = self.rows_of(base)?;
        let mut about: Vec<Option<&Value>> = rows.iter().map(Some).collect();
        if about.is_empty() {
            about.push(None);
        }
        let mut scenarios = vec![base.scenario.clone()];
        for actor in &others {
            let mut calls = Vec::new();
            for row in &about {
                calls.push(self.by(base, Some(actor), *row)?);
            }
            let allowed = self.allowed_after(&[], &calls).await?.unwrap_or_default();
            let first = allowed.iter().position(|allowed| *allowed);
            scenarios.extend(first.map(|first| calls.swap_remove(first)));
        }
        Ok(scenarios)
    }

    /// The first call of an operation that the target file allows to one of its actors.
    pub(super) async fn allowed_call(&mut self, base: &Base) -> Result<Option<Scenario>, Halt> {
        let target = self.stage.target();
        let section = &target.operations[base.operation()].section;
        if section.allow.is_none() {
            return Ok(None);
        }
        let named = section.actors.iter().flatten();
        let named: Vec<String> = named.map(|name| name.get_ref().clone()).collect();
        let actors = match named.as_slice() {
            [] => target.file.actors.keys().cloned().collect(),
            _ => named,
        };
        let mut calls = Vec::new();
        for row in &self.rows_of(base)? {
            for actor in &actors {
                calls.push(self.by(base, Some(actor), Some(row))?);
            }
        }
        let allowed = self.allowed_after(&[], &calls).await?.unwrap_or_default();
        let first = allowed.iter().position(|allowed| *allowed);
        Ok(first.map(|first| calls.swap_remove(first)))
    }

    /// The rows that an operation's calls can be about.
    pub(super) fn rows_of(&self, base: &Base) -> Result<Vec<Value>, Halt> {
        let (target, pools) = (self.stage.target(), self.stage.pools());
        generate::rows(target, pools, base.operation()).map_err(|error| Halt::failed(error.into()))
    }

    /// Whether each of some calls is allowed once a set-up is made; `None` if that fails.
    pub(super) async fn allowed_after(
        &mut self,
        setup: &[SetupCall],
        calls: &[Scenario],
    ) -> Result<Option<Vec<bool>>, Halt> {
        if self.stop.asked() {
            return Err(Halt::Stopped);
        }
        let calls = calls.iter().map(|one| one.race[0].clone()).collect();
        let allowed = self.stage.allowed_after(setup, calls).await;
        allowed.map_err(Halt::failed)
    }

    /// An operation's call by everybody and nobody, about each kind of row and about none:
    /// rows of a kind are those that the same actors are allowed.
    pub(super) async fn by_everybody(&mut self, base: &Base) -> Result<Vec<Scenario>, Halt> {
        let target = self.stage.target();
        if target.operations[base.operation()].section.allow.is_none() {
            return Ok(Vec::new());
        }
        let rows = self.rows_of(base)?;
        let actors: Vec<String> = target.file.actors.keys().cloned().collect();
        let mut calls = Vec::new();
        for row in &rows {
            for actor in &actors {
                calls.push(self.by(base, Some(actor), Some(row))?);
            }
        }
        let mut kinds: BTreeMap<Vec<bool>, Vec<Value>> = BTreeMap::new();
        if !calls.is_empty() {
            let allowed = self.allowed_after(&[], &calls).await?.unwrap_or_default();
            for (row, allowed) in rows.iter().zip(allowed.chunks(actors.len())) {
                kinds.entry(allowed.to_vec()).or_default().push(row.clone());
            }
        }
        let mut about: Vec<Option<Value>> = Vec::new();
        for kind in kinds.into_values() {
            let few = kind.len().min(OF_A_KIND);
            about.extend(kind.iter().take(few - 1).cloned().map(Some));
            about.push(kind.last().cloned());
        }
        about.extend(generate::no_row(&rows).map(Some));
        if about.is_empty() {
            about.push(None);
        }
        let mut scenarios = Vec::new();
        for row in &about {
            for actor in &actors {
                scenarios.push(self.by(base, Some(actor), row.as_ref())?);
            }
            let nobody = self.by(base, None, row.as_ref())?;
            if !actors.is_empty() && self.stage.can_be_sent(&nobody) {
                scenarios.push(nobody);
            }
        }
        Ok(scenarios)
    }

    /// A base's call as somebody else makes it, about some row.
    pub(super) fn by(
        &self,
        base: &Base,
        actor: Option<&str>,
        row: Option<&Value>,
    ) -> Result<Scenario, Halt> {
        let mut call = base.scenario.race[0].clone();
        call.actor = actor.map(str::to_owned);
        if let Some(row) = row {
            let operation = &self.stage.target().operations[base.operation()];
            let name = operation.section.row.as_ref();
            if let Some(name) = name.map(|name| name.get_ref().clone()) {
                call.values.insert(name, row.clone());
            }
        }
        Ok(Scenario {
            setup: self.set_up(base.operation(), actor, base.seed)?,
            race: vec![call],
            ..Scenario::default()
        })
    }

    pub(super) fn set_up(
        &self,
        operation: &str,
        actor: Option<&str>,
        seed: u64,
    ) -> Result<Vec<SetupCall>, Halt> {
        let (target, pools) = (self.stage.target(), self.stage.pools());
        generate::set_up(target, pools, operation, actor, seed)
            .map_err(|error| Halt::failed(error.into()))
    }

    /// Some calls of an operation, each as set-up, if it is one that grants or revokes.
    pub(super) fn grants_of(&self, base: &Base) -> Result<Vec<Vec<SetupCall>>, Halt> {
        if !self.stage.target().operations[base.operation()]
            .section
            .grants
        {
            return Ok(Vec::new());
        }
        let all = std::iter::once(&base.scenario).chain(&base.others);
        let mut setups = Vec::new();
        for scenario in all.take(GRANTS) {
            let call = &scenario.race[0];
            let mut setup = self.set_up(&call.operation, call.actor.as_deref(), base.seed)?;
            setup.push(SetupCall {
                operation: call.operation.clone(),
                actor: call.actor.clone(),
                values: call.values.clone(),
                prepares: None,
            });
            setups.push(setup);
        }
        Ok(setups)
    }
}
