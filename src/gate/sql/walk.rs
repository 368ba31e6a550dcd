//! What a statement touches: a walk through its queries and expressions.
//!
//! Knows how statements are made and asks the [`Catalog`] about names; what is
//! written is in `write.rs`, what functions do in `functions.rs`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArguments, LockClause, ObjectName, Query, Select, SetExpr, Statement, TableAlias,
    TableFactor, TableWithJoins, Visit, Visitor,
};

use super::catalog::{Catalog, Named, StandsFor, Table, folded, parts};
use super::keys::{Known, Parameters};
use super::parse::Piece;
use super::scope::{Relation, Scope};
use crate::model::step::{ANYTHING, Access, Mode};

/// So many accesses tell single rows of one table; beyond, it is any of its rows.
pub(super) const MOST_ROWS: usize = 8;

/// How deep views may stand on views.
const DEEPEST_VIEW: usize = 16;

/// Walks through statements, and gathers.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) parameters: Parameters<'a>,
    accesses: Vec<Access>,
    /// Names of `WITH` that hide tables.
    with: Vec<String>,
    views: usize,
}

/// Which relations of a query are locked.
#[derive(Clone, Copy, Debug)]
struct Locks<'q> {
    all: bool,
    clauses: &'q [LockClause],
}

impl Locks<'_> {
    fn mode(&self, alias: &str) -> Mode {
        let named = |clause: &LockClause| match &clause.of {
            None => true,
            Some(of) => parts(of).last().is_some_and(|name| name == alias),
        };
        if self.all || self.clauses.iter().any(named) {
            Mode::Write
        } else {
            Mode::Read
        }
    }
}

impl<'a> Walker<'a> {
    pub(super) fn new(catalog: &'a Catalog, parameters: &'a [Option<String>]) -> Self {
        Walker {
            catalog,
            parameters: Parameters(parameters),
            accesses: Vec::new(),
            with: Vec::new(),
            views: 0,
        }
    }

    /// What was gathered, without what something else covers.
    pub(super) fn into_accesses(self) -> Vec<Access> {
        without_covered(self.accesses)
    }

    pub(super) fn extend(&mut self, accesses: &[Access]) {
        self.accesses.extend_from_slice(accesses);
    }

    pub(super) fn reads_anything(&mut self) {
        self.push(ANYTHING, Mode::Read, &Known::new());
    }

    pub(super) fn writes_anything(&mut self) {
        self.push(ANYTHING, Mode::Write, &Known::new());
    }

    /// An access for each combination of what is known.
    pub(super) fn push(&mut self, table: &str, mode: Mode, known: &Known) {
        let mut rows = vec![BTreeMap::new()];
        let mut columns: Vec<_> = known.iter().collect();
        columns.sort_by_key(|(_, values)| values.len());
        for (column, values) in columns {
            if values.is_empty() || rows.len() * values.len() > MOST_ROWS {
                continue;
            }
            let with = |row: &BTreeMap<String, String>, value: &String| {
                let mut row = row.clone();
                row.insert(column.clone(), value.clone());
                row
            };
            rows = rows
                .iter()
                .flat_map(|row| values.iter().map(move |value| with(row, value)))
                .collect();
        }
        self.accesses.extend(rows.into_iter().map(|rows| Access {
            table: table.to_owned(),
            mode,
            rows,
        }));
    }

    pub(super) fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Harmless | Piece::Snapshot | Piece::Ends(_) => {}
            Piece::ReadsAnything => self.reads_anything(),
            Piece::CopyIn(name) => self.copy_in(name),
            Piece::CopyOut(name) => self.read(name),
            Piece::Statement(statement) => self.statement(statement, None),
            Piece::Unknown => self.writes_anything(),
        }
    }

    pub(super) fn statement(&mut self, statement: &Statement, outer: Option<&Scope<'_>>) {
        match statement {
            Statement::Query(query) => self.query(query, outer, false),
            Statement::Insert(insert) => self.insert(insert, outer),
            Statement::Update(update) => self.update(update, outer),
            Statement::Delete(delete) => self.delete(delete, outer),
            Statement::Merge(merge) => self.merge(merge, outer),
            Statement::Truncate(truncate) => self.truncate(truncate),
            Statement::Lock(lock) => {
                for target in &lock.tables {
                    self.lock(&target.name);
                }
            }
            Statement::Explain {
                analyze,
                statement,
                options,
                ..
            } => {
                let mut options = options.iter().flatten();
                if *analyze || options.any(|o| o.name.value.eq_ignore_ascii_case("analyze")) {
                    self.statement(statement, outer);
                }
            }
            _ => self.writes_anything(),
        }
    }

    fn lock(&mut self, name: &ObjectName) {
        match self.catalog.find(name) {
            Named::Table(table) if table.has_rows() => {
                self.push(&table.name, Mode::Write, &Known::new());
            }
            Named::System => {}
            _ => self.writes_anything(),
        }
    }

    /// Reads all of a table.
    fn read(&mut self, name: &ObjectName) {
        let relation = self.relation(name, None, Mode::Read);
        if let Some(table) = relation.touched {
            self.touch(table, Mode::Read, &Known::new());
        }
    }

    #[recursive::recursive]
    pub(super) fn query(&mut self, query: &Query, outer: Option<&Scope<'_>>, locked: bool) {
        let hidden = self.with.len();
        if let Some(with) = &query.with {
            for table in &with.cte_tables {
                let name = folded(&table.alias.name);
                if with.recursive {
                    self.with.push(name.clone());
                }
                self.query(&table.query, outer, false);
                self.with.push(name);
            }
        }
        let locks = Locks {
            all: locked,
            clauses: &query.locks,
        };
        self.body(&query.body, outer, locks);
        self.expressions(&query.order_by, outer);
        self.expressions(&query.limit_clause, outer);
        self.expressions(&query.fetch, outer);
        self.with.truncate(hidden);
    }

    #[recursive::recursive]
    fn body(&mut self, body: &SetExpr, outer: Option<&Scope<'_>>, locks: Locks<'_>) {
        match body {
            SetExpr::Select(select) => self.select(select, outer, locks),
            SetExpr::Query(query) => {
                self.query(query, outer, locks.all || !locks.clauses.is_empty());
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, outer, locks);
                self.body(right, outer, locks);
            }
            SetExpr::Values(values) => self.expressions(values, outer),
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => self.statement(statement, outer),
            SetExpr::Table(table) => {
                let names = table.schema_name.iter().chain(&table.table_name).cloned();
                self.read(&ObjectName::from(names.collect::<Vec<_>>()));
            }
        }
    }

    fn select(&mut self, select: &Select, outer: Option<&Scope<'_>>, locks: Locks<'_>) {
        if select.into.is_some() {
            // Makes a table.
            self.writes_anything();
        }
        let mut scope = Scope::within(outer);
        self.from(&select.from, &mut scope, locks);
        if let Some(condition) = &select.selection {
            scope.learn(condition, self.parameters);
        }
        scope.spread();
        for (at, relation) in scope.relations.iter().enumerate() {
            if let Some(table) = relation.touched {
                self.touch(table, locks.mode(&relation.alias), &scope.known(at));
            }
        }
        self.expressions(select, Some(&scope));
    }

    /// Rows of a table are read or locked.
    pub(super) fn touch(&mut self, table: &Table, mode: Mode, known: &Known) {
        self.push(&table.name, mode, known);
        self.extend(&table.on_read);
    }

    /// Reads the relations that stand in a scope from a number on.
    pub(super) fn touch_from(&mut self, scope: &Scope<'_>, first: usize) {
        for (at, relation) in scope.relations.iter().enumerate().skip(first) {
            if let Some(table) = relation.touched {
                self.touch(table, Mode::Read, &scope.known(at));
            }
        }
    }

    /// Adds the relations of a `FROM` to a scope, and what their joins say.
    pub(super) fn read_from<'s>(&mut self, from: &[TableWithJoins], scope: &mut Scope<'s>)
    where
        'a: 's,
    {
        let no_locks = Locks {
            all: false,
            clauses: &[],
        };
        self.from(from, scope, no_locks);
    }

    fn from<'s>(&mut self, from: &[TableWithJoins], scope: &mut Scope<'s>, locks: Locks<'_>)
    where
        'a: 's,
    {
        for tables in from {
            self.joined(tables, scope, locks);
        }
    }

    fn joined<'s>(&mut self, tables: &TableWithJoins, scope: &mut Scope<'s>, locks: Locks<'_>)
    where
        'a: 's,
    {
        let start = scope.relations.len();
        self.factor(&tables.relation, scope, locks);
        for join in &tables.joins {
            let middle = scope.relations.len();
            self.factor(&join.relation, scope, locks);
            let right = middle..scope.relations.len();
            scope.learn_join(
                &join.join_operator,
                &(start..middle),
                &right,
                self.parameters,
            );
        }
    }

    fn factor<'s>(&mut self, factor: &TableFactor, scope: &mut Scope<'s>, locks: Locks<'_>)
    where
        'a: 's,
    {
        let opaque = |alias: Option<&TableAlias>| Relation {
            alias: alias.map(|alias| folded(&alias.name)).unwrap_or_default(),
            touched: None,
            columns: None,
        };
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let called = alias.as_ref().map(|alias| folded(&alias.name));
                let called = called.or_else(|| parts(name).pop()).unwrap_or_default();
                let relation = self.relation(name, alias.as_ref(), locks.mode(&called));
                scope.relations.push(relation);
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined(table_with_joins, scope, locks),
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                let relation = opaque(alias.as_ref());
                // Locks go through to the tables inside.
                if locks.mode(&relation.alias) == Mode::Write {
                    self.query(subquery, None, true);
                }
                scope.relations.push(relation);
            }
            // What they read is met as an expression.
            TableFactor::Table { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::JsonTable { alias, .. }
            | TableFactor::XmlTable { alias, .. } => scope.relations.push(opaque(alias.as_ref())),
            _ => {
                self.reads_anything();
                scope.relations.push(opaque(None));
            }
        }
    }

    /// What a name in a `FROM` is; a view is walked through at once.
    pub(super) fn relation(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        mode: Mode,
    ) -> Relation<'a> {
        let parts = parts(name);
        let called = alias.map(|alias| folded(&alias.name));
        let mut relation = Relation {
            alias: called.or_else(|| parts.last().cloned()).unwrap_or_default(),
            touched: None,
            columns: None,
        };
        if let [only] = parts.as_slice()
            && self.with.contains(only)
        {
            return relation;
        }
        match self.catalog.find(name) {
            Named::System => {}
            Named::Unknown => self.push(ANYTHING, mode, &Known::new()),
            Named::Table(table) => match &table.stands_for {
                StandsFor::Itself => {
                    relation.touched = Some(table);
                    let renamed = alias.is_some_and(|alias| !alias.columns.is_empty());
                    relation.columns = (!renamed).then_some(table);
                }
                StandsFor::Query(query) if self.views < DEEPEST_VIEW => {
                    let with = std::mem::take(&mut self.with);
                    self.views += 1;
                    self.query(query, None, mode == Mode::Write);
                    self.views -= 1;
                    self.with = with;
                }
                _ => self.push(ANYTHING, mode, &Known::new()),
            },
        }
        relation
    }

    /// Looks for subqueries and functions in anything that has expressions.
    pub(super) fn expressions(&mut self, node: &impl Visit, scope: Option<&Scope<'_>>) {
        let mut look = Look {
            walker: self,
            scope,
            depth: 0,
        };
        let _ = node.visit(&mut look);
    }
}

/// Accesses without those that another one covers.
pub(super) fn without_covered(accesses: Vec<Access>) -> Vec<Access> {
    let mut kept: Vec<Access> = Vec::new();
    for access in accesses {
        if !kept.iter().any(|other| covers(other, &access)) {
            kept.retain(|other| !covers(&access, other));
            kept.push(access);
        }
    }
    kept
}

/// Whether one access conflicts with all that another conflicts with.
fn covers(one: &Access, other: &Access) -> bool {
    let fewer = one
        .rows
        .iter()
        .all(|(column, value)| other.rows.get(column) == Some(value));
    one.table == other.table
        && fewer
        && (one.mode == other.mode && (one.mode != Mode::Insert || one.rows == other.rows)
            || one.mode == Mode::Write && other.mode == Mode::Read)
}

/// Finds queries and functions, and leaves what is inside of queries to the walker.
struct Look<'w, 'a, 's> {
    walker: &'w mut Walker<'a>,
    scope: Option<&'s Scope<'s>>,
    depth: usize,
}

impl Visitor for Look<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.depth == 0 {
            self.walker.query(query, self.scope, false);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression
            && self.depth == 0
        {
            let arguments = match &function.args {
                FunctionArguments::List(list) => list.args.as_slice(),
                _ => &[],
            };
            self.walker.function(&function.name, arguments);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if self.depth == 0 {
            match factor {
                TableFactor::Function { name, args, .. } => self.walker.function(name, args),
                TableFactor::Table {
                    name,
                    args: Some(arguments),
                    ..
                } => self.walker.function(name, &arguments.args),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
