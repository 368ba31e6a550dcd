//! Which calls are made: a scenario as data.
//!
//! A scenario is whole in itself. Every value that the generator drew stands in
//! it, so a kept scenario outlives changes of the generator.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::Row;
use crate::model::fault::Fault;

/// Set-up calls, made one by one, and then a race.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Made in this order before the race, each after the answer of the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<SetupCall>,
    /// Released together. A call refers to another by its index here, and only
    /// to one that stands before it.
    pub race: Vec<Call>,
    /// What goes wrong on purpose. Strikes at the gate only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The migration of the target file that runs as one call among the others. At the
    /// gate, its index is the one after the last call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Whether the fixtures are the larger ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grown: bool,
}

/// A call that prepares an actor (signs it in, fills its basket) for the race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetupCall {
    /// The operation's name in the target file.
    pub operation: String,
    /// Who calls; `None` where the target file names no actors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The drawn values, by the names that templates use.
    #[serde(default, skip_serializing_if = "Row::is_empty")]
    pub values: Row,
    /// The operation of the race that this call prepares; `None` for a sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepares: Option<String>,
}

/// One call of the race.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The operation's name in the target file.
    pub operation: String,
    /// Who calls; `None` where the target file names no actors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The drawn values, by the names that templates use.
    #[serde(default, skip_serializing_if = "Row::is_empty")]
    pub values: Row,
    /// The idempotency key, where the operation has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the call is to the others.
    #[serde(default, skip_serializing_if = "Role::is_original")]
    pub role: Role,
    /// The client that leaves before it has its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang_up: Option<HangUp>,
    /// What is wrong with its request on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoil: Option<Spoil>,
    /// Whether it is made page after page, the other calls of the race in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub walk: bool,
}

/// Something about a request that no value of the target file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spoil {
    /// The place in the JSON body, as a JSON pointer (RFC 6901), or the name of a value.
    pub place: String,
    /// What stands there instead; `None` if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<serde_json::Value>,
}

impl std::fmt::Display for Spoil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The most characters of a value that are shown.
        const MOST: usize = 40;
        let place = &self.place;
        let Some(value) = &self.with else {
            return write!(f, "no `{place}`");
        };
        let text = value.to_string();
        let shown: String = text.chars().take(MOST).collect();
        let more = if shown.len() < text.len() { "..." } else { "" };
        write!(f, "`{place}` is {shown}{more}")
    }
}

/// What a call is to the others of its race.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A call of its own, which conflicts with the others.
    #[default]
    Original,
    /// The same request once more, at the same time.
    Duplicate {
        /// Index of the call that it copies.
        of: usize,
    },
    /// The same request once more, by a client that wants to be sure.
    Retry {
        /// Index of the call that it repeats.
        of: usize,
        /// What makes the client repeat it.
        when: RetryWhen,
    },
    /// A call on rows of its own, which should not matter to the others.
    Bystander,
}

impl Role {
    fn is_original(&self) -> bool {
        *self == Role::Original
    }

    /// The call that this one repeats.
    pub fn of(&self) -> Option<usize> {
        match self {
            Role::Duplicate { of } | Role::Retry { of, .. } => Some(*of),
            Role::Original | Role::Bystander => None,
        }
    }
}

/// When a client sends its request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryWhen {
    /// While the first is in flight, this many microseconds after its release.
    InFlight {
        /// Microseconds between the two releases.
        after_us: u64,
    },
    /// When the first has been answered.
    AfterAnswer,
    /// When the client has hung up on the first: a time-out on its side, or a
    /// connection lost half-way through the request.
    AfterHangUp,
}

/// How a client leaves before it has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HangUp {
    /// Half of the request is sent, and the connection closed.
    HalfWay,
    /// The whole request is sent; the client waits this long for its answer.
    BeforeAnswer {
        /// Microseconds from the release of the request to the hang-up.
        after_us: u64,
    },
}

impl Scenario {
    /// The operations of the race, each once, in order of their names.
    pub fn operations(&self) -> BTreeSet<&str> {
        self.race
            .iter()
            .map(|call| call.operation.as_str())
            .collect()
    }

    /// Whether two of its calls can be under way at the same time, or one and a migration.
    pub fn is_race(&self) -> bool {
        self.calls_race() || self.migration.is_some() && !self.race.is_empty()
    }

    /// Whether it holds what no client does in the ordinary way: a spoiled request, a walk
    /// over pages, larger fixtures.
    pub fn is_out_of_the_ordinary(&self) -> bool {
        let mut calls = self.race.iter();
        self.grown || calls.any(|call| call.spoil.is_some() || call.walk)
    }

    /// Whether two of its calls can be under way at the same time.
    pub fn calls_race(&self) -> bool {
        let waits = |call: &&Call| {
            let when = match call.role {
                Role::Retry { when, .. } => Some(when),
                Role::Original | Role::Duplicate { .. } | Role::Bystander => None,
            };
            matches!(when, Some(RetryWhen::AfterAnswer | RetryWhen::AfterHangUp))
        };
        self.race.iter().filter(|call| !waits(call)).count() > 1
    }

    /// The scenario without one call of the race, without what repeats that
    /// call, without their faults, and without the set-up that nobody needs any more.
    ///
    /// `None` if fewer than two calls would be left, which is no race; one will do
    /// where a fault strikes it, or a migration runs.
    #[must_use]
    pub fn without(&self, dropped: usize) -> Option<Scenario> {
        let mut gone = vec![false; self.race.len()];
        *gone.get_mut(dropped)? = true;
        for (index, call) in self.race.iter().enumerate() {
            if call.role.of().is_some_and(|of| gone[of]) {
                gone[index] = true;
            }
        }
        let kept: Vec<usize> = (0..gone.len()).filter(|&index| !gone[index]).collect();
        let place = |of: usize| kept.iter().position(|&old| old == of);
        let faults: Vec<Fault> = self
            .faults
            .iter()
            .filter_map(|fault| {
                let call = place(fault.call)?;
                Some(Fault {
                    call,
                    ..fault.clone()
                })
            })
            .collect();
        let walks = kept.iter().any(|&index| self.race[index].walk);
        let is_alone_enough = !faults.is_empty() || walks || self.migration.is_some();
        let fewest = if is_alone_enough { 1 } else { 2 };
        if kept.len() < fewest {
            return None;
        }
        let moved = |of: usize| place(of).unwrap_or(of);
        let race: Vec<Call> = kept
            .iter()
            .map(|&index| {
                let mut call = self.race[index].clone();
                match &mut call.role {
                    Role::Duplicate { of } | Role::Retry { of, .. } => *of = moved(*of),
                    Role::Original | Role::Bystander => {}
                }
                call
            })
            .collect();
        let scenario = Scenario {
            setup: self.setup.clone(),
            race,
            faults,
            ..self.clone()
        };
        Some(scenario.with_needed_setup())
    }

    /// Drops the set-up calls that no call of the race needs.
    #[must_use]
    pub fn with_needed_setup(mut self) -> Scenario {
        let race = &self.race;
        self.setup.retain(|setup| {
            race.iter().any(|call| {
                call.actor == setup.actor
                    && setup
                        .prepares
                        .as_ref()
                        .is_none_or(|prepared| *prepared == call.operation)
            })
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::FaultKind;

    fn call(operation: &str, role: Role) -> Call {
        Call {
            operation: operation.to_owned(),
            role,
            ..Call::default()
        }
    }

    #[test]
    fn faults_go_with_their_calls_and_make_one_call_enough() {
        let fault = |call| Fault {
            call,
            step: 1,
            action: "COMMIT".to_owned(),
            kind: FaultKind::CutAfter,
        };
        let scenario = Scenario {
            race: vec![call("a", Role::Original), call("b", Role::Original)],
            faults: vec![fault(0), fault(1)],
            ..Scenario::default()
        };
        let smaller = scenario.without(0).expect("the fault strikes the other");
        assert_eq!(smaller.race, [call("b", Role::Original)]);
        assert_eq!(smaller.faults, [fault(0)]);
        assert_eq!(smaller.without(0), None);
        assert_eq!(smaller.clone().with_needed_setup().faults, [fault(0)]);
    }

    #[test]
    fn a_migration_makes_one_call_enough_for_a_race() {
        let scenario = Scenario {
            race: vec![call("a", Role::Original), call("b", Role::Original)],
            migration: Some("note".to_owned()),
            ..Scenario::default()
        };
        let smaller = scenario.without(1).expect("the migration is left");
        assert_eq!(smaller.race, [call("a", Role::Original)]);
        assert!(smaller.is_race() && smaller.migration == scenario.migration);
        assert_eq!(smaller.without(0), None);
        let alone = Scenario {
            migration: None,
            ..smaller
        };
        assert!(!alone.is_race());
    }

    #[test]
    fn a_dropped_call_takes_its_repeats_along_and_the_rest_keep_their_references() {
        let scenario = Scenario {
            race: vec![
                call("a", Role::Original),
                call("a", Role::Duplicate { of: 0 }),
                call("b", Role::Original),
                call(
                    "b",
                    Role::Retry {
                        of: 2,
                        when: RetryWhen::AfterAnswer,
                    },
                ),
                call(
                    "a",
                    Role::Retry {
                        of: 1,
                        when: RetryWhen::AfterAnswer,
                    },
                ),
            ],
            ..Scenario::default()
        };
        let smaller = scenario.without(0).expect("two calls are left");
        assert_eq!(smaller.race.len(), 2);
        assert_eq!(smaller.race[1].role.of(), Some(0));
        assert_eq!(smaller.without(0), None, "a call alone is no race");
    }

    #[test]
    fn set_up_goes_with_the_last_call_that_needs_it() {
        let setup = |operation: &str, prepares: Option<&str>| SetupCall {
            operation: operation.to_owned(),
            actor: None,
            values: Row::new(),
            prepares: prepares.map(str::to_owned),
        };
        let scenario = Scenario {
            setup: vec![setup("sign-in", None), setup("fill", Some("a"))],
            race: vec![
                call("a", Role::Original),
                call("b", Role::Original),
                call("b", Role::Original),
            ],
            ..Scenario::default()
        };
        let smaller = scenario.without(0).expect("two calls are left");
        assert_eq!(smaller.setup, vec![setup("sign-in", None)]);
    }
}
