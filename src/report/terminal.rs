//! The run as a person watches it: a progress bar where there is a terminal,
//! plain lines where there is none. Progress goes to standard error, findings
//! and the last line to standard output.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::model::event::{Event, Listener, Outcomes, Summary};
use crate::model::finding::Rate;
use crate::report::{coverage, faults, finding};

/// How often a line of progress is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells a run as it happens.
#[derive(Debug)]
pub struct Terminal {
    bar: ProgressBar,
    /// Whether a person looks on.
    attended: bool,
    rounds: Option<u64>,
    budget: Option<Duration>,
    last_line: Instant,
    /// Whether it was asked what each fault came to.
    faults: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal {
            bar: ProgressBar::hidden(),
            attended: console::user_attended_stderr(),
            rounds: None,
            budget: None,
            last_line: Instant::now(),
            faults: false,
        }
    }
}

impl Terminal {
    /// Tells at the end what each fault came to, if that was asked.
    #[must_use]
    pub fn with_faults(self, faults: bool) -> Terminal {
        Terminal { faults, ..self }
    }

    fn begin(&mut self, rounds: Option<u64>, budget: Option<Duration>) {
        (self.rounds, self.budget) = (rounds, budget);
        if !self.attended {
            return;
        }
        let (length, template) = match (rounds, budget) {
            (Some(rounds), None) => (rounds, "{spinner} [{wide_bar}] {msg}"),
            (_, Some(budget)) => (
                u64::try_from(budget.as_millis()).unwrap_or(u64::MAX),
                "{spinner} [{wide_bar}] {msg}",
            ),
            (None, None) => (0, "{spinner} {msg}"),
        };
        self.bar = ProgressBar::new(length);
        if let Ok(look) = ProgressStyle::with_template(template) {
            self.bar.set_style(look.progress_chars("=> "));
        }
    }

    fn progress(&mut self, rounds: u64, elapsed: Duration, findings: usize) {
        let text = progress(rounds, elapsed, findings);
        if self.attended {
            self.bar.set_message(text);
            match self.budget {
                Some(_) => {
                    let done = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                    self.bar.set_position(done);
                }
                None => self.bar.set_position(rounds),
            }
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            note(&text);
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| note(line));
    }
}

/// A reader that has gone away ends no run, so errors are passed over.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn print(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
    let _ = std::io::stdout().flush();
}

fn progress(rounds: u64, elapsed: Duration, findings: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // Rounds are far below 2^53.
    let per_second = rounds as f64 / elapsed.as_secs_f64().max(0.001);
    let findings = counted(findings, "finding");
    let rounds = counted(usize::try_from(rounds).unwrap_or(usize::MAX), "round");
    format!("{rounds}, {per_second:.0}/s, {findings}")
}

fn counted(number: usize, name: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

impl Listener for Terminal {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Preparing(what) => self.say(&format!("{} {what}", style("*").dim())),
            Event::RunStarted {
                target,
                engine,
                seed,
                rounds,
                budget,
            } => {
                self.say(&format!(
                    "{} racing {target} on {engine}, seed {seed}",
                    style("*").dim()
                ));
                self.begin(*rounds, *budget);
            }
            Event::CorpusTried {
                file,
                rate,
                not_offered,
            } => self.say(&tried_again(file, *rate, *not_offered)),
            Event::RoundDone {
                rounds,
                elapsed,
                findings,
            } => self.progress(*rounds, *elapsed, *findings),
            Event::Violated {
                violations, calls, ..
            } => {
                let says = violations.first().map_or("", |first| first.says.as_str());
                let by = match calls {
                    1 => "one call".to_owned(),
                    calls => format!("a race of {calls}"),
                };
                self.say(&format!("  {says} Violated by {by}; shrinking it"));
            }
            Event::Shrinking { candidates, calls } => {
                let text = format!("shrinking: {candidates} candidates, {calls} calls");
                self.bar.set_message(text);
            }
            Event::Found(found) => {
                let text = finding::text(found);
                self.bar.suspend(|| print(&format!("\n{text}\n")));
            }
            Event::Warning(text) => {
                self.say(&format!("{} {text}", style("warning:").yellow().bold()));
            }
            Event::RunEnded(summary) => {
                self.bar.finish_and_clear();
                if let Some(faults) = summary.faults.as_ref().filter(|_| self.faults) {
                    print(&format!("\n{}\n", faults::text(faults)));
                }
                if !summary.coverage.is_empty() {
                    print(&format!("\n{}\n", coverage::text(&summary.coverage)));
                }
                print(&ended(summary));
            }
        }
    }
}

fn tried_again(file: &str, rate: Rate, not_offered: bool) -> String {
    let how = if rate.hits > 0 {
        "fails still".to_owned()
    } else {
        format!("did not fail in {} tries", rate.tries)
    };
    if not_offered {
        format!(
            "  {file}: the service moves otherwise than when it was found; with other schedules of the same calls it {how}"
        )
    } else {
        format!("  {file}: {how}")
    }
}

fn ended(summary: &Summary) -> String {
    let mut text = format!(
        "{} in {:.1} s: {}",
        counted(summary.findings.len(), "finding"),
        summary.elapsed_s,
        counted(
            usize::try_from(summary.rounds).unwrap_or(usize::MAX),
            "round"
        ),
    );
    if summary.gated_rounds > 0 {
        let _ = write!(text, ", {} of them at the gate", summary.gated_rounds);
        if summary.mixed_rounds > 0 {
            let _ = write!(text, " ({} with a migration)", summary.mixed_rounds);
        }
        if summary.extra_rounds > 0 {
            text.push(',');
        }
    }
    if summary.extra_rounds > 0 {
        let _ = write!(
            text,
            " and {} to try, shrink and measure",
            summary.extra_rounds
        );
    }
    if summary.explained_rounds > 0 {
        let _ = write!(text, "; {} more showed the same", summary.explained_rounds);
    }
    let _ = writeln!(text, "; seed {}", summary.seed);
    text += &asked(&summary.outcomes);
    if summary.inconclusive > 0 {
        let _ = writeln!(text, "{} rounds could not be judged:", summary.inconclusive);
        for (why, count) in &summary.inconclusive_why {
            let _ = writeln!(text, "  {count} x {why}");
        }
    }
    if let Some(faults) = &summary.faults {
        let _ = writeln!(text, "{}", faults::line(faults));
    }
    if summary.interrupted {
        text += "stopped before its budget was used\n";
    }
    text
}

/// What came of asking for one-at-a-time orders.
fn asked(outcomes: &Outcomes) -> String {
    let mut text = String::new();
    if outcomes.one_by_one > 0 {
        let _ = writeln!(
            text,
            "{} rounds explained by a one-at-a-time order of their calls, {} not; it took {} rounds to tell",
            outcomes.explained, outcomes.unexplained, outcomes.one_by_one
        );
    }
    if !outcomes.unclear.is_empty() {
        let unclear: u64 = outcomes.unclear.values().sum();
        let _ = writeln!(
            text,
            "of {unclear} rounds it cannot be told if an order explains them:"
        );
        for (why, count) in &outcomes.unclear {
            let _ = writeln!(text, "  {count} x {why}");
        }
    }
    for allowance in &outcomes.allowances {
        let _ = writeln!(
            text,
            "allowed by `{}`: {} ({} is not compared)",
            allowance.name,
            allowance.says,
            if allowance.order_only {
                format!("the order of {}", allowance.place)
            } else {
                allowance.place.clone()
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::allowance::Allowance;
    use crate::model::engine::Engine;
    use std::collections::BTreeMap;

    #[test]
    fn the_end_says_what_was_done_and_what_could_not_be_judged() {
        let summary = Summary {
            deadheat: "0.0.0".to_owned(),
            target: "shop".to_owned(),
            engine: Engine::Postgres,
            seed: "7".to_owned(),
            rounds: 1000,
            gated_rounds: 800,
            mixed_rounds: 60,
            extra_rounds: 40,
            outcomes: Outcomes {
                explained: 700,
                unexplained: 1,
                unclear: BTreeMap::from([("a call of `pay` ended in doubt".to_owned(), 2)]),
                one_by_one: 900,
                allowances: vec![Allowance {
                    name: "paying".to_owned(),
                    says: "It shows for a moment.".to_owned(),
                    place: "list-orders $[*].status".to_owned(),
                    order_only: false,
                }],
            },
            inconclusive: 3,
            inconclusive_why: BTreeMap::from([("the database was busy".to_owned(), 3)]),
            elapsed_s: 12.34,
            interrupted: true,
            failure: None,
            findings: Vec::new(),
            explained_rounds: 5,
            checks_left_out: 0,
            faults: None,
            latency: BTreeMap::new(),
            coverage: Vec::new(),
            held_to: None,
        };
        insta::assert_snapshot!(ended(&summary));
    }

    #[test]
    fn progress_names_rate_and_findings() {
        let text = progress(100, Duration::from_millis(500), 1);
        assert_eq!(text, "100 rounds, 200/s, 1 finding");
    }
}
