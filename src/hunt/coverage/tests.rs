//! What a round counts for, and what is said of the rest.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::model::fault::{Fault, FaultKind};
use crate::model::finding::Rate;
use crate::model::history::{self, History};
use crate::model::scenario::{RetryWhen, Role, Spoil};
use crate::model::step::{Access, Step};
use crate::model::verdict::Verdict;
use crate::oracle::testing::answered;
use crate::shrink::testing::scenario;

const BARE: &str = "
    [service]
    start = 'x'
    [database]
    engines = ['postgres', 'sqlite']
    [stubs.provider]
    answers = [{ request = 'POST /charges', webhook = { operation = 'captured' } }]
    [actors.ann]
    [operations.sign-in]
    request = 'POST /sign-in'
    race = false
    [operations.pay]
    request = 'POST /payments'
    body = { order = 1 }
    [operations.list]
    request = 'GET /orders'
    [operations.captured]
    request = 'POST /captured'
    race = false
";

fn target(more: &str) -> Target {
    let text = BARE.to_owned() + more;
    Target::parse(Path::new("x"), Path::new("/"), text).unwrap()
}

fn hunt(gate: Gate) -> Coverage {
    Coverage::of(Setting {
        gate,
        outcomes: true,
        looks_for: LooksFor::All,
        contract: BTreeSet::from(["cancel".to_owned()]),
    })
}

/// A round that holds, each call answered with its status.
fn round(scenario: &Scenario, statuses: &[u16], steps: Vec<Step>) -> Round {
    let calls = scenario.race.iter().zip(statuses);
    let calls = calls.map(|(call, status)| answered(&call.operation, None, *status, ""));
    Round {
        history: History {
            calls: calls.collect(),
            steps,
            ..History::default()
        },
        verdict: Verdict::Holds,
        diverged: false,
        explained: Explained::NotAsked,
        one_by_one: 0,
    }
}

fn step(call: usize, mode: Mode) -> Step {
    Step {
        call,
        action: Action::Sql {
            statement: "x".to_owned(),
            parameters: Vec::new(),
            short: "x".to_owned(),
        },
        accesses: vec![Access {
            table: "orders".to_owned(),
            mode,
            rows: BTreeMap::new(),
        }],
    }
}

fn cell(coverage: &Coverage, target: &Target, operation: &str, concern: Concern) -> Cell {
    let cells = coverage.cells(target, &[], End::Budget);
    let mut own = cells.into_iter();
    own.find(|cell| cell.operation == operation && cell.concern == concern)
        .unwrap()
}

fn rounds(coverage: &Coverage, target: &Target, operation: &str) -> [u64; 9] {
    Concern::ALL.map(|concern| cell(coverage, target, operation, concern).rounds)
}

#[test]
fn rows_are_what_may_be_raced_or_called_by_third_parties() {
    let target = target("");
    let cells = hunt(Gate::Stands).cells(&target, &[], End::Budget);
    let mut names: Vec<&str> = cells.iter().map(|cell| cell.operation.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["pay", "list", "captured"]);
    assert_eq!(cells.len(), 3 * 9);
    let allowed = self::target("allow = [{ actors = ['ann'] }]");
    let cells = hunt(Gate::Stands).cells(&allowed, &[], End::Budget);
    assert_eq!(cells.len(), 3 * 9, "and `captured` is one of them already");
}

#[test]
fn a_round_counts_once_for_each_concern_that_it_looked_at() {
    let target = target("[invariants.a]\nsays = 'a'\nsql = 'SELECT 1'\n");
    let mut coverage = hunt(Gate::Stands);
    let race = scenario(&[
        ("pay", Role::Original),
        ("pay", Role::Duplicate { of: 0 }),
        ("list", Role::Original),
    ]);
    let steps = vec![step(0, Mode::Write), step(2, Mode::Read)];
    coverage.round(&target, &race, &round(&race, &[201, 409, 200], steps));
    // success, validation, authorization, persistence, rollback, duplicate, concurrency, ...
    let pay = [1, 0, 0, 1, 0, 1, 1, 0, 0];
    assert_eq!(rounds(&coverage, &target, "pay"), pay);
    let list = [1, 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(rounds(&coverage, &target, "list"), list, "it only reads");
    let reads = cell(&coverage, &target, "list", Concern::Persistence);
    assert_eq!(reads.state, State::NotApplicable);

    // What could not be judged covers nothing.
    let unjudged = Round {
        verdict: Verdict::Inconclusive("busy".to_owned()),
        ..round(&race, &[201, 409, 200], Vec::new())
    };
    coverage.round(&target, &race, &unjudged);
    assert_eq!(rounds(&coverage, &target, "pay"), pay);
}

#[test]
fn one_after_the_other_is_a_repetition_and_no_race() {
    let target = target("");
    let mut coverage = hunt(Gate::Stands);
    let retried = Role::Retry {
        of: 0,
        when: RetryWhen::AfterAnswer,
    };
    let mut faulty = scenario(&[("pay", Role::Original), ("pay", retried)]);
    faulty.faults = vec![Fault {
        call: 0,
        step: 1,
        action: "x".to_owned(),
        kind: FaultKind::CutAfter,
    }];
    let mut struck = round(&faulty, &[500, 201], vec![step(0, Mode::Write)]);
    struck.history.calls[0].struck = true;
    coverage.round(&target, &faulty, &struck);
    let seen = [1, 0, 0, 0, 1, 1, 0, 0, 0];
    assert_eq!(rounds(&coverage, &target, "pay"), seen);
    // An order that explains it compares rows without a rule.
    struck.explained = Explained::By { order: vec![0, 1] };
    coverage.round(&target, &faulty, &struck);
    let seen = [2, 0, 0, 1, 2, 2, 0, 0, 0];
    assert_eq!(rounds(&coverage, &target, "pay"), seen);
}

#[test]
fn what_the_file_says_of_an_operation_is_looked_at_by_one_call_of_it() {
    let target = target(
        "[operations.cancel]\nrequest = 'POST /cancel'\nbody = { order = 1 }\n\
         allow = [{ actors = ['ann'] }]\nmax_statements = 5\n",
    );
    let mut coverage = hunt(Gate::Stands);
    let mut one = scenario(&[("cancel", Role::Original)]);
    let mut judged = round(&one, &[200], vec![step(0, Mode::Write)]);
    judged.history.calls[0].expected.access = Some(history::Access::default());
    coverage.round(&target, &one, &judged);
    let seen = [1, 0, 1, 0, 0, 0, 0, 1, 1];
    assert_eq!(rounds(&coverage, &target, "cancel"), seen);
    one.race[0].spoil = Some(Spoil {
        place: "/order".to_owned(),
        with: None,
    });
    coverage.round(&target, &one, &round(&one, &[200], Vec::new()));
    let invalid = cell(&coverage, &target, "cancel", Concern::ValidationFailure);
    assert!(invalid.why.unwrap().contains("answered 4xx"));
    coverage.round(&target, &one, &round(&one, &[422], Vec::new()));
    let invalid = cell(&coverage, &target, "cancel", Concern::ValidationFailure);
    assert_eq!((invalid.rounds, invalid.state), (1, State::Covered));
}

#[test]
fn pages_are_no_race_and_larger_fixtures_are_a_budget() {
    let target = target("");
    let mut coverage = hunt(Gate::Stands);
    let mut pages = scenario(&[("list", Role::Original), ("pay", Role::Original)]);
    pages.race[0].walk = true;
    coverage.round(&target, &pages, &round(&pages, &[200, 201], Vec::new()));
    let raced = cell(&coverage, &target, "pay", Concern::Concurrency);
    assert_eq!(raced.rounds, 0);
    let mut grown = scenario(&[("list", Role::Original)]);
    let steps = || vec![step(0, Mode::Read), step(0, Mode::Read)];
    coverage.round(&target, &grown, &round(&grown, &[200], steps()));
    let budget = cell(&coverage, &target, "list", Concern::StatementBudget);
    let needed = "[operations.list] max_statements = 2";
    assert_eq!((budget.rounds, budget.add.as_deref()), (0, Some(needed)));
    grown.grown = true;
    coverage.round(&target, &grown, &round(&grown, &[200], steps()));
    let budget = cell(&coverage, &target, "list", Concern::StatementBudget);
    assert_eq!(budget.rounds, 1);
}

#[test]
fn each_gap_has_its_reason_and_its_line() {
    let target = target("");
    let race = scenario(&[("pay", Role::Original), ("list", Role::Original)]);
    let mut gated = hunt(Gate::Stands);
    let steps = vec![step(0, Mode::Write)];
    gated.round(&target, &race, &round(&race, &[404, 200], steps));
    let mut all = String::new();
    let mut tell = |title: &str, coverage: &Coverage, end| {
        let _ = writeln!(all, "{title}");
        let told: Vec<Cell> = coverage.cells(&target, &[], end);
        for cell in told.into_iter().filter(|cell| cell.why.is_some()) {
            let own = format!("  {} {}", cell.operation, cell.concern);
            let (why, add) = (cell.why.unwrap_or_default(), cell.add.unwrap_or_default());
            let line = format!("{own}: {why} | {add}");
            let line = line.trim_end_matches(" | ");
            // All of it once, and then what only this run has to say.
            if !all.contains(line) {
                let _ = writeln!(all, "{line}");
            }
        }
    };
    let counted = |mut coverage: Coverage| {
        coverage.round(&target, &race, &round(&race, &[201, 200], Vec::new()));
        coverage
    };
    tell("at the gate", &gated, End::Budget);
    tell("at the first finding", &gated, End::FirstFinding);
    tell("stopped", &gated, End::Stopped);
    tell("failed", &gated, End::Failed);
    tell("no statements", &counted(hunt(Gate::Stands)), End::Budget);
    tell("sqlite", &counted(hunt(Gate::Sqlite)), End::Budget);
    tell("free", &hunt(Gate::Free), End::Budget);
    tell("runs already", &hunt(Gate::RunsAlready), End::Budget);
    let mut faults = hunt(Gate::Stands);
    faults.setting.looks_for = LooksFor::Faults;
    faults.setting.outcomes = false;
    tell("faults, no outcome", &counted(faults), End::Budget);
    let mut checks = hunt(Gate::Stands);
    checks.setting.looks_for = LooksFor::Checks;
    tell("checks", &checks, End::Budget);
    insta::assert_snapshot!(all);
}

#[test]
fn names_that_toml_quotes_are_quoted() {
    let target = target("[operations.'a b']\nrequest = 'GET /'\n");
    let budget = cell(
        &hunt(Gate::Stands),
        &target,
        "a b",
        Concern::StatementBudget,
    );
    let add = budget.add.unwrap();
    assert_eq!(add, "[operations.\"a b\"] max_statements = 20");
}

#[test]
fn a_finding_is_of_one_concern_of_each_of_its_operations() {
    let finding = |oracle: &str, scenario: Scenario| Finding {
        format: 1,
        deadheat: String::new(),
        target: String::new(),
        target_folder: String::new(),
        engine: Engine::Postgres,
        env: Vec::new(),
        oracle: oracle.to_owned(),
        name: String::new(),
        says: String::new(),
        seed: String::new(),
        calls: (2, 2),
        scenario,
        schedule: None,
        violations: Vec::new(),
        history: History::default(),
        rate: Rate::default(),
        diverged: None,
        found_after_rounds: 0,
        found_after_s: 0.0,
        calls_before_shrinking: 2,
        known: false,
        file: None,
    };
    let race = || {
        scenario(&[
            ("pay", Role::Original),
            ("pay", Role::Duplicate { of: 0 }),
            ("list", Role::Original),
        ])
    };
    let of = |oracle, scenario, operation| concern_of(&finding(oracle, scenario), operation);
    assert_eq!(of("invariant", race(), "pay"), Some(Concern::Duplicate));
    assert_eq!(of("invariant", race(), "list"), Some(Concern::Concurrency));
    assert_eq!(of("invariant", race(), "captured"), None);
    assert_eq!(of("pages", race(), "list"), Some(Concern::Contract));
    let one = || scenario(&[("pay", Role::Original)]);
    assert_eq!(of("outcome", one(), "pay"), Some(Concern::Persistence));
    assert_eq!(of("status", one(), "pay"), Some(Concern::Success));
    assert_eq!(of("budget", one(), "pay"), Some(Concern::StatementBudget));
    let mut spoiled = one();
    spoiled.race[0].spoil = Some(Spoil {
        place: "/order".to_owned(),
        with: None,
    });
    assert_eq!(of("leak", spoiled, "pay"), Some(Concern::ValidationFailure));
    let mut struck = race();
    struck.faults = vec![Fault {
        call: 0,
        step: 1,
        action: "x".to_owned(),
        kind: FaultKind::CutAfter,
    }];
    assert_eq!(of("died", struck, "pay"), Some(Concern::Rollback));
    let finding = finding("invariant", race());
    let target = target("");
    let cells = hunt(Gate::Stands).cells(&target, &[finding], End::Budget);
    let found = cells.iter().filter(|cell| cell.state == State::Found);
    let found: Vec<&str> = found.map(|cell| cell.operation.as_str()).collect();
    assert_eq!(found, ["pay", "list"]);
}
