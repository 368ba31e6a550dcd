//! A JSON Schema, compiled once, and what of it a body breaks.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{Draft, JsonType, Registry, ValidationError, Validator};
use serde_json::Value;

use crate::contract::lapse::{Lapse, What, kind, shown};

/// More of one answer is no help to anybody.
const MOST_LAPSES: usize = 20;

/// What a body has to look like.
#[derive(Debug)]
pub(super) struct Schema(Validator);

impl Schema {
    /// A schema that is whole in itself. Of the draft that it names, else the newest.
    pub(super) fn new(schema: &Value) -> Result<Schema, String> {
        let built = jsonschema::options().offline().build(schema);
        built.map(Schema).map_err(|error| told(&error))
    }

    /// The schema at a place of a document.
    pub(super) fn within(registry: &Registry, uri: &str) -> Result<Schema, String> {
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(registry)
            .offline();
        let built = options.build(&serde_json::json!({ "$ref": uri }));
        built.map(Schema).map_err(|error| told(&error))
    }

    /// Whether a body keeps to it.
    pub(super) fn allows(&self, body: &Value) -> bool {
        self.0.is_valid(body)
    }

    /// What a body breaks, each cause once.
    pub(super) fn lapses(&self, body: &Value) -> Vec<Lapse> {
        let mut found = Found::default();
        if !self.allows(body) {
            for error in self.0.iter_errors(body) {
                found.take(&error);
                if found.lapses.len() >= MOST_LAPSES {
                    break;
                }
            }
        }
        found
            .lapses
            .sort_by(|one, other| one.place.cmp(&other.place));
        found.lapses
    }
}

/// The validator's own words, with the place in the schema.
fn told(error: &ValidationError) -> String {
    let place = error.instance_path().as_str();
    let at = if place.is_empty() {
        String::new()
    } else {
        format!("at `{place}`: ")
    };
    format!("{at}{error}")
}

#[derive(Default)]
struct Found {
    lapses: Vec<Lapse>,
    known: BTreeSet<(String, String)>,
}

impl Found {
    fn take(&mut self, error: &ValidationError) {
        let instance = error.instance();
        let at = place(error.instance_path());
        let what = match error.kind() {
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context } => {
                if let Some(branch) = meant(error, context) {
                    for error in branch {
                        self.take(error);
                    }
                    return;
                }
                if instance.is_null() {
                    What::Null
                } else {
                    other(error, "none of the shapes that it may have")
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                return self.add(below(&at, name), What::Missing, None);
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    let value = instance.get(name).map(shown);
                    self.add(below(&at, name), What::Unexpected, value);
                }
                return;
            }
            ValidationErrorKind::Type { .. }
            | ValidationErrorKind::Enum { .. }
            | ValidationErrorKind::Constant { .. }
                if instance.is_null() =>
            {
                What::Null
            }
            ValidationErrorKind::Type { kind: agreed } => What::Type {
                is: kind(instance),
                agreed: types(agreed),
            },
            ValidationErrorKind::Enum { options } => What::Value {
                is: shown(instance),
                agreed: values(options),
            },
            ValidationErrorKind::Constant { expected_value } => What::Value {
                is: shown(instance),
                agreed: shown(expected_value),
            },
            _ => other(error, &error.masked_with("it").to_string()),
        };
        let value = Some(shown(instance));
        self.add(at, what, value);
    }

    fn add(&mut self, place: String, what: What, value: Option<String>) {
        let lapse = Lapse { place, what, value };
        let cause = (lapse.place.clone(), lapse.keyword().to_owned());
        if self.known.insert(cause) {
            self.lapses.push(lapse);
        }
    }
}

fn other(error: &ValidationError, says: &str) -> What {
    What::Other {
        keyword: error.kind().keyword().to_owned(),
        says: says.to_owned(),
    }
}

/// Of several shapes the one that is meant: the only one that the value itself is of, or
/// of these the only one whose fixed values it has, whatever else is wrong within. A thing
/// that may be null is written as two shapes; others carry a tag.
fn meant<'a>(
    error: &ValidationError,
    branches: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a Vec<ValidationError<'static>>> {
    let of_another_kind = |inner: &ValidationError| {
        inner.instance_path() == error.instance_path()
            && matches!(inner.kind(), ValidationErrorKind::Type { .. })
    };
    let of_another_tag = |inner: &ValidationError| {
        matches!(
            inner.kind(),
            ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. }
        )
    };
    let of_kind = branches
        .iter()
        .filter(|branch| !branch.iter().any(of_another_kind));
    let tagged = of_kind
        .clone()
        .filter(|branch| !branch.iter().any(of_another_tag));
    only(of_kind).or_else(|| only(tagged))
}

fn only<T>(mut of: impl Iterator<Item = T>) -> Option<T> {
    of.next().filter(|_| of.next().is_none())
}

fn place(path: &Location) -> String {
    path.segments()
        .fold(String::new(), |place, segment| match segment {
            LocationSegment::Index(_) => place + "/*",
            LocationSegment::Property(name) => below(&place, &name),
        })
}

fn below(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn types(agreed: &TypeKind) -> String {
    let word = |one: JsonType| match one {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    };
    match agreed {
        TypeKind::Single(one) => word(*one).to_owned(),
        TypeKind::Multiple(set) => {
            let words: Vec<&str> = set
                .iter()
                .filter(|one| *one != JsonType::Null)
                .map(word)
                .collect();
            words.join(" or ")
        }
    }
}

fn values(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let options = options.iter().filter(|option| !option.is_null());
    let shown: Vec<String> = options.map(shown).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lapses(schema: &Value, body: &Value) -> Vec<String> {
        let lapses = Schema::new(schema).unwrap().lapses(body);
        let told = lapses.iter();
        told.map(|lapse| format!("{} {}: {}", lapse.place, lapse.keyword(), lapse.plain()))
            .collect()
    }

    fn order() -> Value {
        json!({
            "type": "object",
            "required": ["id", "total_cents"],
            "additionalProperties": false,
            "properties": {
                "id": {"type": "integer"},
                "total_cents": {"type": "integer", "minimum": 0},
                "status": {"enum": ["open", "paid"]},
                "note": {"type": ["string", "null"]},
                "customer": {"anyOf": [{"$ref": "#/$defs/customer"}, {"type": "null"}]}
            },
            "$defs": {"customer": {"type": "object", "required": ["name"]}}
        })
    }

    #[test]
    fn each_cause_is_told_once_with_its_place() {
        let list = json!({"type": "array", "items": order(), "$defs": order()["$defs"]});
        let wrong = json!({"id": "7", "total": 5, "status": "settled", "note": 3, "customer": {}});
        assert_eq!(
            lapses(&list, &json!([wrong, wrong, {"id": 1, "total_cents": -1}])),
            [
                "/*/customer/name missing: the field `name` is missing",
                "/*/id type: `id` is a text, and not a whole number",
                "/*/note type: `note` is a number, and not a text",
                "/*/status value: `status` is `settled`, none of open, paid",
                "/*/total unexpected: the field `total` is not agreed on",
                "/*/total_cents missing: the field `total_cents` is missing",
                "/*/total_cents minimum: `total_cents` is not as agreed: it is less than the minimum of 0",
            ]
        );
        let right = json!({"id": 1, "total_cents": 5, "note": null, "customer": null});
        assert_eq!(lapses(&order(), &right), [""; 0]);
    }

    #[test]
    fn null_is_null_whatever_else_was_agreed() {
        let schema = json!({"properties": {
            "a": {"type": "string"}, "b": {"enum": ["x"]}, "c": {"anyOf": [{"type": "string"}, {"type": "integer"}]}
        }});
        let told = lapses(&schema, &json!({"a": null, "b": null, "c": null}));
        let expected =
            ["a", "b", "c"].map(|n| format!("/{n} null: `{n}` is null, and must not be"));
        assert_eq!(told, expected);
    }

    #[test]
    fn of_several_shapes_the_one_with_the_right_tag_is_meant() {
        let shape = |tag: &str, field: &str| json!({"type": "object", "required": [field], "properties": {"kind": {"const": tag}}});
        let schema = json!({"oneOf": [shape("card", "number"), shape("cash", "till")]});
        let told = |body: Value| lapses(&schema, &body);
        let missing = "/till missing: the field `till` is missing";
        assert_eq!(told(json!({"kind": "cash"})), [missing]);
        let none = " oneOf: the body is not as agreed: none of the shapes that it may have";
        assert_eq!(told(json!({"kind": "cheque"})), [none]);
        assert_eq!(told(json!({"kind": "cash", "till": 1})), [""; 0]);
    }

    #[test]
    fn a_schema_that_is_none_says_where() {
        let wrong = json!({"properties": {"a": {"type": "strin"}}});
        let error = Schema::new(&wrong).unwrap_err();
        assert!(error.contains("/properties/a/type"), "{error}");
        let nowhere = Schema::new(&json!({"$ref": "https://example.com/x"})).unwrap_err();
        assert!(nowhere.contains("example.com"), "{nowhere}");
    }
}
