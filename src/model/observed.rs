//! What was found in the database and at the stand-ins once every call had ended.

use serde::{Deserialize, Serialize};

use crate::model::Row;
use crate::model::history::Request;

/// Everything that the oracles judge besides the answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// One entry an invariant of the target file.
    pub invariants: Vec<InvariantRows>,
    /// One entry for each key that an operation with a `once` rule used.
    pub effects: Vec<Effects>,
    /// The rows that came and went, where the only call should have changed none.
    pub changes: Vec<Row>,
    /// The statements that the only call needed on the usual fixtures, where it was made
    /// on the larger ones.
    pub on_few_rows: Option<Vec<String>>,
    /// What answers break of what was agreed on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<Breach>,
}

/// One thing that an answer breaks of what was agreed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The operation.
    pub operation: String,
    /// The answer's status.
    pub status: u16,
    /// Where in the body: a JSON pointer with `*` for every index; empty for all of it.
    pub place: String,
    /// The kind in one word, such as `missing`: with the place, a cause.
    pub keyword: String,
    /// The kind in plain words.
    pub kind: String,
    /// The file that says so.
    pub source: String,
    /// What stands there instead, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The rows that break an invariant; none if it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvariantRows {
    /// The invariant's name in the target file.
    pub name: String,
    /// What it says, in the business's words.
    pub says: String,
    /// The rows that its query returned.
    pub rows: Vec<Row>,
}

/// The side effects that one idempotency key has caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// The operation that the key belongs to.
    pub operation: String,
    /// The key.
    pub key: String,
    /// One row a side effect.
    pub rows: Vec<Row>,
}

/// A call of the service to a stand-in for a third party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StubCall {
    /// The stand-in's name in the target file.
    pub stub: String,
    /// What was sent.
    pub request: Request,
}

impl StubCall {
    /// The idempotency key that the service sent along.
    pub fn idempotency_key(&self) -> Option<&str> {
        let mut headers = self.request.headers.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
            .map(|(_, value)| value.as_str())
    }

    /// Whether anything in the request bears this text: a key that the service
    /// passes on stands in a header, in the path or in the body, as it likes.
    pub fn mentions(&self, text: &str) -> bool {
        let request = &self.request;
        let mut headers = request.headers.iter();
        headers.any(|(_, value)| value.contains(text))
            || request.path.contains(text)
            || request.body.contains(text)
    }
}
