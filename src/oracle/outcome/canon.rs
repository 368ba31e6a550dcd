//! An outcome in a form in which two that mean the same are equal: what is volatile has
//! lost its value, and what names a thing stands for all that is told of that thing.
//!
//! Names are refined as in colour refinement (Weisfeiler and Leman, 1968): a name is
//! what stands around it, an item is its values and its names, and so on, a few times.
//! Two outcomes that differ in nothing but names may thus be taken for equal where only
//! a long way round tells them apart; never the other way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::model::outcome::{Outcome, Reply, Trace};
use crate::oracle::outcome::knowledge::{Constants, Knowledge, Worth};
use crate::oracle::outcome::place::{Item, elements, field, of_reply, opened, text};

/// How often names are refined: references of references of references.
const REFINEMENTS: usize = 3;

/// Equal for two outcomes that mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canon {
    /// By call; `None` where there was no answer.
    pub(super) answers: Vec<Option<u64>>,
    /// By kind, place and content, sorted.
    pub(super) traces: Vec<u64>,
}

/// Reads an outcome, or a part of it.
pub(super) struct Reader<'a> {
    knowledge: &'a Knowledge,
    constants: &'a Constants,
    generated: HashSet<(usize, String)>,
    /// What is known so far of each name.
    names: HashMap<(usize, String), u64>,
}

impl<'a> Reader<'a> {
    /// A reader who knows nothing of names yet.
    pub(super) fn new(
        knowledge: &'a Knowledge,
        constants: &'a Constants,
        outcome: &Outcome,
    ) -> Reader<'a> {
        Reader {
            knowledge,
            constants,
            generated: knowledge.names(outcome),
            names: HashMap::new(),
        }
    }

    /// The outcome as a whole.
    pub(super) fn read(mut self, outcome: &Outcome) -> Canon {
        for _ in 0..REFINEMENTS {
            let mut around: BTreeMap<(usize, String), Vec<u64>> = BTreeMap::new();
            for (call, reply) in outcome.answers.iter().enumerate() {
                if let Some(reply) = reply {
                    let whole = hashed(&(call, self.reply(reply)));
                    self.occurrences(&reply.body, &of_reply(reply), whole, &mut around);
                }
            }
            for trace in self.counted(outcome) {
                let whole = self.trace(trace);
                for (column, value) in &trace.row {
                    self.occurrences(value, &field(&trace.place, column), whole, &mut around);
                }
            }
            self.names = around
                .into_iter()
                .map(|(name, mut seen)| {
                    seen.sort_unstable();
                    (name, hashed(&seen))
                })
                .collect();
        }
        let answers = outcome.answers.iter();
        let answers = answers.map(|reply| Some(self.reply(reply.as_ref()?)));
        let answers = answers.collect();
        let mut traces: Vec<u64> = self
            .counted(outcome)
            .map(|trace| self.trace(trace))
            .collect();
        traces.sort_unstable();
        Canon { answers, traces }
    }

    /// The rows and requests that are compared.
    pub(super) fn counted<'o>(&self, outcome: &'o Outcome) -> impl Iterator<Item = &'o Trace> {
        let traces = outcome.traces.iter();
        traces.filter(|trace| !self.knowledge.is_allowed(&trace.place))
    }

    /// Answers, rows and requests, each by itself: the n-th that is the same is its own.
    pub(super) fn parts(&self, outcome: &Outcome) -> BTreeSet<(u64, usize)> {
        let answers = outcome.answers.iter().enumerate();
        let answers = answers
            .map(|(at, answer)| hashed(&(at, answer.as_ref().map(|answer| self.reply(answer)))));
        let traces = self.counted(outcome).map(|trace| self.trace(trace));
        let mut seen: HashMap<u64, usize> = HashMap::new();
        answers
            .chain(traces)
            .map(|part| {
                let count = seen.entry(part).or_default();
                *count += 1;
                (part, *count)
            })
            .collect()
    }

    /// One answer. Before names are refined: as far as it tells without them.
    pub(super) fn reply(&self, reply: &Reply) -> u64 {
        let body = self.value(&reply.body, &of_reply(reply));
        hashed(&(&reply.operation, reply.status, body))
    }

    /// Whether an answer bears the name of a thing.
    pub(super) fn names_something(&self, reply: &Reply) -> bool {
        let mut names = false;
        Item::Reply(reply).scalars(&mut |place, value| {
            names |= matches!(self.worth(place, value), Worth::Name(_));
        });
        names
    }

    /// One row, or one request.
    pub(super) fn trace(&self, trace: &Trace) -> u64 {
        let mut fields: Vec<(&String, u64)> = trace
            .row
            .iter()
            .map(|(column, value)| (column, self.value(value, &field(&trace.place, column))))
            .collect();
        fields.sort_unstable();
        hashed(&(trace.kind, &trace.place, fields))
    }

    /// One value at its place.
    pub(super) fn value(&self, value: &Value, place: &str) -> u64 {
        if self.knowledge.is_allowed(place) {
            return 0;
        }
        let value = opened(value);
        match value.as_ref() {
            Value::Object(fields) => {
                let mut fields: Vec<(&String, u64)> = fields
                    .iter()
                    .map(|(name, inner)| (name, self.value(inner, &field(place, name))))
                    .collect();
                fields.sort_unstable();
                hashed(&fields)
            }
            Value::Array(items) => {
                let inner = elements(place);
                let items = items.iter().map(|item| self.value(item, &inner));
                let mut items: Vec<u64> = items.collect();
                if self.knowledge.is_unordered(place) {
                    items.sort_unstable();
                }
                hashed(&items)
            }
            scalar => match self.worth(place, scalar) {
                Worth::Exact => hashed(&scalar.to_string()),
                Worth::Nothing => 1,
                Worth::Name(class) => {
                    let name = (class, text(scalar).into_owned());
                    hashed(&(class, self.names.get(&name)))
                }
            },
        }
    }

    /// What a scalar counts for.
    pub(super) fn worth(&self, place: &str, scalar: &Value) -> Worth {
        self.knowledge
            .worth(place, scalar, self.constants, &self.generated)
    }

    /// Adds where each name stands in a value.
    fn occurrences(
        &self,
        value: &Value,
        place: &str,
        whole: u64,
        around: &mut BTreeMap<(usize, String), Vec<u64>>,
    ) {
        if self.knowledge.is_allowed(place) {
            return;
        }
        match opened(value).as_ref() {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    self.occurrences(inner, &field(place, name), whole, around);
                }
            }
            Value::Array(items) => {
                for inner in items {
                    self.occurrences(inner, &elements(place), whole, around);
                }
            }
            scalar => {
                if let Worth::Name(class) = self.worth(place, scalar) {
                    let name = (class, text(scalar).into_owned());
                    around
                        .entry(name)
                        .or_default()
                        .push(hashed(&(place, whole)));
                }
            }
        }
    }
}

/// The lists of two answers that hold the same in another order.
pub(super) fn unordered(
    knowledge: &Knowledge,
    constants: &Constants,
    one: &Reply,
    other: &Reply,
) -> Vec<String> {
    let reader = Reader::new(knowledge, constants, &Outcome::default());
    let mut found = Vec::new();
    let mut open = vec![(of_reply(one), one.body.clone(), other.body.clone())];
    while let Some((place, one, other)) = open.pop() {
        match (&one, &other) {
            (Value::Object(ones), Value::Object(others)) => {
                for (name, inner) in ones {
                    if let Some(others) = others.get(name) {
                        open.push((field(&place, name), inner.clone(), others.clone()));
                    }
                }
            }
            (Value::Array(ones), Value::Array(others)) => {
                let inner = elements(&place);
                let read = |items: &[Value]| {
                    let items = items.iter().map(|item| reader.value(item, &inner));
                    items.collect::<Vec<u64>>()
                };
                let (mut as_one, mut as_other) = (read(ones), read(others));
                if as_one != as_other {
                    as_one.sort_unstable();
                    as_other.sort_unstable();
                    if as_one == as_other {
                        found.push(place);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn hashed(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
