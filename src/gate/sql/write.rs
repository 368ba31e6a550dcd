//! What statements that write touch: their table's rows, the keys that new values
//! could collide with, and the tables at the other end of foreign keys.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Assignment, AssignmentTarget, CascadeOption, Delete, Expr, FromTable, Merge, MergeAction,
    ObjectName, Truncate, Update, UpdateTableFromKind,
};

use super::catalog::{Named, Table, parts};
use super::keys::Known;
use super::scope::{Relation, Scope};
use super::walk::Walker;
use crate::model::step::Mode;

/// How a row goes, or its key changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss<'c> {
    Deleted,
    /// These columns get other values.
    Changed(&'c BTreeSet<String>),
}

/// A column, and the expression that it is set to, if it is one of its own.
pub(super) type Set<'e> = (String, Option<&'e Expr>);

pub(super) fn sets(assignments: &[Assignment]) -> Vec<Set<'_>> {
    // What follows is a field of a composite value.
    let column = |name: &ObjectName| parts(name).into_iter().next().unwrap_or_default();
    let mut sets = Vec::new();
    for assignment in assignments {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => {
                let whole = name.0.len() == 1;
                sets.push((column(name), whole.then_some(&assignment.value)));
            }
            AssignmentTarget::Tuple(names) => {
                sets.extend(names.iter().map(|name| (column(name), None)));
            }
        }
    }
    sets
}

impl<'a> Walker<'a> {
    /// The table that a statement writes; of anything else it is not known what
    /// writing it does.
    pub(super) fn target(&mut self, name: &ObjectName) -> Option<&'a Table> {
        match self.catalog.find(name) {
            Named::Table(table) if table.has_rows() => Some(table),
            _ => {
                self.writes_anything();
                None
            }
        }
    }

    /// What is touched besides when a table is written.
    pub(super) fn besides(&mut self, table: &Table) {
        self.extend(&table.on_write);
        if table.acts {
            self.writes_anything();
        }
    }

    pub(super) fn update(&mut self, update: &Update, outer: Option<&Scope<'_>>) {
        let mut scope = Scope::within(outer);
        self.read_from(std::slice::from_ref(&update.table), &mut scope);
        if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) =
            &update.from
        {
            self.read_from(from, &mut scope);
            self.expressions(from, Some(&scope));
        }
        if let Some(condition) = &update.selection {
            scope.learn(condition, self.parameters);
        }
        scope.spread();
        self.touch_from(&scope, 1);
        match scope.relations.first() {
            Some(Relation {
                touched: Some(table),
                ..
            }) => {
                let known = scope.known(0);
                self.changes(table, &known, &sets(&update.assignments));
            }
            // A view.
            _ => self.writes_anything(),
        }
        self.expressions(&update.assignments, Some(&scope));
        self.expressions(&update.selection, Some(&scope));
        self.expressions(&update.returning, Some(&scope));
    }

    pub(super) fn delete(&mut self, delete: &Delete, outer: Option<&Scope<'_>>) {
        let mut scope = Scope::within(outer);
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        self.read_from(from, &mut scope);
        if let Some(using) = &delete.using {
            self.read_from(using, &mut scope);
            self.expressions(using, Some(&scope));
        }
        if let Some(condition) = &delete.selection {
            scope.learn(condition, self.parameters);
        }
        scope.spread();
        self.touch_from(&scope, 1);
        match scope.relations.first() {
            Some(Relation {
                touched: Some(table),
                ..
            }) => {
                let known = scope.known(0);
                self.push(&table.name, Mode::Write, &known);
                self.besides(table);
                self.pass_on(table, &known, Loss::Deleted, &mut Vec::new());
            }
            _ => self.writes_anything(),
        }
        self.expressions(&delete.selection, Some(&scope));
        self.expressions(&delete.returning, Some(&scope));
    }

    /// Rows of which something is known get new values.
    pub(super) fn changes(&mut self, table: &Table, known: &Known, sets: &[Set<'_>]) {
        let mut after = known.clone();
        let mut changed = BTreeSet::new();
        let filled_in = table.filled_in.iter().map(|column| (column.clone(), None));
        for (column, value) in sets.iter().cloned().chain(filled_in) {
            let column = &column;
            let kind = table.kind(column);
            let value = value.and_then(|value| self.parameters.constant(value, kind?));
            let value = value.map(|value| BTreeSet::from([value]));
            // Mappers write a whole row back, its key included.
            if value.is_some() && value.as_ref() == known.get(column) {
                continue;
            }
            changed.insert(column.clone());
            match value {
                Some(value) => after.insert(column.clone(), value),
                None => after.remove(column),
            };
        }
        let mut stays = known.clone();
        stays.retain(|column, _| !changed.contains(column));
        self.push(&table.name, Mode::Write, &stays);
        self.besides(table);
        for unique in &table.unique {
            if unique.depends.iter().any(|column| changed.contains(column)) {
                self.push(&table.name, Mode::Read, &unique.of(&after));
            }
        }
        for foreign in &table.foreign {
            if foreign.has(&changed) {
                let null = |(column, value): &Set<'_>| {
                    foreign.columns.iter().any(|(own, _)| own == column)
                        && value.is_some_and(|value| self.parameters.is_null(value))
                };
                if !sets.iter().any(null) {
                    self.parent(table, foreign, &after);
                }
            }
        }
        self.pass_on(table, known, Loss::Changed(&changed), &mut Vec::new());
    }

    /// What becomes of those who refer to rows that go or change their key.
    fn pass_on(
        &mut self,
        table: &Table,
        known: &Known,
        loss: Loss<'_>,
        on_the_way: &mut Vec<(String, bool)>,
    ) {
        let nothing = Known::new();
        let mut known = known;
        if on_the_way.iter().any(|(name, _)| *name == table.name) {
            // A table that refers to itself in the end: any of its rows may go, and
            // with them those that refer to any. That is said once.
            self.push(&table.name, Mode::Write, &nothing);
            known = &nothing;
        }
        let step = (table.name.clone(), known.is_empty());
        if on_the_way.contains(&step) {
            return;
        }
        on_the_way.push(step);
        let catalog = self.catalog;
        for (child, foreign) in catalog.children(&table.name) {
            let action = match loss {
                Loss::Deleted => foreign.on_delete,
                Loss::Changed(changed) if foreign.refers_to(changed) => foreign.on_update,
                Loss::Changed(_) => continue,
            };
            let mut referring = Known::new();
            for (own, parent) in &foreign.columns {
                let alike = match (child.kind(own), table.kind(parent)) {
                    (Some(own), Some(parent)) => own.is_like(parent),
                    _ => false,
                };
                if let Some(values) = known.get(parent).filter(|_| alike) {
                    referring.insert(own.clone(), values.clone());
                }
            }
            let own = foreign.columns.iter().map(|(own, _)| own.clone());
            let changed: BTreeSet<String> = own.chain(child.filled_in.iter().cloned()).collect();
            match (action, loss) {
                ('c', Loss::Deleted) => {
                    self.push(&child.name, Mode::Write, &referring);
                    self.besides(child);
                    self.pass_on(child, &referring, loss, on_the_way);
                }
                ('c' | 'd' | 'n', _) => {
                    // A column that becomes NULL equals nothing afterwards; one
                    // with a new value may equal anything.
                    let stays = match action {
                        'n' if !foreign.has(&child.filled_in) => referring.clone(),
                        _ => Known::new(),
                    };
                    self.push(&child.name, Mode::Write, &stays);
                    self.besides(child);
                    for unique in &child.unique {
                        if unique.depends.iter().any(|column| changed.contains(column)) {
                            self.push(&child.name, Mode::Read, &Known::new());
                        }
                    }
                    if action == 'd' {
                        self.parent(child, foreign, &Known::new());
                    }
                    self.pass_on(child, &referring, Loss::Changed(&changed), on_the_way);
                }
                _ => self.push(&child.name, Mode::Read, &referring),
            }
        }
        on_the_way.pop();
    }

    pub(super) fn merge(&mut self, merge: &Merge, outer: Option<&Scope<'_>>) {
        let mut scope = Scope::within(outer);
        for factor in [&merge.table, &merge.source] {
            let tables = sqlparser::ast::TableWithJoins {
                relation: factor.clone(),
                joins: Vec::new(),
            };
            self.read_from(&[tables], &mut scope);
        }
        self.touch_from(&scope, 1);
        let target = scope.relations.first().and_then(|target| target.touched);
        match target {
            Some(table) => {
                self.push(&table.name, Mode::Write, &Known::new());
                self.besides(table);
                for clause in &merge.clauses {
                    match &clause.action {
                        MergeAction::Insert(_) => self.insert_unknown(table),
                        MergeAction::Delete { .. } => {
                            self.pass_on(table, &Known::new(), Loss::Deleted, &mut Vec::new());
                        }
                        MergeAction::Update(_) => {
                            let columns = table.columns.iter();
                            let all: Vec<Set<'_>> =
                                columns.map(|c| (c.name.clone(), None)).collect();
                            self.changes(table, &Known::new(), &all);
                        }
                        MergeAction::DoNothing { .. } => {}
                    }
                }
            }
            None => self.writes_anything(),
        }
        self.expressions(&merge.source, Some(&scope));
        self.expressions(&merge.on, Some(&scope));
        self.expressions(&merge.clauses, Some(&scope));
        self.expressions(&merge.output, Some(&scope));
    }

    pub(super) fn truncate(&mut self, truncate: &Truncate) {
        for target in &truncate.table_names {
            let Some(table) = self.target(&target.name) else {
                continue;
            };
            self.push(&table.name, Mode::Write, &Known::new());
            self.besides(table);
            if matches!(truncate.cascade, Some(CascadeOption::Cascade)) {
                self.empty_children(table, &mut vec![table.name.clone()]);
            }
        }
    }

    fn empty_children(&mut self, table: &Table, emptied: &mut Vec<String>) {
        let catalog = self.catalog;
        for (child, _) in catalog.children(&table.name) {
            if !emptied.contains(&child.name) {
                emptied.push(child.name.clone());
                self.push(&child.name, Mode::Write, &Known::new());
                self.besides(child);
                self.empty_children(child, emptied);
            }
        }
    }
}
