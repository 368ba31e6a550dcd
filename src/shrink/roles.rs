//! Plainer roles: a hang-up is dropped, a retry becomes a duplicate, a bystander
//! an ordinary call, if it still fails so.

use crate::model::scenario::{RetryWhen, Role, Scenario};
use crate::shrink::Pass;

/// Offers one plainer role after another.
#[derive(Debug, Default)]
pub struct PlainRoles {
    at: usize,
}

impl Pass for PlainRoles {
    fn next(&mut self, smallest: &Scenario, _: bool) -> Option<Scenario> {
        while self.at < smallest.race.len() {
            let index = self.at;
            self.at += 1;
            let mut candidate = smallest.clone();
            let struck = |of| smallest.faults.iter().any(|fault| fault.call == of);
            let call = &mut candidate.race[index];
            let hung_up = call.hang_up.take().is_some();
            call.role = match call.role {
                // Who has had no answer asks again: plainer than to ask twice at once.
                Role::Retry { of, .. } if !struck(of) => Role::Duplicate { of },
                Role::Bystander => Role::Original,
                ref kept => kept.clone(),
            };
            if hung_up {
                // Without the hang-up, a retry after it would never be sent.
                for later in &mut candidate.race {
                    if let Role::Retry {
                        of,
                        when: RetryWhen::AfterHangUp,
                    } = later.role
                        && of == index
                    {
                        later.role = Role::Duplicate { of };
                    }
                }
            }
            if candidate != *smallest {
                return Some(candidate);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scenario::HangUp;
    use crate::shrink::shrink;
    use crate::shrink::testing::scenario;

    fn start() -> Scenario {
        let retry = Role::Retry {
            of: 0,
            when: RetryWhen::AfterHangUp,
        };
        let mut start = scenario(&[("a", Role::Original), ("a", retry)]);
        start.race[0].hang_up = Some(HangUp::HalfWay);
        start
    }

    #[test]
    fn a_hang_up_that_does_not_matter_goes_with_its_retry() {
        let smallest = shrink(&start(), &mut [Box::new(PlainRoles::default())], |_| true);
        assert_eq!(smallest.race[0].hang_up, None);
        assert_eq!(smallest.race[1].role, Role::Duplicate { of: 0 });
    }

    #[test]
    fn a_hang_up_that_matters_stays() {
        let fails = |candidate: &Scenario| candidate.race[0].hang_up.is_some();
        let smallest = shrink(&start(), &mut [Box::new(PlainRoles::default())], fails);
        assert_eq!(smallest.race[0].hang_up, Some(HangUp::HalfWay));
    }
}
