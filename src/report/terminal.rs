//! The run as a person watches it: a progress bar where there is a terminal,
//! plain lines where there is none. Progress goes to standard error, findings
//! and the last line to standard output.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::model::event::{Event, Listener, Summary};
use crate::model::finding::Rate;
use crate::report::finding;

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
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal {
            bar: ProgressBar::hidden(),
            attended: console::user_attended_stderr(),
            rounds: None,
            budget: None,
            last_line: Instant::now(),
        }
    }
}

impl Terminal {
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
                self.say(&format!(
                    "  {says} Violated by a race of {calls}; shrinking it"
                ));
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
        let _ = write!(text, ", {} of them at the gate,", summary.gated_rounds);
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
    if summary.inconclusive > 0 {
        let _ = writeln!(text, "{} rounds could not be judged:", summary.inconclusive);
        for (why, count) in &summary.inconclusive_why {
            let _ = writeln!(text, "  {count} x {why}");
        }
    }
    if summary.interrupted {
        text += "stopped before its budget was used\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
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
            extra_rounds: 40,
            inconclusive: 3,
            inconclusive_why: BTreeMap::from([("the database was busy".to_owned(), 3)]),
            elapsed_s: 12.34,
            interrupted: true,
            failure: None,
            findings: Vec::new(),
            explained_rounds: 5,
            latency: BTreeMap::new(),
        };
        insta::assert_snapshot!(ended(&summary));
    }

    #[test]
    fn progress_names_rate_and_findings() {
        let text = progress(100, Duration::from_millis(500), 1);
        assert_eq!(text, "100 rounds, 200/s, 1 finding");
    }
}
