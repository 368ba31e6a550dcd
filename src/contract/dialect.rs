//! From OpenAPI's dialect to JSON Schema's newest: what 3.0 says in words of its own,
//! and what holds for one direction only.
//!
//! Documents mix the versions' words, so none is asked which it is of.

use serde_json::{Map, Value, json};

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the service: fields that are only read need not be there.
    Request,
    /// From the service: fields that are only written need not be.
    Answer,
}

/// Keys whose values are taken literally.
pub(super) const LITERAL: [&str; 5] = ["example", "examples", "enum", "const", "default"];

/// Keys whose values are maps from names, which may look like keywords.
const NAMED: [&str; 18] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
    "responses",
    "parameters",
    "requestBodies",
    "headers",
    "callbacks",
    "links",
    "securitySchemes",
    "pathItems",
    "paths",
    "content",
    "webhooks",
    "mapping",
];

/// Keywords beside which a type's union would not let null in.
const COMPOUND: [&str; 6] = ["$ref", "allOf", "anyOf", "oneOf", "not", "const"];

/// A document with all its schemas as JSON Schema has them.
pub(super) fn json_schemas(document: &Value, way: Way) -> Value {
    Dialect { document, way }.mended(document, false)
}

struct Dialect<'a> {
    document: &'a Value,
    way: Way,
}

impl Dialect<'_> {
    fn mended(&self, value: &Value, named: bool) -> Value {
        match value {
            Value::Object(fields) => {
                let each = |(key, value): (&String, &Value)| {
                    let mended = if named {
                        self.mended(value, false)
                    } else if LITERAL.contains(&key.as_str()) {
                        value.clone()
                    } else {
                        self.mended(value, NAMED.contains(&key.as_str()) && value.is_object())
                    };
                    (key.clone(), mended)
                };
                let mended: Map<String, Value> = fields.iter().map(each).collect();
                if named {
                    Value::Object(mended)
                } else {
                    self.schema(mended)
                }
            }
            Value::Array(items) => items.iter().map(|item| self.mended(item, false)).collect(),
            other => other.clone(),
        }
    }

    /// What is no schema has none of these words.
    fn schema(&self, mut schema: Map<String, Value>) -> Value {
        limit(&mut schema, "minimum", "exclusiveMinimum");
        limit(&mut schema, "maximum", "exclusiveMaximum");
        self.require_less(&mut schema);
        if schema.get("nullable").is_some_and(Value::is_boolean) {
            let nullable = schema.shift_remove("nullable");
            if nullable == Some(Value::Bool(true)) {
                return or_null(schema);
            }
        }
        Value::Object(schema)
    }

    /// Takes from `required` what the other way alone requires.
    fn require_less(&self, schema: &mut Map<String, Value>) {
        let word = match self.way {
            Way::Request => "readOnly",
            Way::Answer => "writeOnly",
        };
        let properties = schema.get("properties").cloned().unwrap_or_default();
        let of_other_way = |name: &Value| {
            let property = name.as_str().and_then(|name| properties.get(name));
            property.is_some_and(|property| {
                let says = |schema: &Value| schema.get(word) == Some(&Value::Bool(true));
                says(property) || follow(self.document, property).is_some_and(says)
            })
        };
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|name| !of_other_way(name));
        }
    }
}

/// What a value refers to within its document, if it does.
fn follow<'a>(document: &'a Value, value: &Value) -> Option<&'a Value> {
    let pointer = super::source::pointer_of(value.get("$ref")?.as_str()?)?;
    document.pointer(&pointer)
}

/// `minimum: 5, exclusiveMinimum: true` is `exclusiveMinimum: 5`.
fn limit(schema: &mut Map<String, Value>, limit: &str, exclusive: &str) {
    if !schema.get(exclusive).is_some_and(Value::is_boolean) {
        return;
    }
    if schema.shift_remove(exclusive) == Some(Value::Bool(true))
        && let Some(value) = schema.shift_remove(limit)
    {
        schema.insert(exclusive.to_owned(), value);
    }
}

fn or_null(mut schema: Map<String, Value>) -> Value {
    if COMPOUND.iter().any(|key| schema.contains_key(*key)) {
        return json!({ "anyOf": [schema, { "type": "null" }] });
    }
    let none = json!("null");
    match schema.get_mut("type") {
        Some(Value::Array(types)) if !types.contains(&none) => types.push(none),
        Some(one @ Value::String(_)) => *one = json!([one.take(), none]),
        _ => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(schema: &Value) -> Value {
        json_schemas(schema, Way::Answer)
    }

    #[test]
    fn nullable_is_a_union() {
        assert_eq!(
            answer(&json!({"type": "string", "nullable": true, "enum": ["a"]})),
            json!({"type": ["string", "null"], "enum": ["a", null]})
        );
        assert_eq!(
            answer(&json!({"$ref": "#/x", "nullable": true})),
            json!({"anyOf": [{"$ref": "#/x"}, {"type": "null"}]})
        );
        assert_eq!(
            answer(&json!({"type": "object", "allOf": [{"$ref": "#/x"}], "nullable": true})),
            json!({"anyOf": [{"type": "object", "allOf": [{"$ref": "#/x"}]}, {"type": "null"}]})
        );
        assert_eq!(
            answer(&json!({"type": "string", "nullable": false})),
            json!({"type": "string"})
        );
    }

    #[test]
    fn limits_are_numbers() {
        assert_eq!(
            answer(
                &json!({"minimum": 5, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false})
            ),
            json!({"maximum": 9, "exclusiveMinimum": 5})
        );
        let new = json!({"exclusiveMinimum": 5});
        assert_eq!(answer(&new), new);
    }

    #[test]
    fn fields_and_examples_may_be_called_as_they_like() {
        let schema = json!({
            "properties": {
                "nullable": {"type": "boolean", "nullable": true},
                "example": {"type": "string", "nullable": true},
                "properties": {"type": "string", "nullable": true}
            },
            "example": {"nullable": true}
        });
        let mended = answer(&schema);
        for name in ["nullable", "example", "properties"] {
            assert!(mended["properties"][name]["type"].is_array(), "{mended}");
        }
        assert_eq!(mended["example"], schema["example"]);
    }

    #[test]
    fn each_way_requires_its_own() {
        let schema = json!({
            "required": ["id", "name", "secret"],
            "properties": {
                "id": {"readOnly": true}, "name": {}, "secret": {"$ref": "#/$defs/secret"}
            },
            "$defs": {"secret": {"writeOnly": true}}
        });
        assert_eq!(answer(&schema)["required"], json!(["id", "name"]));
        let request = json_schemas(&schema, Way::Request);
        assert_eq!(request["required"], json!(["name", "secret"]));
    }
}
