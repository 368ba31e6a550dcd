//! Where values stand in an outcome, by name: `orders.id`, `pay $.items[*].price`.
//!
//! A place is the same in every round and for every call of an operation; what is
//! learned about one holds wherever it is met again.

use std::borrow::Cow;

use serde_json::Value;

use crate::model::Row;
use crate::model::outcome::{Reply, Trace, TraceKind};

/// What of an outcome is compared as one: an answer, a row, a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Reply(&'a Reply),
    Trace(&'a Trace),
}

impl Item<'_> {
    /// Calls `visit` with every scalar of the item and its place.
    pub(super) fn scalars(self, visit: &mut dyn FnMut(&str, &Value)) {
        match self {
            Item::Reply(reply) => scalars(&reply.body, &mut of_reply(reply), visit),
            Item::Trace(trace) => row_scalars(&trace.row, &trace.place, visit),
        }
    }

    /// Whether it is a row of this kind.
    pub(super) fn is(self, kind: TraceKind) -> bool {
        matches!(self, Item::Trace(trace) if trace.kind == kind)
    }
}

/// The place of a reply's body.
pub(super) fn of_reply(reply: &Reply) -> String {
    format!("{} $", reply.operation)
}

/// The place of a column, or of a field of an object.
pub(super) fn field(of: &str, name: &str) -> String {
    format!("{of}.{name}")
}

/// The place of what an array holds.
pub(super) fn elements(of: &str) -> String {
    format!("{of}[*]")
}

fn row_scalars(row: &Row, place: &str, visit: &mut dyn FnMut(&str, &Value)) {
    for (name, value) in row {
        scalars(value, &mut field(place, name), visit);
    }
}

fn scalars(value: &Value, place: &mut String, visit: &mut dyn FnMut(&str, &Value)) {
    let value = opened(value);
    let length = place.len();
    match value.as_ref() {
        Value::Object(fields) => {
            for (name, inner) in fields {
                place.push('.');
                place.push_str(name);
                scalars(inner, place, visit);
                place.truncate(length);
            }
        }
        Value::Array(items) => {
            place.push_str("[*]");
            for inner in items {
                scalars(inner, place, visit);
            }
            place.truncate(length);
        }
        scalar => visit(place, scalar),
    }
}

/// A text that is a JSON object or array, as what it holds.
pub(super) fn opened(value: &Value) -> Cow<'_, Value> {
    if let Value::String(text) = value
        && text.starts_with(['{', '['])
        && let Ok(inner) = serde_json::from_str(text)
    {
        return Cow::Owned(inner);
    }
    Cow::Borrowed(value)
}

/// A scalar as text: the number 7 and the text "7" are the same name of one thing.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}
