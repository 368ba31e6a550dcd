//! Arguments that several commands share, and how their texts are read.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::generate::MOST_CALLS;
use crate::model::coverage::Concern;
use crate::model::engine::Engine;
use crate::stage::Options;

/// What is said of that which is done at the gate, where there is none.
pub(super) const NEEDS_GATE: &str = "strikes at the gate: it needs PostgreSQL (`--engine postgres`), a \
     service that deadheat starts, and no --free";

/// Where and how the target runs.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// The database engine: postgres or sqlite [default: the first of the
    /// target's that this machine can serve]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Use this database instead of a throw-away one
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Allow the database of --database-url to be reset, again and again
    #[arg(long, requires = "database_url")]
    pub reset_database: bool,
    /// Let all races run free: do not stand between the service and PostgreSQL to
    /// decide who moves when
    #[arg(long)]
    pub free: bool,
    /// Do not ask whether a one-at-a-time order of a race's calls explains what they
    /// leave
    #[arg(long)]
    pub no_outcome: bool,
    /// Override a variable of the service
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
}

impl Place {
    /// As the stage wants it.
    pub(super) fn options(&self) -> Options {
        Options {
            engine: self.engine,
            database_url: self.database_url.clone(),
            may_reset: self.reset_database,
            env: self.env.clone(),
            gated: !self.free,
            outcomes: !self.no_outcome,
            records_contract: false,
        }
    }
}

/// What `--require` names: one concern, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    One(Concern),
    All,
}

const ALL_CONCERNS: &str = "all";

impl Required {
    /// The concerns that are named, each once, in the order of the matrix.
    pub(super) fn all_of(required: &[Required]) -> Vec<Concern> {
        let is_named = |concern: &Concern| {
            required.contains(&Required::All) || required.contains(&Required::One(*concern))
        };
        Concern::ALL.into_iter().filter(is_named).collect()
    }
}

/// The name of a concern, or `all`. A wrong one is answered with the nearest.
pub(super) fn concerns() -> impl TypedValueParser<Value = Required> {
    let names = Concern::ALL.map(Concern::name).into_iter();
    PossibleValuesParser::new(names.chain([ALL_CONCERNS])).try_map(|name| {
        if name == ALL_CONCERNS {
            return Ok(Required::All);
        }
        name.parse::<Concern>().map(Required::One)
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE; NAME= sets it to nothing".to_owned()),
    }
}

/// `30s`, `5m`, `8h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write one such as 30s, 5m or 8h"))
}

/// `2..8`, both included, or one number.
pub(super) fn calls(text: &str) -> Result<(usize, usize), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let high = high.trim_start_matches('=');
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if 2 <= low && low <= high && high <= MOST_CALLS => Ok((low, high)),
        _ => Err(format!(
            "write the fewest and the most calls of a race, from 2 to {MOST_CALLS}, such as 2..8"
        )),
    }
}

/// A whole number of 64 bits.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_concerns_are_each_named_once() {
        let one = Required::One;
        let twice = [
            one(Concern::Rollback),
            one(Concern::Success),
            one(Concern::Rollback),
        ];
        let named = [Concern::Success, Concern::Rollback];
        assert_eq!(Required::all_of(&twice), named);
        assert_eq!(Required::all_of(&[Required::All]), Concern::ALL);
        assert_eq!(Required::all_of(&[]), []);
    }

    #[test]
    fn texts_are_read_or_refused_with_what_to_write() {
        assert_eq!(calls("2..8"), Ok((2, 8)));
        assert_eq!(calls("2..=8"), Ok((2, 8)));
        assert_eq!(calls("3"), Ok((3, 3)));
        assert!(calls("1..8").is_err() && calls("8..2").is_err() && calls("2..65").is_err());
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("A").is_err() && variable("=b").is_err());
        assert!(seed("-1").is_err() && seed("0x1").is_err());
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        assert!(duration("5 parsecs").is_err());
    }
}
