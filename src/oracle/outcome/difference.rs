//! What departs from the nearest outcome that an order of the calls has, as rows that a
//! person reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Row;
use crate::model::outcome::{Outcome, Reply, Trace, TraceKind};
use crate::oracle::outcome::canon::Reader;
use crate::oracle::outcome::knowledge::{Constants, Knowledge, Worth};
use crate::oracle::outcome::known::{Known, Order};
use crate::oracle::outcome::place::{field, of_reply, text};
use crate::oracle::outcome::race::Race;

/// The nearest order, and how what is left departs from what it leaves.
#[derive(Debug)]
pub struct Difference {
    /// The order.
    pub order: Order,
    /// One row for each value that departs.
    pub rows: Vec<Row>,
}

/// The order whose outcome is nearest; `None` if none is known.
pub fn nearest(
    race: &Race,
    outcome: &Outcome,
    known: &Known,
    knowledge: &Knowledge,
) -> Option<Difference> {
    let constants = known.constants(outcome);
    let reader = Reader::new(knowledge, &constants, outcome);
    let alike = race.alike(outcome, &reader, false);
    let candidates = known.all().flat_map(|(requests, one_by_one)| {
        let orders = race.orders_of(requests, &alike).into_iter();
        orders.map(move |order| (order, one_by_one))
    });
    let nearest = candidates.min_by_key(|(order, one_by_one)| {
        let there = race.told_in_order(order, one_by_one);
        let parts = Reader::new(knowledge, &constants, &there).parts(&there);
        let here = race.told(order, outcome);
        let apart = reader.parts(&here).symmetric_difference(&parts).count();
        // Where calls came to the same ends, what is generated may be all that differs, and
        // everything does that refers to it: until that is learned, by making this very
        // order again, it looks far.
        (ends_apart(&here, &there), rows_apart(&here, &there), apart)
    });
    nearest.map(|(order, one_by_one)| {
        let here = race.told(&order, outcome);
        let there = race.told_in_order(&order, one_by_one);
        let sides = Sides {
            here: Reader::new(knowledge, &constants, &here),
            there: Reader::new(knowledge, &constants, &there),
            constants: &constants,
        };
        Difference {
            rows: sides.rows(&order, &here, &there),
            order,
        }
    })
}

/// How many calls were answered with another status. Whose client has left may have come
/// to any end.
fn ends_apart(here: &Outcome, there: &Outcome) -> usize {
    let both = here.answers.iter().zip(&there.answers);
    let answered = both.filter_map(|(one, other)| one.as_ref().zip(other.as_ref()));
    answered
        .filter(|(one, other)| one.status != other.status)
        .count()
}

/// How many rows more or fewer there are, table by table, whatever they hold.
fn rows_apart(here: &Outcome, there: &Outcome) -> usize {
    let mut counts: BTreeMap<(TraceKind, &str), isize> = BTreeMap::new();
    for (outcome, one) in [(here, 1), (there, -1)] {
        for trace in &outcome.traces {
            *counts.entry((trace.kind, &trace.place)).or_default() += one;
        }
    }
    counts.values().map(|count| count.unsigned_abs()).sum()
}

struct Sides<'a> {
    here: Reader<'a>,
    there: Reader<'a>,
    constants: &'a Constants,
}

impl Sides<'_> {
    fn rows(&self, order: &[usize], here: &Outcome, there: &Outcome) -> Vec<Row> {
        let mut rows = Vec::new();
        let answers = here.answers.iter().zip(&there.answers);
        for (call, (one, other)) in order.iter().zip(answers) {
            self.answers(*call, one.as_ref(), other.as_ref(), &mut rows);
        }
        for kind in [TraceKind::Added, TraceKind::Removed, TraceKind::Asked] {
            if kind != TraceKind::Removed || rows.is_empty() {
                self.traces(kind, here, there, &mut rows);
            }
        }
        if rows.is_empty() {
            // Each item has its twin, but they hang together otherwise.
            rows.push(row(
                "what refers to what",
                "",
                json!("other rows"),
                Value::Null,
            ));
        }
        rows
    }

    fn answers(
        &self,
        call: usize,
        one: Option<&Reply>,
        other: Option<&Reply>,
        rows: &mut Vec<Row>,
    ) {
        let (Some(one), Some(other)) = (one, other) else {
            return;
        };
        let whose = format!("answer of call {}", call + 1);
        if one.status != other.status {
            rows.push(row(
                &whose,
                "status",
                json!(one.status),
                json!(other.status),
            ));
        } else if self.here.reply(one) != self.there.reply(other) {
            match (&one.body, &other.body) {
                (Value::Object(ones), Value::Object(others)) => {
                    self.fields(&whose, &of_reply(one), ones, others, rows);
                }
                (one, other) => rows.push(row(&whose, "body", one.clone(), other.clone())),
            }
        }
    }

    /// The fields of two objects that differ.
    fn fields(&self, whose: &str, place: &str, ones: &Row, others: &Row, rows: &mut Vec<Row>) {
        let added = others.keys().filter(|name| !ones.contains_key(*name));
        for name in ones.keys().chain(added) {
            let (one, other) = (ones.get(name), others.get(name));
            if !self.is_same(&field(place, name), one, other) {
                let value = |value: Option<&Value>| value.cloned().unwrap_or_default();
                rows.push(row(whose, name, value(one), value(other)));
            }
        }
    }

    fn is_same(&self, place: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
        let one = one.map(|value| self.here.value(value, place));
        one == other.map(|value| self.there.value(value, place))
    }

    /// Rows, or requests, that one side has and the other has not: in pairs of the most
    /// alike, as far as there are two.
    fn traces(&self, kind: TraceKind, here: &Outcome, there: &Outcome, rows: &mut Vec<Row>) {
        let of_kind = |outcome: &'_ Outcome| -> Vec<Trace> {
            let traces = self.here.counted(outcome);
            traces.filter(|trace| trace.kind == kind).cloned().collect()
        };
        let (mut ones, mut others) = (of_kind(here), of_kind(there));
        let mut seen: Vec<u64> = others.iter().map(|other| self.there.trace(other)).collect();
        ones.retain(|one| {
            let one = self.here.trace(one);
            let twin = seen.iter().position(|other| *other == one);
            if let Some(twin) = twin {
                seen.swap_remove(twin);
                others.swap_remove(twin);
            }
            twin.is_none()
        });
        for one in &ones {
            let alike = |other: &Trace| {
                let fields = one.row.iter().filter(|(name, value)| {
                    self.is_same(&field(&one.place, name), Some(value), other.row.get(*name))
                });
                fields.count()
            };
            let mut candidates: Vec<usize> = (0..others.len()).collect();
            candidates.retain(|other| {
                others[*other].place == one.place && self.may_be_one(one, &others[*other])
            });
            let nearest = candidates
                .into_iter()
                .max_by_key(|other| alike(&others[*other]));
            if let Some(nearest) = nearest {
                let other = others.swap_remove(nearest);
                let whose = self.whose(one);
                self.fields(&whose, &one.place, &one.row, &other.row, rows);
            } else {
                let whole = telling(&self.here, one);
                rows.push(row(&one.place, of_whole(kind), whole, Value::Null));
            }
        }
        for other in &others {
            let whole = telling(&self.there, other);
            rows.push(row(&other.place, of_whole(kind), Value::Null, whole));
        }
    }

    /// Whether two rows can be one at two times: their first column says the same.
    fn may_be_one(&self, one: &Trace, other: &Trace) -> bool {
        let first = |trace: &Trace| {
            trace
                .row
                .iter()
                .next()
                .map(|(name, value)| (name.clone(), value.clone()))
        };
        match (first(one), first(other)) {
            (Some((name, value)), Some((_, others))) => {
                self.is_same(&field(&one.place, &name), Some(&value), Some(&others))
            }
            _ => true,
        }
    }

    /// A row by its first column.
    fn whose(&self, trace: &Trace) -> String {
        match trace.row.iter().next() {
            Some((name, value)) if trace.kind != TraceKind::Asked => {
                let place = field(&trace.place, name);
                let is_named = self.here.worth(&place, value) != Worth::Exact;
                let new = if is_named && !self.constants.has(&place, &text(value)) {
                    " (new)"
                } else {
                    ""
                };
                format!("{} {name}={}{new}", trace.place, text(value))
            }
            _ => trace.place.clone(),
        }
    }
}

/// A row, or a request, without what says nothing.
fn telling(reader: &Reader<'_>, trace: &Trace) -> Value {
    let tells = |(name, value): &(&String, &Value)| {
        reader.worth(&field(&trace.place, name), value) != Worth::Nothing
    };
    let fields = trace.row.iter().filter(tells);
    Value::Object(
        fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn of_whole(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::Added => "a row",
        TraceKind::Removed => "a row less",
        TraceKind::Asked => "a request",
    }
}

fn row(place: &str, name: &str, is: Value, one_by_one: Value) -> Row {
    let mut row = Row::new();
    row.insert("where".to_owned(), json!(place));
    row.insert("what".to_owned(), json!(name));
    row.insert("is".to_owned(), short(is));
    row.insert("one at a time".to_owned(), short(one_by_one));
    row
}

/// Objects as text: a table has one line a row.
fn short(value: Value) -> Value {
    match value {
        Value::Object(_) | Value::Array(_) => Value::String(value.to_string()),
        scalar => scalar,
    }
}
