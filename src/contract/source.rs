//! The schemas of a document: references followed, each looked at for mistakes before
//! it is compiled, so that a mistake is told with its place.

use std::collections::BTreeSet;

use jsonschema::{Draft, Registry};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use crate::contract::dialect::{LITERAL, Way, json_schemas};
use crate::contract::schema::Schema;

/// The name that the document has for the validator.
const URI: &str = "deadheat:/openapi";

/// What may not stand in the fragment of a URI as it is.
const FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// References that lead to references, at most.
const MOST_HOPS: usize = 16;

/// A document as JSON Schemas, for one way.
pub(super) struct Source {
    document: Value,
    registry: Registry<'static>,
    /// The places that have been looked at.
    checked: BTreeSet<String>,
}

impl Source {
    pub(super) fn new(document: &Value, way: Way) -> Result<Source, String> {
        let document = json_schemas(document, way);
        let registry = Registry::new()
            .draft(Draft::Draft202012)
            .add(URI, document.clone())
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| error.to_string())?;
        Ok(Source {
            document,
            registry,
            checked: BTreeSet::new(),
        })
    }

    /// What stands at a place.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    /// Where the chain of references ends that begins at a place, and what is there.
    pub(super) fn follow(&self, pointer: &str) -> Option<(String, &Value)> {
        let mut pointer = pointer.to_owned();
        for _ in 0..MOST_HOPS {
            let value = self.document.pointer(&pointer)?;
            match value.get("$ref").and_then(Value::as_str) {
                Some(reference) => pointer = pointer_of(reference)?,
                None => return Some((pointer, value)),
            }
        }
        None
    }

    /// The schema at a place; the errors say what is wrong and where.
    pub(super) fn schema(&mut self, pointer: &str) -> Result<Schema, Vec<String>> {
        let mut problems = Vec::new();
        self.check(pointer, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let uri = format!("{URI}#{}", utf8_percent_encode(pointer, FRAGMENT));
        Schema::within(&self.registry, &uri).map_err(|error| vec![at(pointer, &error)])
    }

    /// Looks at a schema and at all that it refers to.
    fn check(&mut self, pointer: &str, problems: &mut Vec<String>) {
        if !self.checked.insert(pointer.to_owned()) {
            return;
        }
        let Some(schema) = self.document.pointer(pointer) else {
            problems.push(at(pointer, "nothing is there, and a `$ref` names it"));
            return;
        };
        if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
            let place = format!("{pointer}{}", error.instance_path());
            problems.push(at(&place, &error.to_string()));
            return;
        }
        let mut references = BTreeSet::new();
        gather(schema, &mut references);
        for reference in references {
            if !reference.starts_with('#') {
                let wrong = format!("`{reference}` is in another file: bundle them into one");
                problems.push(at(pointer, &wrong));
            } else if let Some(target) = pointer_of(&reference) {
                self.check(&target, problems);
            }
        }
    }
}

fn gather(schema: &Value, references: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            let fields = fields
                .iter()
                .filter(|(key, _)| !LITERAL.contains(&key.as_str()));
            fields.for_each(|(_, field)| gather(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, references)),
        _ => {}
    }
}

/// What is wrong, with its place.
pub(super) fn at(place: &str, wrong: &str) -> String {
    format!("at `{place}`: {wrong}")
}

/// The JSON pointer of a reference within its own document.
pub(super) fn pointer_of(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    let pointer = percent_decode_str(fragment).decode_utf8().ok()?;
    (pointer.is_empty() || pointer.starts_with('/')).then(|| pointer.into_owned())
}

/// A name as a segment of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
