//! What a call that is alone in its round is judged by beside its answer: the rows that it
//! should not have changed, and the statements that it needs on few rows.

use std::time::Duration;

use serde_json::json;

use crate::database::Change;
use crate::failure::Failure;
use crate::model::Row;
use crate::model::allowance::Allowance;
use crate::model::history::{Access, History, Made};
use crate::model::scenario::Scenario;
use crate::model::schedule::Schedule;
use crate::oracle::budget;
use crate::round::access::Allowed;
use crate::round::{Manner, SETTLE_WITHIN};
use crate::schedule::{Follow, Scheduler as _};
use crate::stage::{Stage, of_the_file};
use crate::target::error::Problem;

/// The most changed rows that are shown.
const MOST_SHOWN: usize = 5;

impl Stage {
    /// Makes the fixtures larger, as the target file says.
    pub(super) async fn grow(&mut self) -> Result<(), Failure> {
        let target = std::sync::Arc::clone(&self.target);
        for file in &target.file.database.grown {
            let path = target.folder.join(file.get_ref());
            let sql = std::fs::read_to_string(&path).map_err(|error| {
                let message = format!("`{}` cannot be read: {error}", path.display());
                target.problem(Problem::new(file.span(), message))
            })?;
            let grown = self.database.run_script(&sql).await;
            grown.map_err(|error| {
                let at = Problem::new(file.span(), "this file failed");
                of_the_file(&target, &at, "", error)
            })?;
        }
        Ok(())
    }

    /// The statements that a scenario's only call needs on the usual fixtures; `None` if
    /// that cannot be told.
    pub(super) async fn statements_on_few_rows(
        &mut self,
        scenario: &Scenario,
    ) -> Result<Option<Vec<String>>, Failure> {
        let few = Scenario {
            grown: false,
            ..scenario.clone()
        };
        let mut straight = Follow::new(Schedule::default());
        straight.next_round();
        let made = self
            .make_unjudged(&few, Manner::Gated(&mut straight))
            .await?;
        let made = made.ok().filter(|made| {
            let history = &made.history;
            made.busy.is_none()
                && made.diverged.is_none()
                && history.calls.iter().all(|call| call.succeeded)
        });
        Ok(made.map(|made| budget::statements(&made.history.steps)))
    }

    /// Writes down of each spoiled call whether the contract allows what it sends. Of a value
    /// that is only odd a contract may be silent: not to forbid it is not to allow it.
    pub(super) fn write_spoiled(&self, scenario: &Scenario, calls: &mut [Made]) {
        for (call, made) in scenario.race.iter().zip(calls) {
            let (Some(spoil), Some(spoiled)) = (&call.spoil, &mut made.expected.spoiled) else {
                continue;
            };
            if !spoil.place.starts_with('/') {
                continue;
            }
            // An item of a list that is left out makes the list shorter, and lacks no field.
            let is_item = spoil.place.ends_with(|last: char| last.is_ascii_digit());
            let is_odd = match &spoil.with {
                None => is_item,
                Some(with) => !with.is_null(),
            };
            let takes = self.contract.takes(&made.operation, &made.request);
            spoiled.allowed = takes.filter(|takes| !takes || !is_odd);
        }
    }

    /// What has changed before a race whose only call may have to change nothing more.
    pub(super) async fn changed_before(
        &mut self,
        scenario: &Scenario,
        allowed: &[Option<Allowed>],
    ) -> Result<Vec<Change>, Failure> {
        let [call] = scenario.race.as_slice() else {
            return Ok(Vec::new());
        };
        let denied = allowed.iter().flatten().any(Allowed::is_denied);
        let is_prepared = scenario.grown || !scenario.setup.is_empty();
        if is_prepared && (denied || call.spoil.is_some()) {
            // What the set-up causes after its answers is not the call's.
            self.database.settle(Duration::ZERO, SETTLE_WITHIN).await?;
            return Ok(self.database.changes().await?);
        }
        Ok(Vec::new())
    }

    /// The rows that came and went in a round whose only call was to change none: it was
    /// denied, or refused for what is wrong with it.
    pub(super) async fn wrongly_changed(
        &mut self,
        history: &History,
        before: &[Change],
    ) -> Result<Vec<Row>, Failure> {
        let [call] = history.calls.as_slice() else {
            return Ok(Vec::new());
        };
        if !changes_nothing(call) || history.migration.is_some() {
            return Ok(Vec::new());
        }
        let changes = between(before, self.database.changes().await?);
        let changes = without_allowed(&self.target.allowances, changes);
        let row = |change: Change| {
            let mut row = Row::new();
            row.insert("table".to_owned(), json!(change.table));
            let became = if change.is_new { "came" } else { "went" };
            row.insert(became.to_owned(), json!(change.row));
            row
        };
        Ok(changes.into_iter().take(MOST_SHOWN).map(row).collect())
    }
}

/// What has changed since some changes were there: what is new among them, and what is
/// there no more, the other way round.
fn between(before: &[Change], now: Vec<Change>) -> Vec<Change> {
    let gone = before.iter().filter(|change| !now.contains(change));
    let gone: Vec<Change> = gone
        .map(|change| Change {
            is_new: !change.is_new,
            ..change.clone()
        })
        .collect();
    let mut changes = now;
    changes.retain(|change| !before.contains(change));
    changes.extend(gone);
    changes
}

/// Whether a call should have left all rows as they were.
fn changes_nothing(call: &Made) -> bool {
    let expected = &call.expected;
    let denied = expected.access.as_ref().is_some_and(Access::is_denied);
    let refused = call
        .answer()
        .is_some_and(|answer| (400..500).contains(&answer.status));
    !call.succeeded && (denied || expected.spoiled.is_some() && refused)
}

/// Without what the target file lets change of its own accord.
fn without_allowed(allowances: &[Allowance], changes: Vec<Change>) -> Vec<Change> {
    let covered = |place: &str| allowances.iter().any(|allowance| allowance.covers(place));
    let mut left: Vec<Change> = Vec::new();
    for mut change in changes {
        if covered(&change.table) {
            continue;
        }
        let table = change.table.clone();
        change
            .row
            .retain(|column, _| !covered(&format!("{table}.{column}")));
        // A row of which only such columns changed came as it went.
        let twin = |other: &Change| {
            other.is_new != change.is_new && other.table == change.table && other.row == change.row
        };
        match left.iter().position(twin) {
            Some(twin) => drop(left.remove(twin)),
            None => left.push(change),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn change(is_new: bool, row: &Value) -> Change {
        Change {
            table: "users".to_owned(),
            is_new,
            row: row.as_object().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn what_a_set_up_wrote_is_not_the_calls_unless_that_undoes_it() {
        let added = change(true, &json!({ "id": 7 }));
        assert!(between(std::slice::from_ref(&added), vec![added.clone()]).is_empty());
        let undone = between(std::slice::from_ref(&added), Vec::new());
        assert_eq!(undone, [change(false, &json!({ "id": 7 }))]);
    }

    #[test]
    fn what_the_file_lets_change_is_no_change() {
        let seen = |place: &str| {
            let allowance = Allowance {
                name: "seen".to_owned(),
                says: "It is written down when somebody was last here.".to_owned(),
                place: place.to_owned(),
                order_only: false,
            };
            let before = change(false, &json!({ "id": 1, "seen": 5 }));
            let after = change(true, &json!({ "id": 1, "seen": 6 }));
            without_allowed(&[allowance], vec![before, after]).len()
        };
        assert_eq!(seen("users.seen"), 0);
        assert_eq!(seen("users"), 0);
        assert_eq!(seen("users.name"), 2);
    }
}
