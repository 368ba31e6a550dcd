//! What the faults of a run came to, as a table: a line a step.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use crate::model::fault::{CameTo, FaultsTried, StepTried};

/// The most characters of a step.
const MOST_OF_A_STEP: usize = 44;

/// The table; [`line`] sums it up.
pub fn text(faults: &FaultsTried) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["operation", "step", "", "faults", "came to"]);
    let mut last = "";
    for step in &faults.steps {
        let operation = if step.operation == last {
            ""
        } else {
            &step.operation
        };
        last = &step.operation;
        let action: String = step.action.chars().take(MOST_OF_A_STEP).collect();
        table.add_row([
            operation.to_owned(),
            step.step.to_string(),
            action,
            step.tried.len().to_string(),
            came_to(step),
        ]);
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How many faults were tried, and what they came to, in a line.
pub fn line(faults: &FaultsTried) -> String {
    let mut text = format!(
        "{} faults one at a time in {:.1} s",
        faults.tried, faults.elapsed_s
    );
    let all = faults.steps.iter().flat_map(|step| &step.tried);
    for (what, came_to) in [
        ("fine", CameTo::Fine),
        ("violated", CameTo::Violated),
        ("not struck", CameTo::NotStruck),
        ("not judged", CameTo::Unjudged),
    ] {
        let count = all.clone().filter(|tried| tried.came_to == came_to).count();
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if faults.in_races > 0 {
        let _ = write!(text, "; {} in races", faults.in_races);
    }
    if faults.not_in_races > 0 {
        let more = faults.not_in_races;
        let _ = write!(text, ", and {more} more that did not strike");
    }
    text
}

/// What the faults at a step came to: those that are not fine by name.
fn came_to(step: &StepTried) -> String {
    let mut parts = Vec::new();
    for (what, came_to) in [
        ("violated", CameTo::Violated),
        ("not struck", CameTo::NotStruck),
        ("not judged", CameTo::Unjudged),
    ] {
        let of_it = step.tried.iter().filter(|tried| tried.came_to == came_to);
        let kinds: Vec<String> = of_it.map(|tried| tried.kind.to_string()).collect();
        if !kinds.is_empty() {
            parts.push(format!("{what}: {}", kinds.join(", ")));
        }
    }
    if parts.is_empty() {
        "fine".to_owned()
    } else {
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{FaultKind, SqlState, Tried};

    #[test]
    fn a_line_a_step_and_by_name_what_is_not_fine() {
        let tried = |kind, came_to| Tried {
            kind,
            came_to,
            took_ms: 20,
        };
        let step = |operation: &str, step, action: &str, tried: &[Tried]| StepTried {
            operation: operation.to_owned(),
            step,
            action: action.to_owned(),
            tried: tried.to_vec(),
        };
        let full = FaultKind::Refused(SqlState::DiskFull);
        let faults = FaultsTried {
            tried: 6,
            elapsed_s: 1.25,
            in_races: 40,
            not_in_races: 3,
            steps: vec![
                step(
                    "order",
                    0,
                    "begins",
                    &[tried(FaultKind::HangUpHalfWay, CameTo::Fine)],
                ),
                step(
                    "pay",
                    1,
                    "INSERT payments",
                    &[
                        tried(FaultKind::CutAfter, CameTo::Violated),
                        tried(FaultKind::Killed, CameTo::Violated),
                        tried(full, CameTo::NotStruck),
                    ],
                ),
                step(
                    "pay",
                    2,
                    "COMMIT",
                    &[
                        tried(FaultKind::CutAfter, CameTo::Fine),
                        tried(full, CameTo::Fine),
                    ],
                ),
            ],
        };
        insta::assert_snapshot!(format!("{}\n{}", text(&faults), line(&faults)));
    }
}
