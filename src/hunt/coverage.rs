//! Counts what a hunt's rounds have looked at: which concerns of which operations.
//!
//! A count is told from scenario, round and target alone. Nothing is kept of a round but
//! its counts, so a long run needs no more memory than a short one. Knows not how the
//! matrix is shown.

mod reasons;

use std::collections::{BTreeMap, BTreeSet};

use crate::hunt::Plan;
use crate::model::coverage::{Cell, Concern, State};
use crate::model::engine::Engine;
use crate::model::finding::Finding;
use crate::model::history::Made;
use crate::model::scenario::{Call, Scenario};
use crate::model::step::{Action, Mode};
use crate::oracle::{budget, outcome};
use crate::round::{Explained, Round};
use crate::stage::Stage;
use crate::target::Target;
use crate::target::file::OperationSection;

/// What a run can look at, however long it takes.
#[derive(Clone, Debug)]
struct Setting {
    gate: Gate,
    /// Whether it is asked if an order of the calls explains what they leave.
    outcomes: bool,
    looks_for: LooksFor,
    /// The operations whose answers are held to a schema.
    contract: BTreeSet<String>,
}

/// Whether a gate stands between service and database, and if not, why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Stands,
    Sqlite,
    RunsAlready,
    Free,
}

/// What the command line lets a run look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LooksFor {
    All,
    Faults,
    Checks,
}

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Budget,
    FirstFinding,
    Stopped,
    Failed,
}

/// What the rounds of a hunt have looked at.
#[derive(Debug)]
pub(super) struct Coverage {
    setting: Setting,
    /// Whether any statement has come through the gate.
    has_statements: bool,
    seen: BTreeMap<String, Seen>,
}

/// What was seen of an operation.
#[derive(Debug, Default)]
struct Seen {
    /// Rounds by concern, in the order of [`Concern::ALL`].
    rounds: [u64; Concern::ALL.len()],
    /// Rounds that held a call of it, and those of them that were judged.
    made: u64,
    judged: u64,
    /// Calls that were to succeed and did not, by status; `None` without an answer.
    failed: BTreeMap<Option<u16>, u64>,
    /// Calls whose request was wrong on purpose.
    spoiled: u64,
    /// Whether it was seen at the gate what a call does that succeeds, and whether any
    /// call changed a row there.
    is_known: bool,
    changes: bool,
    /// The most statements that a call needed that was alone; none without a gate.
    statements: usize,
}

/// One operation's part of a round.
struct Part<'a> {
    target: &'a Target,
    section: &'a OperationSection,
    has_contract: bool,
    scenario: &'a Scenario,
    round: &'a Round,
    /// Its calls, as asked and as made, with their places in the race.
    calls: Vec<(usize, &'a Call, &'a Made)>,
}

impl Coverage {
    /// Of a hunt that has not begun.
    pub(super) fn new(stage: &Stage, plan: &Plan) -> Coverage {
        let target = stage.target();
        let names = target.operations.keys();
        let gate = if stage.is_gated() {
            Gate::Stands
        } else if stage.engine() != Engine::Postgres {
            Gate::Sqlite
        } else if target.file.service.urls.is_empty() {
            Gate::Free
        } else {
            Gate::RunsAlready
        };
        Coverage::of(Setting {
            gate,
            outcomes: stage.outcomes.is_some(),
            looks_for: match (plan.faults, plan.checks) {
                (true, _) => LooksFor::Faults,
                (false, true) => LooksFor::Checks,
                (false, false) => LooksFor::All,
            },
            contract: names
                .filter(|name| stage.covers_contract(name))
                .cloned()
                .collect(),
        })
    }

    fn of(setting: Setting) -> Coverage {
        Coverage {
            setting,
            has_statements: false,
            seen: BTreeMap::new(),
        }
    }

    /// Counts a round of the search. One that could not be judged covers nothing.
    pub(super) fn round(&mut self, target: &Target, scenario: &Scenario, round: &Round) {
        let is_sql = |action: &Action| matches!(action, Action::Sql { .. });
        let mut steps = round.history.steps.iter();
        self.has_statements = self.has_statements || steps.any(|step| is_sql(&step.action));
        for name in scenario.operations() {
            let Some(operation) = target.operations.get(name) else {
                continue;
            };
            let calls = scenario.race.iter().zip(&round.history.calls).enumerate();
            let part = Part {
                target,
                section: &operation.section,
                has_contract: self.setting.contract.contains(name),
                scenario,
                round,
                calls: calls
                    .map(|(place, (call, made))| (place, call, made))
                    .filter(|(_, call, _)| call.operation == name)
                    .collect(),
            };
            let seen = self.seen.entry(name.to_owned()).or_default();
            seen.look(&part);
            if round.unjudged() {
                continue;
            }
            seen.judged += 1;
            for (rounds, concern) in seen.rounds.iter_mut().zip(Concern::ALL) {
                *rounds += u64::from(part.looks_at(concern));
            }
        }
    }

    /// Every operation that may be raced, is called by third parties or says who may call
    /// it, under every concern.
    pub(super) fn cells(&self, target: &Target, findings: &[Finding], end: End) -> Vec<Cell> {
        let nothing = Seen::default();
        let mut cells = Vec::new();
        for (name, operation) in &target.operations {
            let section = &operation.section;
            let calls_back = is_webhook(target, name);
            if !section.race && section.allow.is_none() && !calls_back {
                continue;
            }
            let about = reasons::About {
                target,
                name,
                of: operation,
                calls_back,
                setting: &self.setting,
                has_statements: self.has_statements,
                seen: self.seen.get(name).unwrap_or(&nothing),
                end,
            };
            for (rounds, concern) in about.seen.rounds.into_iter().zip(Concern::ALL) {
                let of_it = |finding: &&Finding| concern_of(finding, name) == Some(concern);
                let findings = findings.iter().filter(of_it).count() as u64;
                let mut cell = Cell {
                    operation: name.clone(),
                    concern,
                    rounds,
                    findings,
                    state: State::Found,
                    why: None,
                    add: None,
                };
                if findings == 0 {
                    about.judge(&mut cell);
                }
                cells.push(cell);
            }
        }
        cells
    }
}

impl Seen {
    fn look(&mut self, part: &Part<'_>) {
        self.made += 1;
        let steps = &part.round.history.steps;
        if part.is_one_plain_call() {
            self.statements = self.statements.max(budget::statements(steps).len());
        }
        for (place, call, made) in &part.calls {
            let own = steps.iter().filter(|step| step.call == *place);
            let mut accesses = own.flat_map(|step| &step.accesses);
            self.changes |= accesses.any(|access| access.mode != Mode::Read);
            if call.spoil.is_some() {
                self.spoiled += 1;
            } else if made.succeeded {
                self.is_known |= !steps.is_empty();
            } else if !made.struck && call.hang_up.is_none() {
                let status = made.answer().map(|answer| answer.status);
                *self.failed.entry(status).or_default() += 1;
            }
        }
    }

    fn rounds_of(&self, concern: Concern) -> u64 {
        let mut all = self.rounds.into_iter().zip(Concern::ALL);
        all.find(|(_, other)| *other == concern)
            .map_or(0, |(rounds, _)| rounds)
    }

    /// Whether its calls change no row, as far as the gate has shown.
    fn only_reads(&self) -> bool {
        self.is_known && !self.changes
    }
}

impl Part<'_> {
    /// Whether the round, which was judged, looked at this.
    fn looks_at(&self, concern: Concern) -> bool {
        let mut calls = self.calls.iter();
        match concern {
            Concern::Success => self.succeeds(),
            Concern::ValidationFailure => calls.any(|(_, call, made)| {
                let answer = made.answer();
                let refused = answer.is_some_and(|answer| (400..500).contains(&answer.status));
                call.spoil.is_some() && refused
            }),
            Concern::Authorization => {
                calls.any(|(_, _, made)| made.expected.access.is_some() && made.answer().is_some())
            }
            Concern::Persistence => self.succeeds() && self.is_compared(),
            Concern::Rollback => calls.any(|(_, _, made)| made.struck) && self.is_gated(),
            Concern::Duplicate => calls.any(|(_, call, _)| call.role.of().is_some()),
            // Between pages calls are made one at a time.
            Concern::Concurrency => self.scenario.is_race() && !walks(self.scenario),
            Concern::Contract => {
                self.has_contract && calls.any(|(_, _, made)| made.answer().is_some())
            }
            Concern::StatementBudget => {
                let is_compared = self.scenario.grown && self.succeeds();
                let is_counted = self.section.max_statements.is_some() || is_compared;
                is_counted && self.is_one_plain_call() && self.is_gated()
            }
        }
    }

    fn succeeds(&self) -> bool {
        self.calls.iter().any(|(_, _, made)| made.succeeded)
    }

    fn is_gated(&self) -> bool {
        !self.round.history.steps.is_empty()
    }

    fn is_one_plain_call(&self) -> bool {
        self.scenario.race.len() == 1 && self.scenario.faults.is_empty()
    }

    /// Whether rows were compared with what they may be.
    fn is_compared(&self) -> bool {
        let is_asked = matches!(
            self.round.explained,
            Explained::By { .. } | Explained::ByNone(_)
        );
        is_asked || has_rule_of_rows(self.target, self.section)
    }
}

fn walks(scenario: &Scenario) -> bool {
    scenario.race.iter().any(|call| call.walk)
}

/// Whether a rule of the file looks at the rows that a call leaves.
fn has_rule_of_rows(target: &Target, section: &OperationSection) -> bool {
    let once = section.once.as_ref().map(toml::Spanned::get_ref);
    !target.file.invariants.is_empty() || once.is_some_and(|once| once.sql.is_some())
}

/// Whether third parties call it.
fn is_webhook(target: &Target, operation: &str) -> bool {
    let mut answers = target.file.stubs.values().flat_map(|stub| &stub.answers);
    answers.any(|answer| {
        let webhook = answer.webhook.as_ref();
        webhook.is_some_and(|webhook| webhook.operation.get_ref() == operation)
    })
}

/// The concern of an operation that a finding is of; `None` if its scenario does not hold
/// the operation.
///
/// Some oracles look at one thing alone:
///
/// | oracle | concern |
/// |---|---|
/// | `authorization` | authorization |
/// | `validation` | validation failure |
/// | `contract`, `pages` | contract |
/// | `budget` | statement budget |
/// | `migration` | concurrency: the migration is one of those that move at the same time |
///
/// The others (`invariant`, `once`, `outcome`, `contradiction`, `status`, `leak`, `hang`,
/// `dropped`, `died`) may be broken by anything. What it took, the shrunk scenario tells,
/// the first that fits:
///
/// | the scenario holds | concern |
/// |---|---|
/// | a request that is wrong on purpose | validation failure |
/// | a list that is read page by page | contract |
/// | a fault | rollback |
/// | a duplicate or retry of a call of the operation | duplicate |
/// | other calls, or a migration | concurrency |
/// | one call, with wrong rows left (`invariant`, `once`, `outcome`) | persistence |
/// | one call | success |
fn concern_of(finding: &Finding, operation: &str) -> Option<Concern> {
    let scenario = &finding.scenario;
    let race = &scenario.race;
    if !race.iter().any(|call| call.operation == operation) {
        return None;
    }
    let oracle = finding.oracle.as_str();
    let repeats = |call: &Call| call.operation == operation && call.role.of().is_some();
    Some(match oracle {
        "authorization" => Concern::Authorization,
        "validation" => Concern::ValidationFailure,
        "contract" | "pages" => Concern::Contract,
        "budget" => Concern::StatementBudget,
        "migration" => Concern::Concurrency,
        _ if race.iter().any(|call| call.spoil.is_some()) => Concern::ValidationFailure,
        _ if walks(scenario) => Concern::Contract,
        _ if !scenario.faults.is_empty() => Concern::Rollback,
        _ if race.iter().any(repeats) => Concern::Duplicate,
        _ if race.len() > 1 || scenario.migration.is_some() => Concern::Concurrency,
        "invariant" | "once" | outcome::NAME => Concern::Persistence,
        _ => Concern::Success,
    })
}

#[cfg(test)]
mod tests;
