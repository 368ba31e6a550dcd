//! Asks the database what the target file's rules allow the callers of a race, before it
//! and after it. Knows not what must be made of that: `oracle::authorization` does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use toml::Spanned;

use crate::failure::Failure;
use crate::model::Row;
use crate::model::history::{Access, Made};
use crate::model::scenario::{Call, Scenario, SetupCall};
use crate::stage::{Stage, of_the_file};
use crate::target::error::Problem;
use crate::target::{RowPlace, Target, key_text};

/// The status that denies whoever may not call an operation at all, whatever the file says
/// of rows.
const WHO_ARE_YOU: u16 = 401;

/// The rows of a query, by what tells them apart.
type Keyed = BTreeMap<String, Row>;

/// What a call is allowed at some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// Whether it may be made at all.
    call: bool,
    /// Whether it is made by somebody who may make none of the operation.
    stranger: bool,
    /// Whether it is about a row that somebody else may be about.
    others: bool,
    /// The rows that it may be about; `None`: any.
    rows: Option<BTreeSet<String>>,
}

/// The queries that were asked at one moment, each once.
#[derive(Default)]
pub(super) struct Asked(HashMap<String, Keyed>);

impl Allowed {
    /// Whether it may not be made.
    pub(super) fn is_denied(&self) -> bool {
        !self.call
    }
}

impl Stage {
    /// What each call of a race is allowed now; `None` for one of which the file does not
    /// say who may make it.
    pub(super) async fn allowed(
        &mut self,
        scenario: &Scenario,
    ) -> Result<Vec<Option<Allowed>>, Failure> {
        let mut asked = Asked::default();
        let mut all = Vec::new();
        for call in &scenario.race {
            all.push(self.allowed_to(call, &mut asked).await?);
        }
        Ok(all)
    }

    /// Whether each of some calls would be allowed once a set-up is made, on the fixtures;
    /// `None` if the set-up fails. A call of which nobody says who may make it counts as
    /// allowed.
    pub(crate) async fn allowed_after(
        &mut self,
        setup: &[SetupCall],
        race: Vec<Call>,
    ) -> Result<Option<Vec<bool>>, Failure> {
        let scenario = Scenario {
            setup: setup.to_vec(),
            race,
            ..Scenario::default()
        };
        if self.begin(&scenario).await?.is_err() {
            return Ok(None);
        }
        let allowed = self.allowed(&scenario).await?.into_iter();
        let may = |allowed: Option<Allowed>| allowed.is_none_or(|allowed| allowed.call);
        Ok(Some(allowed.map(may).collect()))
    }

    /// What one call is allowed now.
    async fn allowed_to(
        &mut self,
        call: &Call,
        asked: &mut Asked,
    ) -> Result<Option<Allowed>, Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let operation = &target.operations[&call.operation];
        let actor = call.actor.as_deref();
        let Some(rules) = target.allows(operation, actor) else {
            return Ok(None);
        };
        if !self.is_active(actor, asked).await? || rules.is_empty() {
            return Ok(Some(Allowed {
                stranger: true,
                ..Allowed::default()
            }));
        }
        let mut rows = Some(BTreeSet::new());
        for rule in rules {
            let Some(sql) = &rule.rows else {
                rows = None;
                break;
            };
            let found = self.keyed(sql, actor, &Row::new(), asked).await?;
            if let Some(rows) = &mut rows {
                rows.extend(found.keys().cloned());
            }
        }
        let about = match &operation.row {
            Some(RowPlace::Value(name)) => call.values.get(name).map(key_text),
            Some(RowPlace::Answer(_)) | None => None,
        };
        let is_one = |rows: &BTreeSet<String>| about.as_ref().is_none_or(|key| rows.contains(key));
        let is_allowed = rows.as_ref().is_none_or(is_one);
        let others = match about.as_ref().filter(|_| !is_allowed) {
            Some(key) => self.seen_by_others(call, asked).await?.contains(key),
            None => false,
        };
        Ok(Some(Allowed {
            call: is_allowed,
            stranger: false,
            others,
            rows,
        }))
    }

    /// Whether an actor may call anything at all now.
    async fn is_active(&mut self, actor: Option<&str>, asked: &mut Asked) -> Result<bool, Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let active = actor.and_then(|name| target.file.actors[name].active.as_ref());
        match active {
            Some(sql) => Ok(!self.keyed(sql, actor, &Row::new(), asked).await?.is_empty()),
            None => Ok(true),
        }
    }

    /// The rows of a query of the file for an actor.
    pub(super) async fn keyed<'a>(
        &mut self,
        sql: &Spanned<String>,
        actor: Option<&str>,
        values: &Row,
        asked: &'a mut Asked,
    ) -> Result<&'a Keyed, Failure> {
        let text = self.target.query_of(sql, actor, values)?;
        if !asked.0.contains_key(&text) {
            let rows = self.database.query(&text, None).await.map_err(|error| {
                let at = Problem::new(sql.span(), "this query failed");
                of_the_file(&self.target, &at, "", error)
            })?;
            let key = |row: &Row| row.values().next().map(key_text).unwrap_or_default();
            let keyed = rows.into_iter().map(|row| (key(&row), row)).collect();
            asked.0.insert(text.clone(), keyed);
        }
        Ok(&asked.0[&text])
    }

    /// Writes down what each call was allowed, once the race is over.
    pub(super) async fn write_access(
        &mut self,
        scenario: &Scenario,
        before: &[Option<Allowed>],
        calls: &mut [Made],
    ) -> Result<(), Failure> {
        let mut asked = Asked::default();
        let target = std::sync::Arc::clone(&self.target);
        let is_alone = scenario.race.len() == 1;
        let grants = scenario.race.iter().filter(|call| grants(&target, call));
        // Where one call revokes and another grants, nobody knows what was allowed between
        // the two moments that were asked about.
        let is_unsettled = grants.count() > 1;
        let calls = calls.iter_mut().zip(&scenario.race).zip(before);
        for ((made, call), before) in calls {
            let Some(before) = before else { continue };
            let operation = &target.operations[&call.operation];
            // It is about a row that nobody has asked about.
            let about_another = match (&call.spoil, &operation.row) {
                (Some(spoil), Some(RowPlace::Value(name))) => spoil.place == *name,
                _ => false,
            };
            if about_another || is_unsettled {
                if !made.expected.answers.is_empty() {
                    made.expected.answers.extend(operation.denied());
                    made.expected.answers.push(WHO_ARE_YOU);
                }
                continue;
            }
            let mut access = Access {
                actor: call
                    .actor
                    .clone()
                    .unwrap_or_else(|| "somebody unknown".to_owned()),
                before: before.call,
                after: before.call,
                denied: operation.denied().to_vec(),
                ..Access::default()
            };
            let mut is_stranger = before.stranger;
            let mut is_others = before.others;
            // A call that is alone is judged by what was allowed when it was made: it may
            // have removed the very row.
            if !is_alone && let Some(after) = self.allowed_to(call, &mut asked).await? {
                access.after = after.call;
                is_stranger |= after.stranger;
                is_others |= after.others;
                // A row that is nobody's at either end may have been its caller's between.
                if !is_stranger && !is_others {
                    access.after = true;
                }
            }
            if is_stranger && !access.denied.contains(&WHO_ARE_YOU) {
                access.denied.push(WHO_ARE_YOU);
            }
            let shown = match &operation.row {
                Some(RowPlace::Answer(path)) if made.succeeded => shown(path, made),
                _ => Vec::new(),
            };
            if let Some(rows) = before.rows.as_ref().filter(|_| !shown.is_empty()) {
                // What came in the race may be shown as well as what went.
                let after = self.allowed_to(call, &mut asked).await?;
                let after = after.and_then(|after| after.rows).unwrap_or_default();
                let knows = |value: &Value| {
                    let key = key_text(value);
                    rows.contains(&key) || after.contains(&key)
                };
                let mut strangers: Vec<Value> = shown;
                strangers.retain(|value| !knows(value));
                if !is_alone && !strangers.is_empty() {
                    // It may have been its caller's in between, if it is nobody's else.
                    let others = self.seen_by_others(call, &mut asked).await?;
                    strangers.retain(|value| others.contains(&key_text(value)));
                }
                access.strangers = strangers;
            }
            if is_alone && access.is_denied() {
                access.secrets = self.secrets(call, &mut asked).await?;
            }
            let may_be_denied = !access.before || !access.after;
            if may_be_denied && !made.expected.answers.is_empty() {
                made.expected.answers.extend(&access.denied);
            }
            made.expected.access = Some(access);
        }
        Ok(())
    }

    /// The rows that others than a call's caller may see now.
    async fn seen_by_others(
        &mut self,
        call: &Call,
        asked: &mut Asked,
    ) -> Result<BTreeSet<String>, Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let operation = &target.operations[&call.operation];
        let mut seen = BTreeSet::new();
        for actor in target.file.actors.keys() {
            let rules = target.allows(operation, Some(actor)).unwrap_or_default();
            for sql in rules.into_iter().filter_map(|rule| rule.rows.as_ref()) {
                let rows = self.keyed(sql, Some(actor), &Row::new(), asked).await?;
                seen.extend(rows.keys().cloned());
            }
        }
        Ok(seen)
    }

    /// The fields of the row that a call is about, as those see it who may.
    async fn secrets(&mut self, call: &Call, asked: &mut Asked) -> Result<Row, Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let operation = &target.operations[&call.operation];
        let Some(RowPlace::Value(name)) = &operation.row else {
            return Ok(Row::new());
        };
        let key = call.values.get(name).map(key_text).unwrap_or_default();
        for actor in target.file.actors.keys() {
            let rules = target.allows(operation, Some(actor)).unwrap_or_default();
            for rule in rules {
                let Some(sql) = &rule.rows else { continue };
                let rows = self.keyed(sql, Some(actor), &Row::new(), asked).await?;
                if let Some(row) = rows.get(&key) {
                    // What other rows hold as well tells nothing of this one.
                    let is_own = |name: &String, value: &Value| {
                        let mut others = rows.iter().filter(|(other, _)| **other != key);
                        others.all(|(_, other)| other.get(name) != Some(value))
                    };
                    return Ok(row
                        .iter()
                        .skip(1)
                        .filter(|(name, value)| is_own(name, value))
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect());
                }
            }
        }
        Ok(Row::new())
    }
}

/// Whether a call may change what others are allowed.
fn grants(target: &Target, call: &Call) -> bool {
    target.operations[&call.operation].section.grants
}

/// The rows that an answer shows.
fn shown(path: &serde_json_path::JsonPath, made: &Made) -> Vec<Value> {
    let body = made.answer().map(|answer| answer.body.as_str());
    let body: Option<Value> = body.and_then(|body| serde_json::from_str(body).ok());
    let body = body.unwrap_or_default();
    path.query(&body).all().into_iter().cloned().collect()
}
