//! `deadheat run`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::arguments::{NEEDS_GATE, Place, Required, calls, concerns, duration, seed};
use crate::corpus::Corpus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::hunt::{Hunt, Plan, Stop};
use crate::model::event::{Event, Listener, Summary};
use crate::report::coverage;
use crate::report::json::Json;
use crate::report::terminal::Terminal;
use crate::stage::{Options, Stage};
use crate::target::Target;

/// Rounds of a run that is given neither a number nor a time.
const ROUNDS: u64 = 4000;

/// The longest time to shrink one finding, and then to measure it.
const SHRINK_WITHIN: Duration = Duration::from_secs(20);
const MEASURE_WITHIN: Duration = Duration::from_secs(10);

/// How often a shrunk finding is tried to tell its rate.
const MEASURE: u32 = 100;

#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The target's folder, or its file
    target: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The most rounds [default: 4000, unless --for is given]
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// The longest time, such as 30s or 8h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// Where the scenarios come from [default: drawn, and told]
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// The fewest and the most calls of a race
    #[arg(long, value_name = "MIN..MAX", value_parser = calls, default_value = "2..8")]
    calls: (usize, usize),
    /// Nothing but faults: cut connections, refused statements, third parties that
    /// fail, clients that leave and processes that are killed, at every step of every
    /// operation, and then in races
    #[arg(long)]
    faults: bool,
    /// Fail unless every operation is covered for these concerns, separated by commas
    #[arg(long, value_name = "CONCERNS", value_delimiter = ',', value_parser = concerns())]
    require: Vec<Required>,
    /// Nothing but what needs no race: who may call, what is wrong with a request, pages,
    /// statement budgets
    #[arg(long, conflicts_with = "faults")]
    checks: bool,
    /// Write the whole run to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Record what the answers of this run look like, in contract.json or where the
    /// target file says, for later versions of the service to be held to
    #[arg(long)]
    record_contract: bool,
    /// Go on after the first finding
    #[arg(long)]
    keep_going: bool,
    /// The folder of the findings kept, with a folder a target
    #[arg(long, value_name = "FOLDER", default_value = "corpus")]
    corpus: PathBuf,
}

impl Run {
    pub(super) async fn run(self, stop: &Stop) -> Result<Exit, Failure> {
        let target = Target::load(&self.target)?;
        let mut json = match &self.json {
            Some(path) => Some(Json::new(path).map_err(|source| Failure::Report {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let mut terminal = Terminal::default().with_faults(self.faults);
        let plan = self.plan();
        let corpus = Corpus::new(&self.corpus, &target.name);
        let guard = Guard::start()?;
        let mut tell = |what| terminal.on(&Event::Preparing(what));
        let options = Options {
            records_contract: self.record_contract,
            ..self.place.options()
        };
        let opened = tokio::select! {
            opened = Stage::open(target, &options, &guard, &mut tell) => opened,
            () = stop.wait() => return Ok(Exit::Interrupted),
        };
        let mut stage = opened?;
        if self.faults && !stage.is_gated() {
            stage.close().await?;
            return Err(Failure::Arguments(format!("--faults {NEEDS_GATE}")));
        }
        let mut emit = |event: &Event| {
            terminal.on(event);
            if let Some(json) = &mut json {
                json.on(event);
            }
        };
        let hunt = Hunt::new(&mut stage, &plan, &corpus, stop, &mut emit);
        let (summary, failure) = Box::pin(hunt.run()).await;
        let recorded = match &failure {
            None if self.record_contract => record(&stage, &summary, &mut terminal),
            _ => Ok(()),
        };
        let closed = stage.close().await;
        if let (Some(path), Some(json)) = (self.json, json) {
            json.written()
                .map_err(|source| Failure::Report { path, source })?;
        }
        if let Some(held_to) = &summary.held_to {
            eprint!("{}", coverage::missing(&held_to.missing));
        }
        match failure {
            Some(failure) => Err(failure),
            None => closed.and(recorded).map(|()| exit(&summary)),
        }
    }

    fn plan(&self) -> Plan {
        let rounds = match (self.rounds, self.budget) {
            (None, None) => Some(ROUNDS),
            (rounds, _) => rounds,
        };
        Plan {
            seed: self.seed.unwrap_or_else(rand::random),
            rounds,
            budget: self.budget,
            calls: self.calls,
            faults: self.faults,
            checks: self.checks,
            keep_going: self.keep_going,
            shrink_within: SHRINK_WITHIN,
            measure: MEASURE,
            measure_within: MEASURE_WITHIN,
            env: self.place.env.clone(),
            target_folder: self.target.display().to_string(),
            required: Required::all_of(&self.require),
        }
    }
}

/// Keeps what a whole run has recorded: a part of one knows too little.
fn record(stage: &Stage, summary: &Summary, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut warn = |text: String| terminal.on(&Event::Warning(text));
    if summary.interrupted {
        warn("the run was stopped, so no contract was recorded".to_owned());
        return Ok(());
    }
    let Some(recorded) = stage.write_contract()? else {
        warn("no contract was recorded: no operation answered with JSON often enough".to_owned());
        return Ok(());
    };
    if !summary.findings.is_empty() {
        warn("this run had findings: what is recorded may be what is wrong".to_owned());
    }
    let path = recorded.path.display();
    let what = match recorded.operations {
        1 => format!("recorded what the answers of one operation look like: {path}"),
        many => format!("recorded what the answers of {many} operations look like: {path}"),
    };
    terminal.on(&Event::Preparing(what));
    Ok(())
}

fn exit(summary: &Summary) -> Exit {
    let held_to = summary.held_to.as_ref();
    let is_covered = held_to.is_none_or(|held_to| held_to.missing.is_empty());
    match (summary.findings.is_empty(), summary.interrupted) {
        (false, _) => Exit::Findings,
        (true, true) => Exit::Interrupted,
        (true, false) if is_covered => Exit::Clean,
        (true, false) => Exit::NotCovered,
    }
}
