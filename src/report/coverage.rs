//! What a run has covered, as a matrix: a line an operation, a column a concern. Below it,
//! a line a reason: why the rest is not covered, and what to add.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::model::coverage::{Cell, Concern, State};

/// The columns between which lines are read without scrolling, where names are short.
const WIDTH: usize = 100;

/// So many operations are named of those that share a reason, if the matrix shows the others.
const MOST_NAMES: usize = 3;

/// The whole text, in several lines, the last one ended.
pub fn text(cells: &[Cell]) -> String {
    matrix(cells) + &reasons(cells)
}

/// What is required and not covered, as an error; nothing if all is.
pub fn missing(cells: &[Cell]) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let error = console::style("error:").for_stderr().red().bold();
    let mut text = format!("{error} what --require names is not covered\n");
    for gap in gaps(cells) {
        let _ = writeln!(text, "  {}", gap.line(&gap.operations.join(", ")));
    }
    text
}

fn matrix(cells: &[Cell]) -> String {
    // Two blanks between columns, or one where that is what fits.
    let wide = lines(cells, 2);
    if wide.lines().all(|line| line.chars().count() <= WIDTH) {
        return wide;
    }
    lines(cells, 1)
}

fn lines(cells: &[Cell], gap: u16) -> String {
    let mut table = Table::new();
    let header = Concern::ALL.map(short);
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["operation"].into_iter().chain(header));
    for row in cells.chunk_by(|one, other| one.operation == other.operation) {
        let name = row.first().map(|cell| cell.operation.clone());
        table.add_row(name.into_iter().chain(row.iter().map(shown)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, gap));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let table = table.to_string();
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

fn short(concern: Concern) -> &'static str {
    match concern {
        Concern::Success => "success",
        Concern::ValidationFailure => "invalid",
        Concern::Authorization => "authz",
        Concern::Persistence => "persist.",
        Concern::Rollback => "rollback",
        Concern::Duplicate => "duplic.",
        Concern::Concurrency => "concurr.",
        Concern::Contract => "contract",
        Concern::StatementBudget => "budget",
    }
}

fn shown(cell: &Cell) -> String {
    match cell.state {
        State::Covered => cell.rounds.to_string(),
        State::Found => format!("FOUND {}", cell.findings),
        State::NotCovered => "-".to_owned(),
        State::NotApplicable => "n/a".to_owned(),
    }
}

/// Cells that one reason keeps from being covered.
struct Gap<'a> {
    concerns: Vec<Concern>,
    operations: Vec<&'a str>,
    state: State,
    why: &'a str,
    /// The line for the first of the operations.
    add: Option<&'a str>,
}

fn reasons(cells: &[Cell]) -> String {
    let rows = cells.iter().filter(|cell| cell.concern == Concern::ALL[0]);
    let rows = rows.count();
    let gaps = gaps(cells);
    let mut text = String::new();
    for gap in &gaps {
        let operations = gap.operations.as_slice();
        let names = if operations.len() == rows && rows > 1 {
            "every operation".to_owned()
        } else if operations.len() > MOST_NAMES && gap.is_alone(&gaps) {
            let named = operations[..MOST_NAMES - 1].join(", ");
            format!("{named} and {} more", operations.len() - MOST_NAMES + 1)
        } else {
            operations.join(", ")
        };
        let _ = writeln!(text, "{}", gap.line(&names));
    }
    text
}

/// A gap a reason, in the order of the matrix; concerns that the same operations lack for
/// the same reason are one.
fn gaps(cells: &[Cell]) -> Vec<Gap<'_>> {
    let mut gaps: Vec<Gap<'_>> = Vec::new();
    for concern in Concern::ALL {
        let own = cells.iter().filter(|cell| cell.concern == concern);
        let from = gaps.len();
        for cell in own {
            let Some(why) = &cell.why else {
                continue;
            };
            let mut known = gaps[from..].iter_mut();
            match known.find(|gap| gap.why == why && gap.state == cell.state) {
                Some(gap) => gap.operations.push(&cell.operation),
                None => gaps.push(Gap {
                    concerns: vec![concern],
                    operations: vec![&cell.operation],
                    state: cell.state,
                    why,
                    add: cell.add.as_deref(),
                }),
            }
        }
    }
    let mut merged: Vec<Gap<'_>> = Vec::new();
    for gap in gaps {
        let same = |other: &&mut Gap<'_>| {
            let of = |gap: &Gap<'_>| (gap.why.to_owned(), gap.state, gap.add.map(str::to_owned));
            of(other) == of(&gap) && other.operations == gap.operations
        };
        match merged.iter_mut().find(same) {
            Some(other) => other.concerns.extend(gap.concerns),
            None => merged.push(gap),
        }
    }
    merged
}

impl Gap<'_> {
    /// Whether no other gap is in its columns: then the matrix tells whose it is.
    fn is_alone(&self, gaps: &[Gap<'_>]) -> bool {
        gaps.iter().all(|other| {
            let mut concerns = other.concerns.iter();
            let is_other = other.operations != self.operations || other.why != self.why;
            !(is_other
                && other.state == self.state
                && concerns.any(|concern| self.concerns.contains(concern)))
        })
    }

    fn line(&self, operations: &str) -> String {
        let concerns: Vec<&str> = self.concerns.iter().map(|c| c.name()).collect();
        let (is, concerns) = match concerns.as_slice() {
            [only] => ("is", (*only).to_owned()),
            [first @ .., last] => ("are", format!("{} and {last}", first.join(", "))),
            [] => ("is", String::new()),
        };
        let not = match self.state {
            State::NotApplicable => format!("there is nothing of {concerns} to cover"),
            _ => format!("{concerns} {is} not covered"),
        };
        let mut line = format!("{not} for {operations}: {}", self.why);
        if let Some(add) = self.add {
            let _ = match add.split_once("] ") {
                Some((table, add)) => write!(line, "; add `{add}` to {table}]"),
                None => write!(line, "; add `{add}`"),
            };
            if add.starts_with("[operations.") && self.operations.len() > 1 {
                line += ", and likewise to the others";
            }
        }
        line
    }
}

#[cfg(test)]
mod tests;
