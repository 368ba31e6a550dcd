//! Reads a list page by page: once undisturbed, once with a call of the race after each
//! page, and once more when all of them are made. Knows not which rows are right:
//! `oracle::pages` does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model::history::{Ending, History, Made, Walk};
use crate::model::scenario::Scenario;
use crate::round::{Actors, access::Asked};
use crate::stage::Stage;
use crate::target::{NextPage, Pages, key_text};

/// A list of more pages than this is not read to its end, and not judged.
const MOST_PAGES: usize = 200;

/// The status of a page behind the last, where pages are numbered.
const NO_SUCH_PAGE: u16 = 404;

/// Some pages of a list, in order.
#[derive(Default)]
struct Read {
    pages: Vec<Vec<String>>,
    /// The first request, or the one that failed.
    made: Option<Made>,
    /// The calls that were made in between.
    between: Vec<Made>,
    /// Whether a page led back to one before.
    endless: bool,
    /// Why it was not read to its end.
    unread: Option<String>,
}

impl Stage {
    /// Reads the pages of the first call, the others in between. Beside the history stands
    /// why the list was not read to its end.
    pub(super) async fn walk(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
    ) -> Result<(History, Option<String>), Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let call = &scenario.race[0];
        let Some(pages) = &target.operations[&call.operation].pages else {
            let why = format!("`{}` has no pages to walk", call.operation);
            return Err(Failure::Internal(why));
        };
        let all_before = self.all_rows(scenario).await?;
        let undisturbed = 1..1;
        let before = self
            .read(scenario, actors, pages, undisturbed.clone())
            .await?;
        let during = self
            .read(scenario, actors, pages, 1..scenario.race.len())
            .await?;
        let after = self.read(scenario, actors, pages, undisturbed).await?;
        let all_after = self.all_rows(scenario).await?;
        let walk = Walk {
            operation: call.operation.clone(),
            endless: before.endless || during.endless || after.endless,
            before: before.pages,
            during: during.pages,
            after: after.pages,
            all: all_before
                .zip(all_after)
                .map(|(before, after)| [before, after]),
        };
        let whys = [before.unread, during.unread, after.unread];
        let unread = whys.into_iter().flatten().next();
        let failed = [before.made, after.made].into_iter().flatten();
        let mut failed = failed.filter(|made| !made.succeeded);
        let mut calls: Vec<Made> = failed.next().or(during.made).into_iter().collect();
        calls.extend(during.between);
        // A page that failed is judged by how it did.
        let is_whole = unread.is_none() && calls.first().is_some_and(|made| made.succeeded);
        let history = History {
            calls,
            walk: is_whole.then_some(walk),
            ..History::default()
        };
        Ok((history, unread))
    }

    /// Reads page after page, one of these other calls after each; what is left of them
    /// is made in the end.
    async fn read(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
        pages: &Pages,
        mut others: std::ops::Range<usize>,
    ) -> Result<Read, Failure> {
        let mut asked = scenario.clone();
        let mut read = Read::default();
        let mut cursors = BTreeSet::new();
        loop {
            let made = self.one(&asked, actors, 0).await?;
            let number = read.pages.len() + 1;
            let body = match &made.ending {
                Ending::Answered(answer) if made.succeeded => {
                    serde_json::from_str(&answer.body).unwrap_or(Value::Null)
                }
                Ending::Answered(answer) if answer.status < 500 => {
                    let is_numbered = matches!(pages.next, NextPage::Step(_));
                    let is_behind = is_numbered && number > 1 && answer.status == NO_SUCH_PAGE;
                    if !is_behind {
                        let (operation, status) = (&made.operation, answer.status);
                        let why = format!("page {number} of `{operation}` was answered {status}");
                        read.unread = Some(why);
                    }
                    break;
                }
                _ => {
                    read.made = Some(made);
                    break;
                }
            };
            let operation = made.operation.clone();
            if read.made.is_none() {
                read.made = Some(made);
            }
            let rows = pages.rows.query(&body).all();
            let is_empty = rows.is_empty();
            read.pages.push(rows.into_iter().map(key_text).collect());
            let cursor = asked.race[0].values.get(&pages.cursor);
            let next = next_cursor(pages, &body, cursor).filter(|_| !is_empty);
            let Some(next) = next else { break };
            if !cursors.insert(next.to_string()) {
                read.endless = true;
                break;
            }
            if number == MOST_PAGES {
                read.unread = Some(format!("`{operation}` has more than {MOST_PAGES} pages"));
                break;
            }
            asked.race[0].values.insert(pages.cursor.clone(), next);
            if let Some(other) = others.next() {
                read.between.push(self.one(scenario, actors, other).await?);
            }
        }
        for other in others {
            read.between.push(self.one(scenario, actors, other).await?);
        }
        Ok(read)
    }

    /// Makes one call of a scenario, with nobody beside it.
    async fn one(
        &mut self,
        scenario: &Scenario,
        actors: &Actors,
        call: usize,
    ) -> Result<Made, Failure> {
        let history = self.in_a_row(scenario, actors, &[call]).await?;
        let made = history.calls.into_iter().nth(call);
        made.ok_or_else(|| Failure::Internal("a call was made and is not there".to_owned()))
    }

    /// The rows that all pages together show now, if the file says so.
    async fn all_rows(&mut self, scenario: &Scenario) -> Result<Option<Vec<String>>, Failure> {
        let target = std::sync::Arc::clone(&self.target);
        let call = &scenario.race[0];
        let pages = &target.operations[&call.operation].section.pages;
        let Some(all) = pages
            .as_ref()
            .and_then(|pages| pages.get_ref().all.as_ref())
        else {
            return Ok(None);
        };
        let actor = call.actor.as_deref();
        let mut asked = Asked::default();
        let rows = self.keyed(all, actor, &call.values, &mut asked).await?;
        Ok(Some(rows.keys().cloned().collect()))
    }
}

/// The cursor of the next page; `None` after the last.
fn next_cursor(pages: &Pages, body: &Value, cursor: Option<&Value>) -> Option<Value> {
    match &pages.next {
        NextPage::Said(path) => {
            let said = path.query(body).first().cloned();
            said.filter(|next| !next.is_null() && next != "")
        }
        NextPage::Step(step) => Some(json!(cursor?.as_i64()? + step)),
    }
}
