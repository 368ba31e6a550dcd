//! `deadheat replay`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::arguments::{NEEDS_GATE, Place, calls, seed};
use crate::corpus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::generate::Generator;
use crate::guard::Guard;
use crate::hunt::{Case, Halt, Stop, Trials};
use crate::model::event::{Event, Listener};
use crate::model::finding::{FORMAT, Finding, Rate};
use crate::model::scenario::Scenario;
use crate::model::verdict::Verdict;
use crate::report::finding;
use crate::report::terminal::Terminal;
use crate::stage::Stage;
use crate::target::{FILE_NAME, Target};

/// How often a finding is replayed, and how many orders of its steps are tried, unless
/// told otherwise.
const TIMES: u32 = 100;
const MOST_ORDERS: u32 = 10_000;

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// A kept finding's file, or the seed of a round
    what: String,
    /// How often; with --exhaustive, the most orders [default: 100, or 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    times: Option<u32>,
    /// Let the calls move in every order of their statements that can matter, instead
    /// of the one that was recorded
    #[arg(long)]
    exhaustive: bool,
    /// The target's folder or file [default: the finding's; for a seed, the
    /// present folder]
    #[arg(long, value_name = "TARGET")]
    target: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// For a seed: the fewest and the most calls of a race, as in its run
    #[arg(long, value_name = "MIN..MAX", value_parser = calls, default_value = "2..8")]
    calls: (usize, usize),
}

impl Replay {
    pub(super) async fn run(self, stop: &Stop) -> Result<Exit, Failure> {
        let kept = self.kept()?;
        let folder = match (&self.target, &kept) {
            (Some(target), _) => target.clone(),
            (None, Some(kept)) => PathBuf::from(&kept.target_folder),
            (None, None) => PathBuf::from("."),
        };
        if self.target.is_none() && kept.is_none() && !Path::new(FILE_NAME).exists() {
            return Err(Failure::Arguments(format!(
                "a seed makes a scenario of a target: name it with --target, \
                 or go to a folder that holds a {FILE_NAME}"
            )));
        }
        let target = Target::load(&folder)?;
        let mut options = self.place.options();
        if let Some(kept) = &kept {
            if options.database_url.is_none() {
                options.engine = options.engine.or(Some(kept.engine));
            }
            // What was found at the gate is made again there.
            options.gated &= kept.schedule.is_some() || self.exhaustive;
            // What the command line says comes later, and so wins.
            options.env = kept.env.iter().chain(&options.env).cloned().collect();
        }
        let guard = Guard::start()?;
        let mut terminal = Terminal::default();
        let mut tell = |what| terminal.on(&Event::Preparing(what));
        let opened = tokio::select! {
            opened = Stage::open(target, &options, &guard, &mut tell) => opened,
            () = stop.wait() => return Ok(Exit::Interrupted),
        };
        let mut stage = opened?;
        let has_fault = |kept: &Finding| !kept.scenario.faults.is_empty();
        if kept.as_ref().is_some_and(has_fault) && !stage.is_gated() {
            stage.close().await?;
            return Err(Failure::Arguments(format!(
                "the fault of {} {NEEDS_GATE}",
                self.what
            )));
        }
        let replayed = match self.finding(kept, &stage, &folder, options.env) {
            Ok(finding) if self.exhaustive => self.every_order(finding, &mut stage, stop).await,
            Ok(finding) => self.replay(finding, &mut stage, stop).await,
            Err(failure) => Err(failure),
        };
        let closed = stage.close().await;
        let exit = replayed?;
        closed.map(|()| exit)
    }

    /// The kept finding, if it is one that is to be replayed.
    fn kept(&self) -> Result<Option<Finding>, Failure> {
        let path = Path::new(&self.what);
        let looks_like_a_number = self.what.chars().all(|c| c.is_ascii_digit());
        if looks_like_a_number && !path.exists() {
            return match seed(&self.what) {
                Ok(_) => Ok(None),
                Err(why) => Err(Failure::Arguments(format!("`{}`: {why}", self.what))),
            };
        }
        if !path.exists() {
            return Err(Failure::Arguments(format!(
                "`{}` is neither the file of a finding nor a seed: there is no such file, and a \
                 seed is a whole number from 0 to {}",
                self.what,
                u64::MAX
            )));
        }
        Ok(Some(corpus::read(path)?))
    }

    /// What is replayed, as a finding: for a seed, one that has yet to be seen.
    fn finding(
        &self,
        kept: Option<Finding>,
        stage: &Stage,
        folder: &Path,
        env: Vec<(String, String)>,
    ) -> Result<Finding, Failure> {
        let mut finding = match kept {
            Some(kept) => kept,
            None => self.unseen(self.scenario(stage)?, stage, folder),
        };
        finding.env = env;
        stage
            .can_make(&finding.scenario)
            .map_err(|why| Failure::Arguments(format!("{} no longer fits: {why}", self.what)))?;
        Ok(finding)
    }

    fn scenario(&self, stage: &Stage) -> Result<Scenario, Failure> {
        let generator = Generator::new(stage.target(), stage.pools(), self.calls)?;
        let seed = seed(&self.what).map_err(Failure::Arguments)?;
        let tree = generator
            .tree(seed)
            .map_err(|why| Failure::Internal(why.to_string()))?;
        Ok(tree.current())
    }

    fn unseen(&self, scenario: Scenario, stage: &Stage, folder: &Path) -> Finding {
        Finding {
            format: FORMAT,
            deadheat: env!("CARGO_PKG_VERSION").to_owned(),
            target: stage.target().name.clone(),
            target_folder: folder.display().to_string(),
            engine: stage.engine(),
            env: Vec::new(),
            oracle: String::new(),
            name: String::new(),
            says: String::new(),
            seed: self.what.clone(),
            calls: self.calls,
            calls_before_shrinking: scenario.race.len(),
            scenario,
            schedule: None,
            violations: Vec::new(),
            history: crate::model::history::History::default(),
            rate: Rate::default(),
            diverged: None,
            found_after_rounds: 0,
            found_after_s: 0.0,
            known: false,
            file: None,
        }
    }

    async fn replay(
        &self,
        mut finding: Finding,
        stage: &mut Stage,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        finding.engine = stage.engine();
        let rules = finding.rules();
        let mut rate = Rate::default();
        let mut shown = None;
        let mut unjudged: BTreeMap<String, u32> = BTreeMap::new();
        let mut trials = Trials::new(stage, stop, None);
        let mut stopped = false;
        let times = self.times.unwrap_or(TIMES);
        while rate.tries < times && !trials.is_not_offered() {
            let round = match trials.once(Case::of(&finding)).await {
                Ok(round) => round,
                Err(Halt::Failed(failure)) => return Err(*failure),
                Err(Halt::Stopped) => {
                    stopped = true;
                    break;
                }
            };
            rate.tries += 1;
            if let Verdict::Inconclusive(why) = &round.verdict {
                *unjudged.entry(why.clone()).or_default() += 1;
            }
            if round.violates(&rules) {
                rate.hits += 1;
                shown = Some(round);
            }
        }
        let others = if trials.is_not_offered() && !stopped {
            match trials
                .other_schedules(&finding.scenario, &rules, times)
                .await
            {
                Ok(others) => Some(others),
                Err(Halt::Failed(failure)) => return Err(*failure),
                Err(Halt::Stopped) => return Ok(Exit::Interrupted),
            }
        } else {
            None
        };
        finding.rate = rate;
        finding.diverged = trials.left;
        if let Some(round) = shown {
            let first = round.violations().into_iter().next();
            if let Some(first) = first.filter(|_| rules.is_empty()) {
                (finding.oracle, finding.name) = (first.oracle, first.name);
                finding.says = first.says;
            }
            finding.show(Some(round));
            print!("\n{}", finding::text(&finding));
        }
        println!("\nfailed {} of {} times", rate.hits, rate.tries);
        for (why, times) in &unjudged {
            println!("{times} of them could not be judged: {why}");
        }
        if let Some((round, tried)) = others
            && tried > 0
        {
            let failed = round.is_some();
            finding.show(round);
            return Ok(with_others(finding, failed, tried));
        }
        let unclear: u32 = unjudged.values().sum();
        if let Some(why) = unjudged.into_keys().next_back()
            && rate.hits == 0
            && unclear == rate.tries
            && !stopped
        {
            return Err(Failure::NothingJudged {
                rounds: unclear.into(),
                why,
            });
        }
        Ok(match (rate.hits, stopped) {
            (1.., _) => Exit::Findings,
            (0, true) => Exit::Interrupted,
            (0, false) => Exit::Clean,
        })
    }
}

impl Replay {
    /// Tries every order of the finding's calls that can matter.
    async fn every_order(
        &self,
        mut finding: Finding,
        stage: &mut Stage,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        if !stage.is_gated() {
            return Err(Failure::Arguments(
                "--exhaustive decides the order at the gate: it needs PostgreSQL (`--engine \
                 postgres`), a service that deadheat starts, and no --free"
                    .to_owned(),
            ));
        }
        finding.engine = stage.engine();
        let most = self.times.unwrap_or(MOST_ORDERS).into();
        let mut trials = Trials::new(stage, stop, None);
        let every = trials
            .every_order(&finding.scenario, &finding.rules(), most)
            .await;
        let every = match every {
            Ok(every) => every,
            Err(Halt::Failed(failure)) => return Err(*failure),
            Err(Halt::Stopped) => return Ok(Exit::Interrupted),
        };
        let unclear: u64 = every.unjudged.values().sum();
        if let Some((why, _)) = every.unjudged.first_key_value()
            && unclear == trials.made
        {
            return Err(Failure::NothingJudged {
                rounds: unclear,
                why: why.clone(),
            });
        }
        let violating = every.violating;
        if every.round.is_some() {
            finding.rate = Rate {
                hits: u32::try_from(violating).unwrap_or(u32::MAX),
                tries: u32::try_from(trials.made).unwrap_or(u32::MAX),
            };
            finding.show(every.round);
            print!("\n{}", finding::text(&finding));
        }
        println!("\n{}, {violating} violations", every.says);
        for (why, times) in &every.unjudged {
            println!("{times} of them could not be judged: {why}");
        }
        Ok(match (violating, stop.asked()) {
            (1.., _) => Exit::Findings,
            (0, true) => Exit::Interrupted,
            (0, false) => Exit::Clean,
        })
    }
}

/// What other schedules of a finding's calls did, where its own is not on offer.
fn with_others(mut finding: Finding, failed: bool, tried: u32) -> Exit {
    println!(
        "The service moves otherwise than when this was found, so its schedule cannot be \
         followed. Other schedules of the same calls were tried, with few preemptions."
    );
    if !failed {
        println!("none of {tried} failed");
        return Exit::Clean;
    }
    finding.rate = Rate {
        hits: 1,
        tries: tried,
    };
    print!("\n{}", finding::text(&finding));
    println!("\nfailed with the last of {tried}");
    Exit::Findings
}
