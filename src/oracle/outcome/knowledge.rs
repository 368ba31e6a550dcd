//! What is known of the places where values stand: which hold something else each time
//! (generated ids, timestamps, tokens), which of these name the same things, and which
//! lists come in no fixed order.
//!
//! All of it is learned from rounds whose calls were made one at a time: what differs
//! between two rounds of one order is volatile, and no race had a hand in it. A column
//! is linked with another if each value that it was generated is one of the other's, in
//! every round; between two such rounds the database's counters are moved on, each by a
//! step of its own, so that equal numbers mean the same thing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::SystemTime;

use serde_json::Value;

use crate::model::allowance::Allowance;
use crate::model::outcome::{Outcome, Reply, Trace, TraceKind};
use crate::oracle::outcome::canon;
use crate::oracle::outcome::place::{Item, field, text};
use crate::oracle::outcome::time::{Present, is_time};

/// What is known of places, for as long as a hunt runs.
#[derive(Debug, Default)]
pub struct Knowledge {
    allowances: Vec<Allowance>,
    /// Columns that the database's counters fill.
    counters: BTreeSet<String>,
    /// Places that are declared to hold what a column generates.
    declared: Vec<(String, String)>,
    /// Places at which one request was answered differently in another order.
    moved: BTreeSet<String>,
    volatile: BTreeSet<String>,
    unordered: BTreeSet<String>,
    /// Whether what stands at the first place was always generated at the second.
    links: BTreeMap<(String, String), Link>,
    /// The kind of thing that a place names; one of its own for each place otherwise.
    classes: BTreeMap<String, usize>,
    /// Classes that a counter names.
    counted: BTreeSet<usize>,
    /// The time of the hunt: what is dated in it is another each time.
    present: Present,
    /// Changes with every thing learned.
    version: u64,
}

#[derive(Debug, Default)]
struct Link {
    is_broken: bool,
    /// Some of the values seen: one alone may be a coincidence.
    seen: BTreeSet<String>,
}

/// So many different values have to be seen at a place before it is taken for one that
/// holds what counters generate.
const SEEN: usize = 2;

/// What a value counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It has to be the same.
    Exact,
    /// It is another each time, and says nothing.
    Nothing,
    /// It names a thing of this class: wherever it stands, it has to be the same one.
    Name(usize),
}

/// Values that were the same in rounds between which all that is generated has changed:
/// ids of the fixtures, and what the requests say. By place.
#[derive(Debug, Default)]
pub struct Constants {
    constant: HashSet<(String, String)>,
    seen: HashSet<(String, String)>,
}

/// Values by place.
type Values = BTreeMap<String, BTreeSet<String>>;

impl Knowledge {
    /// What is known before the first round, which is about to begin.
    pub fn new(allowances: Vec<Allowance>, now: SystemTime) -> Knowledge {
        let mut knowledge = Knowledge {
            allowances,
            present: Present::from(now),
            ..Knowledge::default()
        };
        knowledge.classify();
        knowledge
    }

    /// A column is filled by a counter of its own, or refers to one that is.
    pub fn counted(&mut self, column: (&str, &str), refers_to: Option<(&str, &str)>) {
        let place = |(table, column): (&str, &str)| field(table, column);
        match refers_to {
            None => {
                self.counters.insert(place(column));
            }
            Some(other) => self.declared.push((place(column), place(other))),
        }
        self.classify();
    }

    /// Learns from the answers to one request in two different orders.
    pub(super) fn differ(&mut self, one: &Reply, other: &Reply) {
        let values = |reply: &Reply| {
            let mut values = Values::new();
            Item::Reply(reply).scalars(&mut |place, value| {
                let of_place = values.entry(place.to_owned()).or_default();
                of_place.insert(text(value).into_owned());
            });
            values
        };
        let (ones, others) = (values(one), values(other));
        for (place, values) in ones {
            if others.get(&place).is_some_and(|others| *others != values) {
                self.moved.insert(place);
            }
        }
    }

    /// Changes with every thing learned.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Learns from what a round left at two times, with no call in between, what the
    /// service changes of its own accord.
    pub fn compare_later(&mut self, at_once: &Outcome, later: &Outcome) {
        self.compare(at_once, later, &Constants::default());
    }

    /// Learns from two rounds of one order what they need not have had different.
    pub(super) fn compare(&mut self, one: &Outcome, other: &Outcome, constants: &Constants) {
        let (ones, others) = (multiset(one), multiset(other));
        let places: BTreeSet<&String> = ones.keys().chain(others.keys()).collect();
        let mut learned = false;
        for place in places {
            if ones.get(place) != others.get(place) && self.volatile.insert(place.clone()) {
                learned = true;
            }
        }
        for (one, other) in one.answers.iter().zip(&other.answers) {
            if let (Some(one), Some(other)) = (one, other) {
                let found = canon::unordered(self, constants, one, other);
                let known = self.unordered.len();
                self.unordered.extend(found);
                learned |= self.unordered.len() > known;
            }
        }
        if learned {
            self.classify();
        }
    }

    /// Learns from a round which places name the same things.
    pub(super) fn link(&mut self, outcome: &Outcome, constants: &Constants) {
        let mut new = Values::new();
        let mut all = Values::new();
        for item in current(outcome) {
            item.scalars(&mut |place, value| {
                if value.is_null() || value.is_boolean() || is_time(value) {
                    return;
                }
                let value = text(value).into_owned();
                all.entry(place.to_owned())
                    .or_default()
                    .insert(value.clone());
                if self.volatile.contains(place) && !constants.has(place, &value) {
                    new.entry(place.to_owned()).or_default().insert(value);
                }
            });
        }
        let generated = self.generated(outcome);
        let mut learned = false;
        for (one, values) in &new {
            for (other, others) in &new {
                if one != other {
                    learned |= self.look(one, other, values, values.is_subset(others));
                }
            }
        }
        // A counter that cannot be moved gives the same numbers in every round of one
        // order; an answer that holds one holds another when it comes at another time.
        for (one, values) in &all {
            for (other, others) in &generated {
                if !self.volatile.contains(one) && self.moved.contains(one) {
                    learned |= self.look(one, other, values, values.is_subset(others));
                }
            }
        }
        if learned {
            self.classify();
        }
    }

    /// Whether a link is new, or newly broken.
    fn look(&mut self, one: &str, other: &str, values: &BTreeSet<String>, holds: bool) -> bool {
        let link = self.links.entry((one.to_owned(), other.to_owned()));
        let link = link.or_default();
        if link.is_broken {
            return false;
        }
        let before = link.seen.len();
        link.is_broken = !holds;
        if holds && before < SEEN {
            link.seen.extend(values.iter().take(SEEN).cloned());
        }
        link.is_broken || link.seen.len() != before
    }

    /// Puts the places together that are linked.
    fn classify(&mut self) {
        self.version += 1;
        self.classes.clear();
        let mut classes: Vec<BTreeSet<&String>> = Vec::new();
        let linked = self.links.iter().filter(|((one, _), link)| {
            !link.is_broken && (link.seen.len() >= SEEN || self.volatile.contains(one))
        });
        let linked = linked.map(|(pair, _)| pair).chain(&self.declared);
        let pairs = linked.map(|(one, other)| BTreeSet::from([one, other]));
        let alone = self.counters.iter().map(|place| BTreeSet::from([place]));
        for mut class in pairs.chain(alone) {
            // A class that shares a place with another is the same one.
            classes.retain(|known| {
                let apart = known.is_disjoint(&class);
                if !apart {
                    class.extend(known.iter().copied());
                }
                apart
            });
            classes.push(class);
        }
        let is_counted =
            |class: &BTreeSet<&String>| class.iter().any(|p| self.counters.contains(*p));
        self.counted = (0..classes.len())
            .filter(|class| is_counted(&classes[*class]))
            .collect();
        self.classes = classes
            .iter()
            .enumerate()
            .flat_map(|(number, class)| class.iter().map(move |place| ((*place).clone(), number)))
            .collect();
    }

    /// What counters have generated in a round, by column.
    fn generated(&self, outcome: &Outcome) -> Values {
        let mut generated = Values::new();
        let mut before = Values::new();
        for trace in &outcome.traces {
            let values = match trace.kind {
                TraceKind::Added => &mut generated,
                TraceKind::Removed => &mut before,
                TraceKind::Asked => continue,
            };
            for (column, value) in &trace.row {
                let place = field(&trace.place, column);
                if self.counters.contains(&place) {
                    values
                        .entry(place)
                        .or_default()
                        .insert(text(value).into_owned());
                }
            }
        }
        for (place, values) in &mut generated {
            if let Some(before) = before.get(place) {
                values.retain(|value| !before.contains(value));
            }
        }
        generated
    }

    /// The names that counters have given in a round, by class.
    pub(super) fn names(&self, outcome: &Outcome) -> HashSet<(usize, String)> {
        let generated = self.generated(outcome);
        let of_place = |(place, values): (&String, &BTreeSet<String>)| {
            let class = self.classes.get(place).copied();
            let named: Vec<_> = class
                .into_iter()
                .flat_map(|class| values.iter().map(move |value| (class, value.clone())))
                .collect();
            named
        };
        generated.iter().flat_map(of_place).collect()
    }

    /// What a value counts for at its place.
    pub(super) fn worth(
        &self,
        place: &str,
        value: &Value,
        constants: &Constants,
        names: &HashSet<(usize, String)>,
    ) -> Worth {
        let class = self.classes.get(place).copied();
        let as_text = text(value).into_owned();
        match class {
            _ if value.is_null() => Worth::Exact,
            _ if self.present.has(value) => Worth::Nothing,
            Some(class) if names.contains(&(class, as_text.clone())) => Worth::Name(class),
            _ if !self.volatile.contains(place) => Worth::Exact,
            Some(class) if self.may_name(class, value) => {
                if constants.has(place, &as_text) {
                    Worth::Exact
                } else {
                    Worth::Name(class)
                }
            }
            _ => Worth::Nothing,
        }
    }

    /// Whether a value that is another each time can be a thing's own name.
    fn may_name(&self, class: usize, value: &Value) -> bool {
        !is_time(value) && (self.counted.contains(&class) || is_name(value))
    }

    /// Whether an allowance takes a place out of the comparison.
    pub(super) fn is_allowed(&self, place: &str) -> bool {
        let mut allowances = self.allowances.iter();
        allowances.any(|allowance| !allowance.order_only && allowance.covers(place))
    }

    /// Whether the order of a list does not count.
    pub(super) fn is_unordered(&self, place: &str) -> bool {
        let mut allowances = self.allowances.iter();
        self.unordered.contains(place)
            || allowances.any(|allowance| allowance.order_only && allowance.place == place)
    }
}

impl Constants {
    /// Adds a round of the scenario: what it shares with an earlier one is constant, and
    /// so is what was there before it.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let mut here = HashSet::new();
        for item in current(outcome) {
            item.scalars(&mut |place, value| {
                here.insert((place.to_owned(), text(value).into_owned()));
            });
        }
        self.constant.extend(here.intersection(&self.seen).cloned());
        self.seen.extend(here);
        self.add_before(outcome);
    }

    fn add_before(&mut self, outcome: &Outcome) {
        let removed = |trace: &&Trace| trace.kind == TraceKind::Removed;
        for trace in outcome.traces.iter().filter(removed) {
            Item::Trace(trace).scalars(&mut |place, value| {
                let value = (place.to_owned(), text(value).into_owned());
                self.constant.insert(value);
            });
        }
    }

    /// With the rows as they were before this outcome.
    pub(super) fn with(&self, outcome: &Outcome) -> Constants {
        let mut with = Constants {
            constant: self.constant.clone(),
            // Of use only to those that more rounds are added to.
            seen: HashSet::new(),
        };
        with.add_before(outcome);
        with
    }

    pub(super) fn has(&self, place: &str, value: &str) -> bool {
        self.constant
            .contains(&(place.to_owned(), value.to_owned()))
    }
}

/// All that is compared as one.
fn items(outcome: &Outcome) -> impl Iterator<Item = Item<'_>> {
    let replies = outcome.answers.iter().flatten().map(Item::Reply);
    replies.chain(outcome.traces.iter().map(Item::Trace))
}

/// What is there now.
fn current(outcome: &Outcome) -> impl Iterator<Item = Item<'_>> {
    items(outcome).filter(|item| !item.is(TraceKind::Removed))
}

/// How often each value stands at each place.
fn multiset(outcome: &Outcome) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut values: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for item in current(outcome) {
        item.scalars(&mut |place, value| {
            let of_place = values.entry(place.to_owned()).or_default();
            *of_place.entry(text(value).into_owned()).or_default() += 1;
        });
    }
    values
}

/// Whether a value that differs each time is long enough to be one thing's own name:
/// short ones coincide by chance.
fn is_name(value: &Value) -> bool {
    const SHORTEST: usize = 8;
    text(value).len() >= SHORTEST && !value.is_f64()
}
