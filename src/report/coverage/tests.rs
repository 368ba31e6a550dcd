//! How the matrix and its reasons look.

use super::*;

fn cell(operation: &str, concern: Concern) -> Cell {
    Cell {
        operation: operation.to_owned(),
        concern,
        rounds: 1234,
        findings: 0,
        state: State::Covered,
        why: None,
        add: None,
    }
}

fn not(cell: Cell, why: &str, add: Option<&str>) -> Cell {
    Cell {
        rounds: 0,
        state: State::NotCovered,
        why: Some(why.to_owned()),
        add: add.map(str::to_owned),
        ..cell
    }
}

const ENDED: &str = "the run ended before its turn; give it more rounds";

fn cells(operations: &[&str]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for operation in operations {
        for concern in Concern::ALL {
            let cell = cell(operation, concern);
            let line = |line: &str| format!("[operations.{operation}] {line}");
            cells.push(match concern {
                Concern::Persistence if *operation == "list-orders" => Cell {
                    state: State::NotApplicable,
                    ..not(cell, "it only reads", None)
                },
                Concern::Authorization => {
                    let add = line("allow = [{ actors = [\"ann\"] }]");
                    not(cell, "no `allow` in the file", Some(&add))
                }
                Concern::StatementBudget if *operation != "pay" => {
                    let add = line("max_statements = 20");
                    not(cell, "no `max_statements` in the file", Some(&add))
                }
                Concern::Rollback | Concern::Duplicate if *operation == "redeem" => {
                    not(cell, ENDED, None)
                }
                Concern::Concurrency if *operation == "pay" => Cell {
                    state: State::Found,
                    findings: 2,
                    ..cell
                },
                _ => cell,
            });
        }
    }
    cells
}

const OPERATIONS: [&str; 6] = [
    "list-orders",
    "order",
    "pay",
    "redeem",
    "reserve",
    "transfer",
];

#[test]
fn a_line_an_operation_and_below_a_line_a_reason() {
    let text = text(&cells(&OPERATIONS));
    assert!(
        text.lines()
            .take(7)
            .all(|line| line.chars().count() <= WIDTH)
    );
    insta::assert_snapshot!(text);
}

#[test]
fn long_names_take_the_gaps_and_lose_nothing() {
    let long = "cancel-an-order-of-another";
    let text = text(&cells(&["pay", long]));
    let rows: Vec<&str> = text.lines().take(3).collect();
    assert!(
        rows.iter().all(|line| line.chars().count() <= WIDTH),
        "{text}"
    );
    assert!(rows[2].starts_with(long), "{text}");
}

#[test]
fn all_are_named_where_the_matrix_does_not_tell_which_reason_is_whose() {
    let mut cells = cells(&OPERATIONS);
    for cell in &mut cells {
        if cell.concern == Concern::StatementBudget && cell.operation == "pay" {
            *cell = not(cell.clone(), ENDED, None);
        }
    }
    let text = text(&cells);
    let all = "for list-orders, order, redeem, reserve, transfer: no `max_statements`";
    assert!(text.contains(all), "{text}");
    assert!(
        text.contains("statement-budget is not covered for pay: the run"),
        "{text}"
    );
}

#[test]
fn what_is_required_and_missing_is_an_error_that_says_what_to_do() {
    assert_eq!(missing(&[]), "");
    let missing_cells: Vec<Cell> = cells(&OPERATIONS)
        .into_iter()
        .filter(|cell| cell.state == State::NotCovered && cell.operation != "order")
        .collect();
    let text = missing(&missing_cells);
    insta::assert_snapshot!(console::strip_ansi_codes(&text));
}
