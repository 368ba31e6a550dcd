//! What the database says about its tables, as far as it matters to what a
//! statement touches.
//!
//! Knows the catalog's rows and not how they were asked for: whoever has a
//! connection runs [`CATALOG`] and hands over what came back.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, Statement};

use super::keys::Kind;
use super::parse::{self, Piece};
use super::triggers::Trigger;
use super::walk::Walker;
use crate::model::Row;
use crate::model::step::Access;

/// One row a table and one a function: `kind`, and `body` as JSON.
pub const CATALOG: &str = include_str!("catalog.sql");

/// What the database says about itself.
#[derive(Debug, Default)]
pub struct Catalog {
    /// By the name that accesses have.
    tables: BTreeMap<String, Table>,
    /// Partitions and heirs, to the table that they belong to.
    roots: BTreeMap<String, String>,
    /// From a name without its schema to those with it.
    bare: BTreeMap<String, Vec<String>>,
    /// From a name without its schema to whether one of that name may write.
    functions: BTreeMap<String, bool>,
    /// Who refers to a table: the other table, and which of its foreign keys.
    children: BTreeMap<String, Vec<(String, usize)>>,
}

/// A table or a view.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// In the order in which an `INSERT` without names fills them.
    pub(super) columns: Vec<Column>,
    pub(super) unique: Vec<Unique>,
    pub(super) foreign: Vec<Foreign>,
    /// Whether writing it may do anything, by a trigger or a rule of the user's.
    pub(super) acts: bool,
    /// Columns that are made from others, or that triggers set.
    pub(super) filled_in: BTreeSet<String>,
    pub(super) stands_for: StandsFor,
    /// What is touched besides when it is read: by policies.
    pub(super) on_read: Vec<Access>,
    /// What is touched besides when it is written: by policies, checks, defaults.
    pub(super) on_write: Vec<Access>,
}

/// What is read in the place of a table.
#[derive(Debug)]
pub(super) enum StandsFor {
    /// Its own rows.
    Itself,
    /// Of a view: the rows of a query.
    Query(Box<Query>),
    /// What cannot be told.
    Anything,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) unsaid: Unsaid,
}

/// What a column holds when an `INSERT` does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsaid {
    Null,
    /// A value that no other row has.
    Fresh,
    Some,
}

/// A unique index, or an exclusion constraint.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Unique {
    pub(super) name: String,
    /// `None` where rows collide by more than equal columns.
    pub(super) columns: Option<Vec<String>>,
    /// All columns that it is made from.
    pub(super) depends: Vec<String>,
    /// Whether NULL collides with NULL.
    pub(super) nulls_collide: bool,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) parent: String,
    /// The own column and the parent's.
    pub(super) columns: Vec<(String, String)>,
    /// As `pg_constraint` has it.
    pub(super) on_delete: char,
    pub(super) on_update: char,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    Table(&'a Table),
    /// The database's own tables.
    System,
    Unknown,
}

#[derive(Deserialize)]
struct TableBody {
    schema: String,
    name: String,
    relkind: String,
    root: Option<(String, String)>,
    columns: Vec<ColumnBody>,
    unique: Vec<Unique>,
    foreign: Vec<ForeignBody>,
    triggers: Vec<Trigger>,
    rules: bool,
    definition: Option<String>,
    checks: Vec<String>,
    policies: Vec<String>,
}

#[derive(Deserialize)]
struct ColumnBody {
    name: String,
    r#type: String,
    identity: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct ForeignBody {
    columns: Vec<String>,
    parent: (String, String),
    parent_columns: Vec<String>,
    on_delete: char,
    on_update: char,
}

#[derive(Deserialize)]
struct FunctionBody {
    name: String,
    volatile: bool,
}

/// The name that accesses have.
fn access_name(schema: &str, name: &str) -> String {
    if schema == "public" {
        name.to_owned()
    } else {
        format!("{schema}.{name}")
    }
}

/// A name as the database folds it.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// The parts of a name as the database folds them.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    let part = |part: &ObjectNamePart| part.as_ident().map(folded).unwrap_or_default();
    name.0.iter().map(part).collect()
}

impl Catalog {
    /// From what [`CATALOG`] answered.
    pub fn from_rows(rows: &[Row]) -> Result<Catalog, serde_json::Error> {
        let mut catalog = Catalog::default();
        let mut bodies = Vec::new();
        for row in rows {
            let body = row.get("body").cloned().unwrap_or_default();
            if row.get("kind").and_then(|kind| kind.as_str()) == Some("function") {
                let FunctionBody { name, volatile } = serde_json::from_value(body)?;
                *catalog.functions.entry(name).or_default() |= volatile;
            } else {
                bodies.push(serde_json::from_value::<TableBody>(body)?);
            }
        }
        for body in &bodies {
            let name = access_name(&body.schema, &body.name);
            if let Some((schema, root)) = &body.root {
                catalog
                    .roots
                    .insert(name.clone(), access_name(schema, root));
            }
            let bare = catalog.bare.entry(body.name.clone()).or_default();
            bare.push(name.clone());
            let table = Table::from_body(body, &catalog.functions);
            catalog.tables.insert(name, table);
        }
        catalog.link(&bodies);
        Ok(catalog)
    }

    /// Fills in what one table has to do with others.
    fn link(&mut self, bodies: &[TableBody]) {
        for table in self.tables.values_mut() {
            for foreign in &mut table.foreign {
                if let Some(root) = self.roots.get(&foreign.parent) {
                    foreign.parent.clone_from(root);
                }
            }
        }
        for (part, root) in &self.roots {
            let Some(part) = self.tables.remove(part) else {
                continue;
            };
            if let Some(root) = self.tables.get_mut(root) {
                root.take_in(part);
            }
        }
        for (child, table) in &self.tables {
            for (number, foreign) in table.foreign.iter().enumerate() {
                let of_parent = self.children.entry(foreign.parent.clone()).or_default();
                of_parent.push((child.clone(), number));
            }
        }
        // Once the functions and tables are known that expressions speak of.
        let besides: Vec<(String, Vec<Access>, Vec<Access>)> = bodies
            .iter()
            .map(|body| {
                let defaults = body.columns.iter().filter_map(|c| c.default.as_ref());
                let on_read = self.touched_by(body.policies.iter());
                let on_write =
                    self.touched_by(body.policies.iter().chain(&body.checks).chain(defaults));
                (access_name(&body.schema, &body.name), on_read, on_write)
            })
            .collect();
        for (name, on_read, on_write) in besides {
            let name = self.roots.get(&name).unwrap_or(&name);
            if let Some(table) = self.tables.get_mut(name) {
                table.on_read.extend(on_read);
                table.on_write.extend(on_write);
            }
        }
    }

    fn touched_by<'a>(&self, expressions: impl Iterator<Item = &'a String>) -> Vec<Access> {
        let mut walker = Walker::new(self, &[]);
        for sql in expressions {
            match parse::expression(sql) {
                Some(expression) => walker.expressions(&expression, None),
                None => walker.reads_anything(),
            }
        }
        walker.into_accesses()
    }

    /// Finds a table as a statement names it.
    pub(super) fn find(&self, name: &ObjectName) -> Named<'_> {
        let parts = parts(name);
        let (schema, name) = match parts.as_slice() {
            [name] => (None, name),
            [.., schema, name] => (Some(schema.as_str()), name),
            [] => return Named::Unknown,
        };
        if matches!(schema, Some("pg_catalog" | "information_schema")) {
            return Named::System;
        }
        let full = match schema {
            Some(schema) => access_name(schema, name),
            // A search path that leads elsewhere is met as long as there is but
            // one table of the name.
            None => match self.bare.get(name).map(Vec::as_slice) {
                Some([only]) => only.clone(),
                _ => name.clone(),
            },
        };
        match self.by_name(&full) {
            Some(table) => Named::Table(table),
            None if schema.is_none() && name.starts_with("pg_") => Named::System,
            None => Named::Unknown,
        }
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Table> {
        let name = self.roots.get(name).map_or(name, String::as_str);
        self.tables.get(name)
    }

    /// Whether a function of the user's may write; `None`: there is none such.
    pub(super) fn function_writes(&self, name: &str) -> Option<bool> {
        self.functions.get(name).copied()
    }

    /// The foreign keys that refer to a table, with the tables that have them.
    pub(super) fn children(&self, table: &str) -> impl Iterator<Item = (&Table, &Foreign)> {
        let children = self.children.get(table).into_iter().flatten();
        children.filter_map(|(child, number)| {
            let child = self.tables.get(child)?;
            Some((child, child.foreign.get(*number)?))
        })
    }
}

impl Table {
    fn from_body(body: &TableBody, functions: &BTreeMap<String, bool>) -> Table {
        let triggers = body.triggers.iter();
        let sets: Option<Vec<Vec<String>>> = triggers
            .map(|trigger| trigger.sets(|name| functions.contains_key(name)))
            .collect();
        let definition = body.definition.as_deref().unwrap_or_default();
        let stands_for = match (body.relkind.as_str(), parse::pieces(definition).pop()) {
            ("v", Some(Piece::Statement(statement))) => match *statement {
                Statement::Query(query) => StandsFor::Query(query),
                _ => StandsFor::Anything,
            },
            // A foreign table may well lead back here.
            ("v" | "f", _) => StandsFor::Anything,
            _ => StandsFor::Itself,
        };
        let generated = body.columns.iter().filter(|c| c.r#type == "generated");
        let generated = generated.map(|column| column.name.clone());
        Table {
            name: access_name(&body.schema, &body.name),
            columns: body.columns.iter().map(Column::from_body).collect(),
            unique: body.unique.clone(),
            foreign: body.foreign.iter().map(Foreign::from_body).collect(),
            acts: body.rules || sets.is_none(),
            filled_in: generated
                .chain(sets.into_iter().flatten().flatten())
                .collect(),
            stands_for,
            on_read: Vec::new(),
            on_write: Vec::new(),
        }
    }

    /// What a part of a table does when it is written, the whole does.
    fn take_in(&mut self, part: Table) {
        self.acts |= part.acts;
        self.filled_in.extend(part.filled_in);
        for unique in part.unique {
            let same = |own: &Unique| {
                own.columns == unique.columns
                    && own.depends == unique.depends
                    && own.nulls_collide == unique.nulls_collide
            };
            if !self.unique.iter().any(same) {
                self.unique.push(unique);
            }
        }
        for foreign in part.foreign {
            if !self.foreign.contains(&foreign) {
                self.foreign.push(foreign);
            }
        }
    }

    /// Whether it is no view.
    pub(super) fn has_rows(&self) -> bool {
        matches!(self.stands_for, StandsFor::Itself)
    }

    pub(super) fn kind(&self, column: &str) -> Option<Kind> {
        let column = self.columns.iter().find(|known| known.name == column)?;
        Some(column.kind)
    }
}

impl Column {
    fn from_body(body: &ColumnBody) -> Column {
        const FRESH: [&str; 6] = [
            "nextval(",
            "gen_random_uuid(",
            "uuid_generate_v1(",
            "uuid_generate_v4(",
            "public.uuid_generate_v4(",
            "extensions.uuid_generate_v4(",
        ];
        let unsaid = match &body.default {
            _ if body.identity => Unsaid::Fresh,
            Some(default) if FRESH.iter().any(|fresh| default.starts_with(fresh)) => Unsaid::Fresh,
            Some(_) => Unsaid::Some,
            None => Unsaid::Null,
        };
        Column {
            name: body.name.clone(),
            kind: Kind::of(&body.r#type),
            unsaid,
        }
    }
}

impl Foreign {
    fn from_body(body: &ForeignBody) -> Foreign {
        let own = body.columns.iter().cloned();
        Foreign {
            parent: access_name(&body.parent.0, &body.parent.1),
            columns: own.zip(body.parent_columns.iter().cloned()).collect(),
            on_delete: body.on_delete,
            on_update: body.on_update,
        }
    }

    /// Whether one of the own columns is among these.
    pub(super) fn has(&self, columns: &BTreeSet<String>) -> bool {
        self.columns.iter().any(|(own, _)| columns.contains(own))
    }

    /// Whether one of the parent's columns is among these.
    pub(super) fn refers_to(&self, columns: &BTreeSet<String>) -> bool {
        self.columns
            .iter()
            .any(|(_, parent)| columns.contains(parent))
    }
}
