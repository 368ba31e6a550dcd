//! After a round with a migration: it is undone, and nothing of it may show in the next.
//!
//! What the database holds the next restore puts back. What is left of another shape is in
//! the service: a statement that was prepared, under a name that lasts, while the tables
//! were others returns for good what these had, and PostgreSQL refuses it once they are not
//! ("cached plan must not change result type"); a driver beside it remembers types by
//! numbers that are gone. Of a service's memory nothing else is known. To end its
//! connections from behind is no way out: a pool that does not look gives them to the next
//! call, and a process that did not expect it dies. So the service is started anew, which
//! is always right, but only after a round in which such a statement was prepared on a
//! connection that is still there. One that was prepared before is of the old shape and
//! right again; most rounds prepare nothing new, and cost an undo and a look.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::stage::Stage;

/// Why no migration can be made any more.
pub(super) const WORN: &str = "a table has had nearly all of the 1,600 columns that PostgreSQL lets it \
                    have, the dropped ones included";

impl Stage {
    /// The last statement that each of the service's connections has prepared to last.
    pub(super) fn prepared(&self) -> BTreeMap<u64, u64> {
        let gating = self.gating.as_ref().filter(|_| self.migrations.is_some());
        gating.map_or_else(BTreeMap::new, |gating| gating.gate.prepared())
    }

    /// Undoes the migration of a round, if it had one. `before` is what was
    /// [prepared](Stage::prepared) by then.
    pub(super) async fn undo(&mut self, before: BTreeMap<u64, u64>) -> Result<(), Failure> {
        let Some(migrations) = &mut self.migrations else {
            return Ok(());
        };
        if migrations.begun.is_none() {
            return Ok(());
        }
        let mut undone = migrations.undo(&self.target, self.database.as_mut()).await;
        let failed = undone.is_err();
        if failed {
            // A transaction that the service has left open may have stood in the way.
            self.start_anew().await?;
            if let Some(again) = &mut self.migrations {
                undone = again.undo(&self.target, self.database.as_mut()).await;
            }
        }
        let in_place = undone?;
        let now = self.prepared();
        let is_new = |(session, last): (&u64, &u64)| {
            *last > before.get(session).copied().unwrap_or_default()
        };
        if !failed && (!in_place || now.iter().any(is_new)) {
            self.start_anew().await?;
        }
        Ok(())
    }
}
