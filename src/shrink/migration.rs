//! No migration: what fails without one is no matter of that.

use crate::model::scenario::Scenario;
use crate::shrink::Pass;

/// Drops the migration.
#[derive(Debug, Default)]
pub struct DropMigration;

impl Pass for DropMigration {
    fn next(&mut self, smallest: &Scenario, failed: bool) -> Option<Scenario> {
        // What failed without one has none to drop; what did not is not tried again.
        let candidate = smallest.migration.as_ref().filter(|_| failed);
        candidate.map(|_| Scenario {
            migration: None,
            ..smallest.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scenario::Role;
    use crate::shrink::shrink;
    use crate::shrink::testing::scenario;

    #[test]
    fn a_migration_that_is_not_needed_goes() {
        let start = Scenario {
            migration: Some("note".to_owned()),
            ..scenario(&[("a", Role::Original)])
        };
        let shrunk = |fails: fn(&Scenario) -> bool| {
            shrink(&start, &mut [Box::new(DropMigration)], fails).migration
        };
        assert_eq!(shrunk(|_| true), None);
        assert_eq!(
            shrunk(|candidate| candidate.migration.is_some()),
            start.migration
        );
    }
}
