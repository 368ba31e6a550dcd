//! Why a concern of an operation is not covered, and what to do about it: a line of the
//! target file, or else something that is said in the reason itself.

use toml::Spanned;

use crate::hunt::coverage::{End, Gate, LooksFor, Seen, Setting, has_rule_of_rows};
use crate::model::coverage::{Cell, Concern, State};
use crate::model::engine::Engine;
use crate::target::{Operation, Target};

/// What a line to add shows as a first budget, where no call has shown what it needs.
const SOME_STATEMENTS: usize = 20;

/// A rule of rows, as a line to add.
const A_RULE: &str = "[invariants] NAME = { says = \"...\", sql = \"SELECT ...\" }";

/// All that a reason is told from.
pub(super) struct About<'a> {
    pub target: &'a Target,
    pub name: &'a str,
    pub of: &'a Operation,
    /// Whether third parties call it.
    pub calls_back: bool,
    pub setting: &'a Setting,
    pub has_statements: bool,
    pub seen: &'a Seen,
    pub end: End,
}

/// Why not.
enum Not {
    /// It could be, if this is done.
    Covered(String, Option<String>),
    /// There is nothing to cover.
    Applicable(&'static str),
}

impl About<'_> {
    /// Says of a cell without a finding whether it is covered, and if not, why not.
    pub(super) fn judge(&self, cell: &mut Cell) {
        let nothing = self.nothing_to_cover(cell.concern);
        let not = match nothing {
            Some(why) => Not::Applicable(why),
            None if cell.rounds > 0 => {
                cell.state = State::Covered;
                return;
            }
            None => self.why_not(cell.concern),
        };
        match not {
            Not::Covered(why, add) => {
                (cell.state, cell.why, cell.add) = (State::NotCovered, Some(why), add);
            }
            Not::Applicable(why) => {
                cell.rounds = 0;
                (cell.state, cell.why) = (State::NotApplicable, Some(why.to_owned()));
            }
        }
    }

    fn nothing_to_cover(&self, concern: Concern) -> Option<&'static str> {
        match concern {
            Concern::Persistence if self.seen.only_reads() => Some("it only reads"),
            Concern::ValidationFailure if !self.has_body() && !self.has_value_in_path() => {
                Some("its request has neither a body nor a value in its path to spoil")
            }
            _ => None,
        }
    }

    fn has_body(&self) -> bool {
        let section = &self.of.section;
        section.body.is_some() || section.form.is_some() || section.raw.is_some()
    }

    fn has_value_in_path(&self) -> bool {
        let names = self.target.templates.names(&self.of.path);
        let shared = &self.target.file.shared;
        let is_value =
            |name: &String| self.of.section.values.contains_key(name) || shared.contains_key(name);
        names.unwrap_or_default().iter().any(is_value)
    }

    fn why_not(&self, concern: Concern) -> Not {
        if !self.of.section.race {
            return self.not_raced();
        }
        match concern {
            Concern::Success => self.success(),
            Concern::ValidationFailure => self.validation(),
            Concern::Authorization => self.authorization(),
            Concern::Persistence => self.persistence(),
            Concern::Rollback => self.rollback(),
            Concern::Duplicate | Concern::Concurrency => self.unless(LooksFor::Checks),
            Concern::Contract => self.contract(),
            Concern::StatementBudget => self.statement_budget(),
        }
    }

    fn not_raced(&self) -> Not {
        let why = if self.calls_back {
            "only third parties call it (`race = false`), and no round counts their calls; leave \
             that out, and name the `values` that its templates use"
        } else {
            "`race = false` keeps it out of all races and checks; leave that out"
        };
        Not::Covered(why.to_owned(), None)
    }

    fn success(&self) -> Not {
        let most = self.seen.failed.iter().max_by_key(|(_, calls)| **calls);
        let (Some((status, _)), true) = (most, self.seen.judged > 0) else {
            return self.ended();
        };
        let how = match status {
            Some(status) => format!("most were answered {status}"),
            None => "most were not answered".to_owned(),
        };
        let look = "look at its request, its `values`, and the rows that these are drawn from";
        Not::Covered(format!("no call of it succeeded, {how}; {look}"), None)
    }

    fn validation(&self) -> Not {
        if self.of.section.form.is_some() && !self.has_value_in_path() {
            let why = "its body is a form, and only JSON and values in the path are spoiled";
            return Not::Covered(why.to_owned(), None);
        }
        if self.seen.spoiled > 0 {
            let why = "no request that was wrong on purpose was answered 4xx";
            return Not::Covered(why.to_owned(), None);
        }
        self.unless(LooksFor::Faults)
    }

    fn authorization(&self) -> Not {
        if self.of.section.allow.is_some() {
            return self.unless(LooksFor::Faults);
        }
        let own = self
            .of
            .section
            .actors
            .iter()
            .flatten()
            .map(Spanned::get_ref);
        let Some(actor) = own.chain(self.target.file.actors.keys()).next() else {
            let why = "the file names no actors, and so no `allow`";
            let ann = "[actors.ann] headers = { Authorization = \"Bearer token-of-ann\" }";
            return Not::Covered(why.to_owned(), Some(ann.to_owned()));
        };
        let allow = format!("allow = [{{ actors = [\"{actor}\"] }}]");
        Not::Covered(
            "no `allow` in the file".to_owned(),
            Some(self.own_line(&allow)),
        )
    }

    fn persistence(&self) -> Not {
        if self.seen.rounds_of(Concern::Success) == 0 {
            return self.success();
        }
        let is_ruled = has_rule_of_rows(self.target, &self.of.section);
        if !self.setting.outcomes && !is_ruled {
            let why = "`--no-outcome` compares nothing, and the file has no `[invariants]`; run \
                       without it";
            return Not::Covered(why.to_owned(), Some(A_RULE.to_owned()));
        }
        if self.seen.rounds_of(Concern::Concurrency) == 0 {
            return self.unless(LooksFor::Checks);
        }
        let why = "of no round in which it succeeded could it be told whether an order of the \
                   calls explains what they left";
        Not::Covered(why.to_owned(), Some(A_RULE.to_owned()))
    }

    fn rollback(&self) -> Not {
        if let Some(not) = self.no_gate("no fault strikes") {
            return not;
        }
        match self.end {
            End::Budget if self.setting.looks_for != LooksFor::Checks => Not::Covered(
                "the run ended before a fault struck a call of it; give it more rounds \
                 (`--rounds`) or time (`--for`), or try nothing but faults (`--faults`)"
                    .to_owned(),
                None,
            ),
            _ => self.unless(LooksFor::Checks),
        }
    }

    fn contract(&self) -> Not {
        if self.setting.contract.contains(self.name) {
            return self.ended();
        }
        match &self.target.file.contract.openapi {
            None => Not::Covered(
                "no contract in the file".to_owned(),
                Some("[contract] openapi = \"openapi.yaml\"".to_owned()),
            ),
            Some(openapi) => Not::Covered(
                format!("{} does not describe it", openapi.get_ref()),
                Some(self.own_line("schemas.200 = \"schema.json\"")),
            ),
        }
    }

    fn statement_budget(&self) -> Not {
        if let Some(not) = self.no_gate("no statement is counted") {
            return not;
        }
        let is_grown = !self.target.file.database.grown.is_empty();
        if self.of.section.max_statements.is_none() && !is_grown {
            let most = match self.seen.statements {
                0 => SOME_STATEMENTS,
                needed => needed,
            };
            return Not::Covered(
                "no `max_statements` in the file".to_owned(),
                Some(self.own_line(&format!("max_statements = {most}"))),
            );
        }
        self.unless(LooksFor::Faults)
    }

    /// Why nothing is done at the gate, if nothing is.
    fn no_gate(&self, so: &str) -> Option<Not> {
        let takes_postgres = self.target.engines.contains(&Engine::Postgres);
        let (why, add) = match self.setting.gate {
            Gate::Stands if self.has_statements || self.seen.made == 0 => return None,
            Gate::Stands => (
                format!(
                    "no statement of the service's came through the gate, so {so}; give it \
                     `{{{{ database.url }}}}`"
                ),
                Some("[service] env.DATABASE_URL = \"{{ database.url }}\""),
            ),
            Gate::Sqlite if takes_postgres => (
                format!("no gate stands before SQLite, so {so}; run it with `--engine postgres`"),
                None,
            ),
            Gate::Sqlite => (
                format!(
                    "no gate stands before SQLite, so {so}; let the service run on PostgreSQL \
                     if it can"
                ),
                Some("[database] engines = [\"postgres\", \"sqlite\"]"),
            ),
            Gate::RunsAlready => (
                format!(
                    "the service runs already and goes past any gate, so {so}; let deadheat \
                     start it, without `urls`"
                ),
                Some("[service] start = \"exec ./my-service\""),
            ),
            Gate::Free => (
                format!("`--free` goes without the gate, so {so}; run without it"),
                None,
            ),
        };
        Some(Not::Covered(why, add.map(str::to_owned)))
    }

    /// Why it had no turn in a run, of which one that looks for nothing but this has none
    /// to give.
    fn unless(&self, other: LooksFor) -> Not {
        let why = match other {
            _ if self.setting.looks_for != other => return self.ended(),
            LooksFor::All => return self.ended(),
            LooksFor::Faults => "`--faults` tries nothing but faults; run without it as well",
            LooksFor::Checks => "`--checks` makes neither races nor faults; run without it as well",
        };
        Not::Covered(why.to_owned(), None)
    }

    /// It would have had its turn, or a round that can be judged.
    fn ended(&self) -> Not {
        let why = match self.end {
            _ if self.seen.made > 0 && self.seen.judged == 0 => {
                "no round with a call of it could be judged"
            }
            End::Failed => "the environment failed before its turn",
            End::Stopped => "the run was stopped before its turn",
            End::FirstFinding => {
                "the run ended with its first finding, before its turn; go on with `--keep-going`"
            }
            End::Budget => {
                "the run ended before its turn; give it more rounds (`--rounds`) or time (`--for`)"
            }
        };
        Not::Covered(why.to_owned(), None)
    }

    /// A line for the operation's own table.
    fn own_line(&self, line: &str) -> String {
        let mut plain = self.name.chars();
        let name = if plain.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            self.name.to_owned()
        } else {
            format!("{:?}", self.name)
        };
        format!("[operations.{name}] {line}")
    }
}
