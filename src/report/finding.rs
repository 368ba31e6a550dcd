//! A finding as text for a person: the business sentence, the rows, the requests,
//! the answers, the rate, and how to see it again.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use console::style;
use serde_json::Value;

use crate::model::Row;
use crate::model::fault::Fault;
use crate::model::finding::Finding;
use crate::model::history::{Ending, Made};
use crate::model::scenario::{Call, HangUp, RetryWhen, Role};
use crate::report::{curl, interleaving};

/// The most rows of one violation that are shown; the file holds all.
const MOST_ROWS: usize = 8;

/// The most characters of a value in a row that are shown.
const MOST_CELL: usize = 110;

/// The most characters of an answer's body that are shown.
const MOST_BODY: usize = 160;

/// The most characters of a request that are shown; the file holds all.
const MOST_REQUEST: usize = 1200;

/// The whole text, in several lines, the last one ended.
pub fn text(finding: &Finding) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write(&mut text, finding);
    text
}

fn write(out: &mut String, finding: &Finding) -> std::fmt::Result {
    let head = if finding.known {
        "STILL THERE"
    } else {
        "FOUND"
    };
    writeln!(
        out,
        "{}  {}",
        style(head).red().bold(),
        style(&finding.says).bold()
    )?;
    writeln!(
        out,
        "  {} `{}` on {}; {}",
        finding.oracle,
        finding.name,
        finding.engine,
        rate(finding)
    )?;
    if let Some(diverged) = &finding.diverged {
        writeln!(
            out,
            "  in some of the tries the service left the schedule: {diverged}"
        )?;
    }
    for violation in &finding.violations {
        if violation.oracle != finding.oracle || violation.name != finding.name {
            writeln!(
                out,
                "  also {} `{}`: {}",
                violation.oracle, violation.name, violation.says
            )?;
        }
        if !violation.rows.is_empty() {
            writeln!(out)?;
            for line in table(&violation.rows).lines() {
                writeln!(out, "    {}", line.trim_end())?;
            }
            if violation.rows.len() > MOST_ROWS {
                writeln!(out, "    and {} more", violation.rows.len() - MOST_ROWS)?;
            }
        }
    }
    if !finding.scenario.setup.is_empty() {
        let calls = finding.scenario.setup.iter();
        let names: Vec<String> = calls
            .map(|call| by(&call.operation, call.actor.as_deref()))
            .collect();
        writeln!(out, "\n  before the race: {}", names.join(", "))?;
    }
    write_calls(out, finding)?;
    if finding.schedule.is_some() {
        let names = participants(finding);
        let faults = &finding.scenario.faults;
        let where_struck = match faults.as_slice() {
            [] => "",
            _ => ", ! where a fault strikes",
        };
        writeln!(
            out,
            "\n  who moved when (* where it matters to another call{where_struck}):"
        )?;
        for line in interleaving::text(&finding.history.steps, &names, faults).lines() {
            writeln!(out, "  {}", line.trim_end())?;
        }
    }
    if let Some(file) = &finding.file {
        writeln!(out, "\n  kept as    {file}")?;
        let file = shlex::try_quote(file).unwrap_or(file.into());
        writeln!(out, "  replay it  deadheat replay {file} --times 100")?;
    }
    Ok(())
}

/// The calls, how each ended, and what went wrong on purpose.
fn write_calls(out: &mut String, finding: &Finding) -> std::fmt::Result {
    let calls = finding.scenario.race.len();
    if calls == 1 {
        write!(out, "\n  one call")?;
    } else {
        write!(out, "\n  the race, {calls} calls")?;
    }
    if let Some(name) = &finding.scenario.migration {
        write!(out, " and the migration `{name}`")?;
    }
    if finding.schedule.is_none() {
        write!(out, " released together")?;
    }
    if finding.scenario.grown {
        write!(out, " on the larger fixtures")?;
    }
    if finding.calls_before_shrinking > calls {
        write!(out, " (shrunk from {})", finding.calls_before_shrinking)?;
    }
    writeln!(out, ":")?;
    for (index, call) in finding.scenario.race.iter().enumerate() {
        let made = finding.history.calls.get(index);
        write!(out, "  {}  {}", index + 1, style(&call.operation).cyan())?;
        write!(out, "{}", who_and_how(call))?;
        if let Some(version) = version(finding, index) {
            write!(out, " on the {version} version")?;
        }
        if let Some(made) = made {
            writeln!(out, "  -> {}", ending(made))?;
            writeln!(
                out,
                "     {}",
                cut(&curl::line(&made.request), MOST_REQUEST)
            )?;
        } else {
            writeln!(out)?;
        }
        for fault in finding.scenario.faults.iter().filter(|f| f.call == index) {
            let befalls = fault.kind.befalls(&struck(finding, fault));
            writeln!(out, "     {} {befalls}", style("fault:").yellow())?;
        }
    }
    if let Some(migration) = &finding.history.migration {
        let end = migration.error.as_deref().unwrap_or("done");
        let (number, name) = (calls + 1, style(&migration.name).cyan());
        writeln!(out, "  {number}  migration {name}  -> {end}")?;
    }
    Ok(())
}

/// Who took part, as the heads of columns.
fn participants(finding: &Finding) -> Vec<String> {
    let calls = finding.scenario.race.iter().enumerate();
    let name = |(index, call): (usize, &Call)| {
        let name = by(&call.operation, call.actor.as_deref());
        match version(finding, index) {
            Some(version) => format!("{name}, {version}"),
            None => name,
        }
    };
    let migration = finding.scenario.migration.iter();
    calls
        .map(name)
        .chain(migration.map(|name| format!("migration {name}")))
        .collect()
}

/// The version of the service that answered a call, where not all are of the first.
fn version(finding: &Finding, call: usize) -> Option<&'static str> {
    let calls = &finding.history.calls;
    let differ = calls.iter().any(|made| made.next);
    let made = calls.get(call).filter(|_| differ)?;
    Some(if made.next { "next" } else { "first" })
}

/// The step that a fault strikes, in a few words where it is known what moved.
fn struck(finding: &Finding, fault: &Fault) -> String {
    let steps = finding.history.steps.iter();
    let mut own = steps.filter(|step| step.call == fault.call);
    let step = own.nth(fault.step);
    step.map_or_else(|| fault.action.clone(), |step| step.action.short())
}

fn rate(finding: &Finding) -> String {
    if finding.known {
        return format!("failed again at try {}", finding.rate.tries);
    }
    let rate = finding.rate;
    match (rate.hits, rate.tries) {
        (_, 0) => "not tried again".to_owned(),
        (0, tries) => format!("seen once, and never again in {tries} tries"),
        _ => format!("reproduced {rate}"),
    }
}

fn by(operation: &str, actor: Option<&str>) -> String {
    match actor {
        Some(actor) => format!("{operation} by {actor}"),
        None => operation.to_owned(),
    }
}

fn who_and_how(call: &Call) -> String {
    let mut words = String::new();
    if let Some(actor) = &call.actor {
        let _ = write!(words, " by {actor}");
    }
    match &call.role {
        Role::Original => {}
        Role::Bystander => words.push_str(", a bystander"),
        Role::Duplicate { of } => {
            let _ = write!(words, ", a duplicate of {}", of + 1);
        }
        Role::Retry { of, when } => {
            let of = of + 1;
            let _ = match when {
                RetryWhen::InFlight { after_us } => {
                    write!(words, ", a retry of {of} after {}", millis(*after_us))
                }
                RetryWhen::AfterAnswer => write!(words, ", a retry of {of} after its answer"),
                RetryWhen::AfterHangUp => write!(words, ", a retry of {of} after its client left"),
            };
        }
    }
    if let Some(spoil) = &call.spoil {
        let _ = write!(words, ", spoiled: {spoil}");
    }
    if call.walk {
        words.push_str(", page by page, the others in between");
    }
    match call.hang_up {
        None => {}
        Some(HangUp::HalfWay) => words.push_str(", whose client leaves half-way"),
        Some(HangUp::BeforeAnswer { after_us }) => {
            let _ = write!(words, ", whose client leaves after {}", millis(after_us));
        }
    }
    words
}

fn ending(made: &Made) -> String {
    let after = match (made.released_us, made.ended_us) {
        (Some(from), Some(to)) => format!(" after {}", millis(to.saturating_sub(from))),
        _ => String::new(),
    };
    match &made.ending {
        Ending::Answered(answer) => {
            let body: String = answer.body.chars().take(MOST_BODY).collect();
            let cut = if body.len() < answer.body.len() {
                "..."
            } else {
                ""
            };
            format!("{}{after} {}{cut}", answer.status, body.trim_end())
        }
        Ending::HungUp => format!("the client left{after}"),
        Ending::NoAnswer { within_ms } => format!("no answer within {within_ms} ms"),
        Ending::Dropped(why) => format!("the service dropped it{after}: {why}"),
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// Rows as a table. A column stands where the first row that has it names it.
fn table(rows: &[Row]) -> String {
    let mut columns: Vec<&String> = Vec::new();
    for row in rows {
        for name in row.keys() {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(&columns);
    for row in rows.iter().take(MOST_ROWS) {
        table.add_row(columns.iter().map(|name| match row.get(*name) {
            None => String::new(),
            Some(Value::String(text)) => cut(text, MOST_CELL),
            Some(value) => cut(&value.to_string(), MOST_CELL),
        }));
    }
    table.to_string()
}

/// What fits into so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::engine::Engine;
    use crate::model::finding::{FORMAT, Rate};
    use crate::model::history::{History, Migrated};
    use crate::model::schedule::Schedule;
    use crate::model::step::{Action, Step};
    use crate::model::verdict::Violation;
    use crate::oracle::testing::answered;
    use crate::shrink::testing::scenario;
    use serde_json::json;

    #[test]
    fn a_finding_is_told_whole() {
        let row = json!({"product": 1, "sold": 2, "stock": 1, "note": null});
        let mut finding = Finding {
            format: FORMAT,
            deadheat: "0.0.0".to_owned(),
            target: "shop".to_owned(),
            target_folder: "targets/shop".to_owned(),
            engine: Engine::Sqlite,
            env: Vec::new(),
            oracle: "invariant".to_owned(),
            name: "no-oversell".to_owned(),
            says: "No product is sold more often than it was in stock.".to_owned(),
            seed: "7".to_owned(),
            calls: (2, 8),
            scenario: scenario(&[
                ("order", Role::Original),
                ("order", Role::Duplicate { of: 0 }),
            ]),
            schedule: None,
            violations: vec![Violation {
                oracle: "invariant".to_owned(),
                name: "no-oversell".to_owned(),
                says: "No product is sold more often than it was in stock.".to_owned(),
                rows: vec![row.as_object().cloned().unwrap_or_default()],
            }],
            history: History {
                calls: vec![
                    answered("order", None, 201, r#"{"id":1}"#),
                    answered("order", None, 201, r#"{"id":2}"#),
                ],
                ..History::default()
            },
            rate: Rate {
                hits: 37,
                tries: 100,
            },
            diverged: None,
            found_after_rounds: 3,
            found_after_s: 0.5,
            calls_before_shrinking: 5,
            known: false,
            file: Some("corpus/shop/a.json".to_owned()),
        };
        finding.scenario.race[0].actor = Some("alice".to_owned());
        console::set_colors_enabled(false);
        insta::assert_snapshot!(text(&finding));
        finding.scenario.migration = Some("note".to_owned());
        finding.history.calls[1].next = true;
        finding.history.migration = Some(Migrated {
            name: "note".to_owned(),
            error: Some("`ALTER TABLE t`: no".to_owned()),
            again: false,
        });
        finding.schedule = Some(Schedule::default());
        finding.history.steps = vec![Step {
            call: 2,
            action: Action::Begin,
            accesses: Vec::new(),
        }];
        let text = text(&finding);
        for told in [
            "the race, 2 calls and the migration `note` (",
            "1  order by alice on the first version  ->",
            "order, a duplicate of 1 on the next version  ->",
            "3  migration note  -> `ALTER TABLE t`: no",
            "2 order, next ",
            "3 migration note",
        ] {
            assert!(text.contains(told), "no {told:?} in {text}");
        }
    }
}
