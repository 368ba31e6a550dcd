//! Which columns names stand for, and what is known of their values.
//!
//! A fact holds for every row of a table that can make a difference to the
//! statement; where that is not certain, there is no fact. Knows conditions, and
//! not what is done with the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sqlparser::ast::{BinaryOperator, Expr, InTarget, JoinConstraint, JoinOperator};

use super::catalog::{Table, folded, parts};
use super::keys::{Kind, Known, MOST_VALUES, Parameters, narrow};

/// One relation of a `FROM`.
#[derive(Debug)]
pub(super) struct Relation<'a> {
    /// What columns are qualified by.
    pub(super) alias: String,
    /// What is touched through it.
    pub(super) touched: Option<&'a Table>,
    /// Its columns, if they have the table's names; else it may have any.
    pub(super) columns: Option<&'a Table>,
}

type Place = (usize, String);
type Facts = BTreeMap<Place, BTreeSet<String>>;

/// The relations that names are looked up in.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) relations: Vec<Relation<'a>>,
    facts: Facts,
    /// What holds for the second holds for the first.
    same: Vec<(Place, Place)>,
    outer: Option<&'a Scope<'a>>,
}

/// A column, and what it is.
enum Column<'s> {
    Own(Place, Kind),
    /// Of an outer query, with the values that it may have.
    Outer(&'s BTreeSet<String>, Kind),
}

/// It cannot be told whose column a name is.
struct Unclear;

impl<'a> Scope<'a> {
    pub(super) fn within(outer: Option<&'a Scope<'a>>) -> Scope<'a> {
        Scope {
            outer,
            ..Scope::default()
        }
    }

    /// What is known of a relation's rows.
    pub(super) fn known(&self, relation: usize) -> Known {
        let of_it = self.facts.iter().filter(|((at, _), _)| *at == relation);
        of_it
            .map(|((_, column), values)| (column.clone(), values.clone()))
            .collect()
    }

    fn column(&self, expression: &Expr) -> Option<Column<'_>> {
        let (qualifier, name) = match expression {
            Expr::Nested(inner) => return self.column(inner),
            Expr::Identifier(name) => (None, folded(name)),
            Expr::CompoundIdentifier(path) => match path.as_slice() {
                [.., qualifier, name] => (Some(folded(qualifier)), folded(name)),
                _ => return None,
            },
            _ => return None,
        };
        let mut scope = self;
        let mut own = true;
        loop {
            let found = match &qualifier {
                Some(qualifier) => scope.relations.iter().position(|r| r.alias == *qualifier),
                None => scope.only_one_with(&name).ok()?,
            };
            if let Some(at) = found {
                let kind = scope.relations[at].columns?.kind(&name)?;
                return if own {
                    Some(Column::Own((at, name), kind))
                } else {
                    let values = scope.facts.get(&(at, name))?;
                    Some(Column::Outer(values, kind))
                };
            }
            scope = scope.outer?;
            own = false;
        }
    }

    /// The relation that has a column, if there is one here.
    fn only_one_with(&self, column: &str) -> Result<Option<usize>, Unclear> {
        let mut found = None;
        for (at, relation) in self.relations.iter().enumerate() {
            let has = relation.columns.ok_or(Unclear)?.kind(column).is_some();
            if has && found.replace(at).is_some() {
                return Err(Unclear);
            }
        }
        Ok(found)
    }

    /// Takes in the condition of a `WHERE`.
    pub(super) fn learn(&mut self, condition: &Expr, parameters: Parameters<'_>) {
        self.learn_for(condition, parameters, |_| true);
    }

    /// Takes in the condition of a join between two ranges of relations.
    pub(super) fn learn_join(
        &mut self,
        operator: &JoinOperator,
        left: &Range<usize>,
        right: &Range<usize>,
        parameters: Parameters<'_>,
    ) {
        use JoinOperator::{CrossJoin, Inner, Join, Left, LeftOuter, Right, RightOuter};
        // Which rows the condition chooses among: those of an outer side stay
        // whatever it says.
        let (chosen, constraint) = match operator {
            Join(constraint) | Inner(constraint) | CrossJoin(constraint) => {
                (left.start..right.end, constraint)
            }
            Left(constraint) | LeftOuter(constraint) => (right.clone(), constraint),
            Right(constraint) | RightOuter(constraint) => (left.clone(), constraint),
            _ => return,
        };
        let chosen = |at: usize| chosen.contains(&at);
        match constraint {
            JoinConstraint::On(condition) => self.learn_for(condition, parameters, chosen),
            JoinConstraint::Using(columns) => {
                for column in columns {
                    let name = parts(column).pop().unwrap_or_default();
                    let place = |range: &Range<usize>| {
                        let has = |at: &usize| {
                            let columns = self.relations[*at].columns;
                            columns.is_some_and(|table| table.kind(&name).is_some())
                        };
                        let opaque = |at: usize| self.relations[at].columns.is_none();
                        let mut with = range.clone().filter(has);
                        let first = with.next()?;
                        let only = with.next().is_none() && !range.clone().any(opaque);
                        only.then_some((first, name.clone()))
                    };
                    if let (Some(one), Some(other)) = (place(left), place(right)) {
                        self.equate(one, other, chosen);
                    }
                }
            }
            _ => {}
        }
    }

    fn equate(&mut self, one: Place, other: Place, chosen: impl Fn(usize) -> bool) {
        let kind = |place: &Place| self.relations[place.0].columns?.kind(&place.1);
        let (Some(kind), Some(others)) = (kind(&one), kind(&other)) else {
            return;
        };
        if !kind.is_like(others) || kind == Kind::Other {
            return;
        }
        if chosen(one.0) {
            self.same.push((one.clone(), other.clone()));
        }
        if chosen(other.0) {
            self.same.push((other, one));
        }
    }

    fn learn_for(
        &mut self,
        condition: &Expr,
        parameters: Parameters<'_>,
        chosen: impl Fn(usize) -> bool + Copy,
    ) {
        for (place, values) in self.facts_of(condition, parameters) {
            if chosen(place.0) {
                narrow(&mut self.facts, place, &values);
            }
        }
        let mut pairs = Vec::new();
        conjuncts(condition, &mut |conjunct| {
            if let Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } = conjunct
                && let (Some(Column::Own(one, _)), Some(Column::Own(other, _))) =
                    (self.column(left), self.column(right))
            {
                pairs.push((one, other));
            }
        });
        for (one, other) in pairs {
            self.equate(one, other, chosen);
        }
    }

    /// Lets what is known of a column be known of those equal to it.
    pub(super) fn spread(&mut self) {
        // Each pass reaches one equality further.
        for _ in 0..self.same.len() {
            for at in 0..self.same.len() {
                let (to, from) = self.same[at].clone();
                if let Some(values) = self.facts.get(&from).cloned() {
                    narrow(&mut self.facts, to, &values);
                }
            }
        }
    }

    /// What a condition says of columns where it is true.
    #[recursive::recursive]
    fn facts_of(&self, condition: &Expr, parameters: Parameters<'_>) -> Facts {
        let mut facts = Facts::new();
        match condition {
            Expr::Nested(inner) => return self.facts_of(inner, parameters),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And => {
                    facts = self.facts_of(left, parameters);
                    for (place, values) in self.facts_of(right, parameters) {
                        narrow(&mut facts, place, &values);
                    }
                }
                BinaryOperator::Or => {
                    let mut others = self.facts_of(right, parameters);
                    for (place, mut values) in self.facts_of(left, parameters) {
                        if let Some(more) = others.remove(&place) {
                            values.extend(more);
                            facts.insert(place, values);
                        }
                    }
                }
                BinaryOperator::Eq => facts.extend(self.equality(left, right, parameters)),
                _ => {}
            },
            Expr::IsNotDistinctFrom(left, right) => {
                facts.extend(self.equality(left, right, parameters));
            }
            Expr::In {
                expr,
                target: InTarget::List(list),
                negated: false,
                ..
            } => {
                if let Some(Column::Own(place, kind)) = self.column(expr) {
                    let constants = list.iter().filter(|element| !parameters.is_null(element));
                    let values: Option<BTreeSet<String>> = constants
                        .map(|element| parameters.constant(element, kind))
                        .collect();
                    facts.extend(values.map(|values| (place, values)));
                }
            }
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => {
                if let Some(Column::Own(place, kind)) = self.column(left) {
                    let values = parameters.elements(right, kind);
                    facts.extend(values.map(|values| (place, values)));
                }
            }
            _ => {}
        }
        facts.retain(|_, values| (1..=MOST_VALUES).contains(&values.len()));
        facts
    }

    fn equality(
        &self,
        left: &Expr,
        right: &Expr,
        parameters: Parameters<'_>,
    ) -> Option<(Place, BTreeSet<String>)> {
        let one_way = |column: &Expr, other: &Expr| {
            let Some(Column::Own(place, kind)) = self.column(column) else {
                return None;
            };
            let values = match self.column(other) {
                Some(Column::Outer(values, others)) if others.is_like(kind) => values.clone(),
                _ => [parameters.constant(other, kind)?].into(),
            };
            Some((place, values))
        };
        one_way(left, right).or_else(|| one_way(right, left))
    }
}

/// The parts of a condition that all have to be true.
#[recursive::recursive]
fn conjuncts<'e>(condition: &'e Expr, each: &mut dyn FnMut(&'e Expr)) {
    match condition {
        Expr::Nested(inner) => conjuncts(inner, each),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            conjuncts(left, each);
            conjuncts(right, each);
        }
        other => each(other),
    }
}
