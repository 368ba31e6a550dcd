//! What an `INSERT` touches: the new rows, the keys that they could collide with,
//! the rows that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    ConflictTarget, Expr, Ident, Insert, InsertOverriding, ObjectName, OnConflictAction, OnInsert,
    Query, SelectItem, SetExpr, TableObject,
};

use super::catalog::{Foreign, Table, Unique, Unsaid, folded, parts};
use super::keys::Known;
use super::scope::{Relation, Scope};
use super::walk::{MOST_ROWS, Walker};
use super::write::{Set, sets};
use crate::model::step::Mode;

/// What a column of a new row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Value(String),
    Null,
    /// What no other row has.
    Fresh,
    Unknown,
}

/// A new row, each column of its table.
type NewRow = BTreeMap<String, Cell>;

impl Unique {
    /// What is known of the key that rows collide by.
    pub(super) fn of(&self, known: &Known) -> Known {
        let columns = self.columns.iter().flatten();
        columns
            .filter_map(|column| Some((column.clone(), known.get(column)?.clone())))
            .collect()
    }
}

impl Walker<'_> {
    pub(super) fn insert(&mut self, insert: &Insert, outer: Option<&Scope<'_>>) {
        if let Some(source) = &insert.source {
            self.query(source, outer, false);
        }
        let TableObject::TableName(name) = &insert.table else {
            return self.writes_anything();
        };
        let Some(table) = self.target(name) else {
            return;
        };
        let rows = self.new_rows(table, insert);
        for row in &rows {
            self.new_row(table, row);
        }
        self.besides(table);
        let alias = insert
            .table_alias
            .as_ref()
            .map(|alias| folded(&alias.alias));
        let mut scope = Scope::within(outer);
        let relation = |alias: String| Relation {
            alias,
            touched: None,
            columns: Some(table),
        };
        let called = alias.or_else(|| parts(name).pop()).unwrap_or_default();
        scope.relations.push(relation(called));
        self.expressions(&insert.returning, Some(&scope));
        if let Some(OnInsert::OnConflict(conflict)) = &insert.on {
            scope.relations.push(relation("excluded".to_owned()));
            if let OnConflictAction::DoUpdate(update) = &conflict.action {
                let key = table.conflict_key(conflict.conflict_target.as_ref());
                let sets = sets(&update.assignments);
                for row in &rows {
                    let found = values(row, Some(key.as_deref().unwrap_or_default()));
                    self.changes(table, &found, &not_of_key(&sets, key.as_deref()));
                }
            }
            self.expressions(conflict, Some(&scope));
        }
    }

    /// Rows of which nothing is known.
    pub(super) fn insert_unknown(&mut self, table: &Table) {
        let columns = table.columns.iter();
        let row = columns.map(|column| (column.name.clone(), Cell::Unknown));
        self.new_row(table, &row.collect());
    }

    pub(super) fn copy_in(&mut self, name: &ObjectName) {
        if let Some(table) = self.target(name) {
            self.insert_unknown(table);
            self.besides(table);
        }
    }

    fn new_row(&mut self, table: &Table, row: &NewRow) {
        let known = values(row, None);
        self.push(&table.name, Mode::Insert, &known);
        for unique in &table.unique {
            let holds = |cell: &Cell| {
                let mut columns = unique.columns.iter().flatten();
                columns.any(|column| row.get(column) == Some(cell))
            };
            // The rest is looked for, and must not be there.
            if !(holds(&Cell::Fresh) || holds(&Cell::Null) && !unique.nulls_collide) {
                self.push(&table.name, Mode::Read, &unique.of(&known));
            }
        }
        for foreign in &table.foreign {
            let mut own = foreign.columns.iter();
            if !own.any(|(own, _)| row.get(own) == Some(&Cell::Null)) {
                self.parent(table, foreign, &known);
            }
        }
    }

    /// The row that a foreign key refers to is looked for.
    pub(super) fn parent(&mut self, table: &Table, foreign: &Foreign, known: &Known) {
        let Some(parent) = self.catalog.by_name(&foreign.parent) else {
            return self.reads_anything();
        };
        let mut referred = Known::new();
        for (own, theirs) in &foreign.columns {
            if let (Some(kind), Some(others), Some(values)) =
                (table.kind(own), parent.kind(theirs), known.get(own))
                && kind.is_like(others)
            {
                referred.insert(theirs.clone(), values.clone());
            }
        }
        self.push(&parent.name, Mode::Read, &referred);
    }

    /// The rows that an `INSERT` makes, or, of many, what they have in common.
    fn new_rows(&self, table: &Table, insert: &Insert) -> Vec<NewRow> {
        let named = insert.columns.iter();
        let named = named.filter_map(|name| parts(name).into_iter().next());
        let mut columns: Vec<String> = named.collect();
        if columns.is_empty() {
            columns = table.columns.iter().map(|c| c.name.clone()).collect();
        }
        // An identity that is given and not taken.
        let user_values = insert.overriding == Some(InsertOverriding::User);
        let row = |values: &[Option<&Expr>]| -> NewRow {
            let cell = |column: &super::catalog::Column| {
                let given = columns.iter().position(|name| *name == column.name);
                let filled_in = table.filled_in.contains(&column.name);
                match given.and_then(|at| values.get(at)) {
                    _ if user_values || filled_in => Cell::Unknown,
                    None => unsaid(column.unsaid),
                    Some(None) => Cell::Unknown,
                    Some(Some(value)) if is_default(value) => unsaid(column.unsaid),
                    Some(Some(value)) if self.parameters.is_null(value) => Cell::Null,
                    Some(Some(value)) => self
                        .parameters
                        .constant(value, column.kind)
                        .map_or(Cell::Unknown, Cell::Value),
                }
            };
            let all = table.columns.iter();
            all.map(|column| (column.name.clone(), cell(column)))
                .collect()
        };
        let rows: Vec<NewRow> = match &insert.source {
            None => vec![row(&[])],
            Some(source) => match written(source) {
                Some(rows) => rows.iter().map(|values| row(values)).collect(),
                None => vec![row(&vec![None; columns.len()])],
            },
        };
        if rows.len() <= MOST_ROWS {
            return rows;
        }
        let mut rows = rows.into_iter();
        let mut common = rows.next().unwrap_or_default();
        for row in rows {
            for (column, cell) in &mut common {
                if row.get(column) != Some(cell) {
                    *cell = Cell::Unknown;
                }
            }
        }
        vec![common]
    }
}

impl Table {
    /// The columns by which an `ON CONFLICT` finds the row that is there.
    fn conflict_key(&self, target: Option<&ConflictTarget>) -> Option<Vec<String>> {
        match target? {
            ConflictTarget::Columns { columns, .. } => Some(columns.iter().map(folded).collect()),
            ConflictTarget::OnConstraint(name) => {
                let name = parts(name).pop()?;
                let unique = self.unique.iter().find(|unique| unique.name == name)?;
                unique.columns.clone()
            }
        }
    }
}

/// The values of a row, of these columns alone if any are named.
fn values(row: &NewRow, columns: Option<&[String]>) -> Known {
    let wanted = |column: &String| columns.is_none_or(|columns| columns.contains(column));
    row.iter()
        .filter(|(column, _)| wanted(column))
        .filter_map(|(column, cell)| match cell {
            Cell::Value(value) => Some((column.clone(), BTreeSet::from([value.clone()]))),
            _ => None,
        })
        .collect()
}

/// Without `key = EXCLUDED.key`, by which the row was found.
fn not_of_key<'e>(sets: &[Set<'e>], key: Option<&[String]>) -> Vec<Set<'e>> {
    let same = |(column, value): &Set<'_>| {
        let is_excluded = match value {
            Some(Expr::CompoundIdentifier(path)) => match path.as_slice() {
                [of, name] => folded(of) == "excluded" && folded(name) == *column,
                _ => false,
            },
            _ => false,
        };
        is_excluded && key.is_some_and(|key| key.contains(column))
    };
    sets.iter().filter(|set| !same(set)).cloned().collect()
}

fn unsaid(unsaid: Unsaid) -> Cell {
    match unsaid {
        Unsaid::Null => Cell::Null,
        Unsaid::Fresh => Cell::Fresh,
        Unsaid::Some => Cell::Unknown,
    }
}

fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(Ident { value, quote_style: None, .. })
        if value.eq_ignore_ascii_case("default"))
}

/// The expressions of each row, where they are written out.
fn written(source: &Query) -> Option<Vec<Vec<Option<&Expr>>>> {
    match &*source.body {
        SetExpr::Values(values) => {
            let rows = values.rows.iter();
            Some(
                rows.map(|row| row.content.iter().map(Some).collect())
                    .collect(),
            )
        }
        // Every row that is selected has the same constants.
        SetExpr::Select(select) => {
            let item = |item| match item {
                &SelectItem::UnnamedExpr(ref value)
                | &SelectItem::ExprWithAlias {
                    expr: ref value, ..
                } => Some(Some(value)),
                _ => None,
            };
            let row: Option<Vec<Option<&Expr>>> = select.projection.iter().map(item).collect();
            Some(vec![row?])
        }
        _ => None,
    }
}
