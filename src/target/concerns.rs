//! Who may call an operation and how its pages follow each other: what the file says of
//! it, checked, and made ready for use.

use serde_json::Value;
use serde_json_path::JsonPath;
use toml::Spanned;

use crate::target::error::{Problem, TargetError};
use crate::target::file::{AllowSection, OperationSection, TargetFile};
use crate::target::operation::json_path;
use crate::target::template::Templates;
use crate::target::{Operation, Target};

/// Where it is said which rows a call is about.
#[derive(Clone, Debug)]
pub enum RowPlace {
    /// In one of the operation's values.
    Value(String),
    /// In the answer, once for each row that it shows.
    Answer(Box<JsonPath>),
}

/// How the pages of a list follow each other.
#[derive(Clone, Debug)]
pub struct Pages {
    /// What tells the rows of a page apart.
    pub rows: Box<JsonPath>,
    /// The value that says where a page begins.
    pub cursor: String,
    /// How the next page is asked for.
    pub next: NextPage,
}

/// How the next page is asked for.
#[derive(Clone, Debug)]
pub enum NextPage {
    /// By what the answer says.
    Said(Box<JsonPath>),
    /// By a cursor that is larger by so much.
    Step(i64),
}

/// The text that tells a row apart, whatever the type of its key.
pub fn key_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.values().next().map(key_text).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Where an operation says which rows it is about.
pub(super) fn row(section: &OperationSection) -> Result<Option<RowPlace>, Problem> {
    let Some(row) = &section.row else {
        return Ok(None);
    };
    if row.get_ref().starts_with('$') {
        return Ok(Some(RowPlace::Answer(json_path(row)?)));
    }
    Ok(Some(RowPlace::Value(row.get_ref().clone())))
}

/// How an operation's pages follow each other.
pub(super) fn pages(section: &OperationSection) -> Result<Option<Pages>, Problem> {
    let Some(pages) = &section.pages else {
        return Ok(None);
    };
    let inner = pages.get_ref();
    let next = match (&inner.next, &inner.step) {
        (Some(next), None) => NextPage::Said(json_path(next)?),
        (None, Some(step)) if *step.get_ref() > 0 => NextPage::Step(*step.get_ref()),
        (None, Some(step)) => {
            return Err(Problem::new(
                step.span(),
                "a cursor grows from page to page",
            ));
        }
        _ => {
            return Err(Problem::new(pages.span(), "name either `next` or `step`").help(
                "next = \"$.next\" for a cursor that the answer gives, step = 1 for a page's number",
            ));
        }
    };
    if !section.values.contains_key(inner.cursor.get_ref()) {
        let known: Vec<&str> = section.values.keys().map(String::as_str).collect();
        let name = inner.cursor.get_ref();
        return Err(Problem::unknown(inner.cursor.span(), "value", name, &known));
    }
    Ok(Some(Pages {
        rows: json_path(&inner.rows)?,
        cursor: inner.cursor.get_ref().clone(),
        next,
    }))
}

/// Whether everything that is referred to by name exists.
pub(super) fn references(file: &TargetFile, templates: &Templates, problems: &mut Vec<Problem>) {
    for actor in file.actors.values() {
        if let Some(active) = &actor.active {
            names(templates, active, &["actor"], problems);
        }
    }
    let actors: Vec<&str> = file.actors.keys().map(String::as_str).collect();
    let roles: Vec<&str> = file
        .actors
        .values()
        .filter_map(|actor| actor.role.as_deref())
        .collect();
    for operation in file.operations.values() {
        if let Some(row) = &operation.row
            && !row.get_ref().starts_with('$')
        {
            let known = operation.values.keys().chain(file.shared.keys());
            let known: Vec<&str> = known.map(String::as_str).collect();
            if !known.contains(&row.get_ref().as_str()) {
                let problem = Problem::unknown(row.span(), "value", row.get_ref(), &known);
                problems.push(problem.help(
                    "a `row` is one of the operation's values, or a place in the answer such as `$[*].id`",
                ));
            }
        }
        for allow in operation.allow.iter().flatten() {
            for actor in &allow.actors {
                if !actors.contains(&actor.get_ref().as_str()) {
                    let name = actor.get_ref();
                    problems.push(Problem::unknown(actor.span(), "actor", name, &actors));
                }
            }
            for role in &allow.roles {
                if !roles.contains(&role.get_ref().as_str()) {
                    let name = role.get_ref();
                    problems.push(Problem::unknown(role.span(), "role", name, &roles));
                }
            }
            if let Some(rows) = &allow.rows {
                names(templates, rows, &["actor"], problems);
                if operation.row.is_none() {
                    let problem = Problem::new(rows.span(), "rows of what?");
                    problems.push(problem.help(
                        "say which row a call is about: row = \"order\" for the value `order`, or row = \"$[*].id\" for a list",
                    ));
                }
            }
        }
        let pages = operation.pages.as_ref().map(Spanned::get_ref);
        if let Some(all) = pages.and_then(|pages| pages.all.as_ref()) {
            let values = operation.values.keys().chain(file.shared.keys());
            let known: Vec<&str> = ["actor"]
                .into_iter()
                .chain(values.map(String::as_str))
                .collect();
            names(templates, all, &known, problems);
        }
    }
}

fn names(
    templates: &Templates,
    text: &Spanned<String>,
    known: &[&str],
    problems: &mut Vec<Problem>,
) {
    match templates.names(text.get_ref()) {
        Err(error) => problems.push(Problem::new(
            text.span(),
            format!("this template cannot be read: {error}"),
        )),
        Ok(used) => {
            for name in used.iter().filter(|name| !known.contains(&name.as_str())) {
                problems.push(Problem::unknown(text.span(), "value", name, known));
            }
        }
    }
}

impl Target {
    /// The rules that allow an operation to an actor, as far as that depends on who it is;
    /// `None` where the file does not say who may call it.
    pub fn allows<'a>(
        &self,
        operation: &'a Operation,
        actor: Option<&str>,
    ) -> Option<Vec<&'a AllowSection>> {
        let rules = operation.section.allow.as_ref()?;
        let Some(name) = actor else {
            // Nobody in particular is no actor, where there are some.
            let all = self.file.actors.is_empty();
            return Some(rules.iter().filter(|_| all).collect());
        };
        let role = self.file.actors[name].role.as_deref();
        let fits = |rule: &&AllowSection| {
            let is_any = rule.actors.is_empty() && rule.roles.is_empty();
            is_any
                || rule.actors.iter().any(|actor| actor.get_ref() == name)
                || rule
                    .roles
                    .iter()
                    .any(|allowed| Some(allowed.get_ref().as_str()) == role)
        };
        Some(rules.iter().filter(fits).collect())
    }

    /// A query of the file as it is for an actor.
    pub fn query_of(
        &self,
        sql: &Spanned<String>,
        actor: Option<&str>,
        values: &crate::model::Row,
    ) -> Result<String, TargetError> {
        let mut context = values.clone();
        context.insert("actor".to_owned(), self.actor_context(actor));
        self.templates
            .text(sql.get_ref(), &Value::Object(context))
            .map_err(|error| {
                let message = format!("this cannot be rendered: {error}");
                self.problem(Problem::new(sql.span(), message))
            })
    }
}

/// The statuses that deny, unless the file names others.
const DENIED: [u16; 3] = [401, 403, 404];

impl Operation {
    /// The statuses that deny it.
    pub fn denied(&self) -> &[u16] {
        self.section.denied.as_deref().unwrap_or(&DENIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What is wrong with a file of one operation.
    fn wrong(operation: &str) -> String {
        let text = format!(
            "[service]\nstart = 'x'\n[database]\nengines = ['sqlite']\n\
             [actors.ann]\nrole = 'buyer'\n\
             [operations.read]\nrequest = 'GET /orders/{{{{ order }}}}'\n\
             values.order = {{ range = [1, 2] }}\n{operation}\n"
        );
        match Target::parse(Path::new("deadheat.toml"), Path::new("/"), text) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_named_must_be_there() {
        for (operation, says) in [
            ("allow = [{ roles = ['byer'] }]", "there is no role `byer`"),
            ("allow = [{ actors = ['anne'] }]", "did you mean `ann`?"),
            (
                "allow = [{ rows = 'SELECT 1' }]",
                "say which row a call is about",
            ),
            ("row = 'ordr'", "there is no value `ordr`"),
            ("row = '$['", "this is no JSONPath"),
            (
                "row = 'order'\nallow = [{ rows = '{{ actr }}' }]",
                "there is no value `actr`",
            ),
            (
                "pages = { rows = '$[*]', cursor = 'after', next = '$.n' }",
                "there is no value `after`",
            ),
            (
                "pages = { rows = '$[*]', cursor = 'order' }",
                "name either `next` or `step`",
            ),
            (
                "pages = { rows = '$[*]', cursor = 'order', step = 0 }",
                "a cursor grows",
            ),
        ] {
            let wrong = wrong(operation);
            assert!(wrong.contains(says), "{operation}: {wrong}");
        }
        assert_eq!(wrong("row = 'order'\nallow = [{ roles = ['buyer'] }]"), "");
    }

    #[test]
    fn rows_are_told_apart_by_one_text_whatever_its_type() {
        let one = [
            serde_json::json!(7),
            serde_json::json!("7"),
            serde_json::json!({"id": 7}),
        ];
        assert!(one.iter().all(|key| key_text(key) == "7"));
    }
}
