//! Who moved when, as columns: one a call, one line a step. Knows steps, and not
//! why one moved before another.

use comfy_table::{ContentArrangement, Table, presets};

use crate::model::fault::Fault;
use crate::model::step::Step;

/// The most characters of one step.
const MOST_OF_A_STEP: usize = 48;

/// What marks a step whose order matters to another call, and one that a fault strikes.
const MARK: &str = "*";
const STRUCK: &str = "!";

/// So many steps in a row of one call that matter to no other are shown as one line.
const FOLDED_FROM: usize = 4;

/// The steps of a race whose calls have these names, a line each.
pub fn text(steps: &[Step], names: &[String], faults: &[Fault]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    let numbered = names.iter().enumerate();
    let header = numbered.map(|(index, name)| format!("{} {name}", index + 1));
    table.set_header(std::iter::once(String::new()).chain(header));
    let matters = |step: &Step| {
        let mut others = steps.iter().filter(|other| other.call != step.call);
        others.any(|other| other.conflicts(step))
    };
    let mut taken = vec![0; names.len()];
    let lines: Vec<(usize, &str, String)> = steps
        .iter()
        .map(|step| {
            let number = taken.get(step.call).copied().unwrap_or_default();
            taken[step.call] = number + 1;
            let is_it = |fault: &Fault| (fault.call, fault.step) == (step.call, number);
            let mark = match () {
                () if faults.iter().any(is_it) => STRUCK,
                () if matters(step) => MARK,
                () => "",
            };
            (step.call, mark, short(step))
        })
        .collect();
    for run in lines.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
        let (call, mark, first) = &run[0];
        let mut row = |text: &str| {
            let cells = (0..names.len()).map(|own| if own == *call { text } else { "" });
            table.add_row(std::iter::once(*mark).chain(cells));
        };
        if !mark.is_empty() || run.len() < FOLDED_FROM {
            for (_, _, text) in run {
                row(text);
            }
        } else {
            row(first);
            row(&format!("... {} more", run.len() - 1));
        }
    }
    table.to_string()
}

fn short(step: &Step) -> String {
    let text = step.action.short();
    if text.chars().count() <= MOST_OF_A_STEP {
        return text;
    }
    let cut: String = text.chars().take(MOST_OF_A_STEP - 3).collect();
    format!("{cut}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::{Access, Action, Mode};

    #[test]
    fn a_column_a_call_and_a_mark_where_order_matters() {
        let step = |call, short: &str, mode| Step {
            call,
            action: Action::Sql {
                statement: short.to_owned(),
                parameters: Vec::new(),
                short: short.to_owned(),
            },
            accesses: vec![Access {
                table: "products".to_owned(),
                mode,
                rows: [("id".to_owned(), "1".to_owned())].into(),
            }],
        };
        let mut alone = step(1, &format!("SELECT {}", "x".repeat(60)), Mode::Read);
        alone.accesses.clear();
        let begins = |call| Step {
            call,
            action: Action::Begin,
            accesses: Vec::new(),
        };
        let own = |number| Step {
            accesses: Vec::new(),
            ..step(1, &format!("SELECT own id={number}"), Mode::Read)
        };
        let steps = [
            begins(0),
            step(0, "SELECT products id=1", Mode::Read),
            begins(1),
            alone,
            step(1, "UPDATE products id=1", Mode::Write),
            own(1),
            own(2),
            own(3),
            own(4),
            step(0, "UPDATE products id=1", Mode::Write),
        ];
        let names = ["order by ann".to_owned(), "order by bob".to_owned()];
        insta::assert_snapshot!(text(&steps, &names, &[]));
        let struck = Fault::at(1, &steps[1], crate::model::fault::FaultKind::CutAfter);
        let marked = text(&steps, &names, &[struck]);
        let line = marked.lines().nth(2).unwrap();
        assert!(
            line.trim_start().starts_with("!  SELECT products"),
            "{marked}"
        );
    }
}
