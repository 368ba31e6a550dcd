//! Taking a value out of an answer.

use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::model::history::Answer;

/// Where a value is taken from.
#[derive(Debug)]
pub(crate) enum Extract {
    Json(Box<JsonPath>),
    Regex(Regex),
    Header(String),
}

impl Extract {
    /// The first value found, if any.
    pub(crate) fn from(&self, answer: &Answer) -> Option<Value> {
        match self {
            Extract::Json(path) => {
                let body: Value = serde_json::from_str(&answer.body).ok()?;
                path.query(&body).first().cloned()
            }
            Extract::Regex(regex) => {
                let found = regex.captures(&answer.body)?;
                let group = found.get(1).or_else(|| found.get(0))?;
                Some(Value::String(group.as_str().to_owned()))
            }
            Extract::Header(name) => answer
                .headers
                .iter()
                .find(|(header, _)| header.eq_ignore_ascii_case(name))
                .map(|(_, value)| Value::String(value.clone())),
        }
    }
}
