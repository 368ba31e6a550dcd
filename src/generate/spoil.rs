//! What can be wrong with a request: one field that is missing, null, of another type, or
//! beyond what anybody means; one value of the path or the query that makes no sense.
//! Knows not which of it a service has to refuse.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::Row;
use crate::model::scenario::Spoil;
use crate::target::{Operation, Target};

/// A text that nobody types, longer than what most columns and fields take.
const LONG: usize = 10_000;

/// What can be wrong with a call of an operation, the likeliest mistakes first. `body` is
/// its request's JSON body, if it has one, and `values` are what it was made of.
pub fn spoils(
    target: &Target,
    operation: &Operation,
    body: Option<&Value>,
    values: &Row,
) -> Vec<Spoil> {
    let mut places = Vec::new();
    if let Some(body) = body {
        inner(body, "", &mut places);
    }
    let at = |place: &str, with: Option<Value>| Spoil {
        place: place.to_owned(),
        with,
    };
    let mut spoils = Vec::new();
    spoils.extend(places.iter().map(|(place, _)| at(place, None)));
    spoils.extend(places.iter().map(|(place, _)| at(place, Some(Value::Null))));
    let wrong = |value: &Value| match value {
        Value::Object(_) => json!([]),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null | Value::Array(_) => {
            json!({ "deadheat": true })
        }
    };
    let others = places.iter();
    spoils.extend(others.map(|(place, value)| at(place, Some(wrong(value)))));
    for (place, value) in &places {
        let odd: &[Value] = match value {
            Value::Number(_) => &[json!(-1), json!(0), json!(i64::MAX), json!("one")],
            Value::String(_) => &[json!(""), json!(7), json!("x".repeat(LONG))],
            Value::Array(_) => &[json!([])],
            _ => &[],
        };
        spoils.extend(odd.iter().map(|odd| at(place, Some(odd.clone()))));
    }
    let in_path: BTreeSet<String> = target
        .templates
        .names(&operation.path)
        .unwrap_or_default()
        .into_iter()
        .collect();
    let named = values.iter().filter(|(name, _)| in_path.contains(*name));
    for (name, value) in named {
        // Nothing that would end the path or begin the query: it goes where the value does.
        let odd: &[Value] = match value {
            Value::Number(_) => &[json!("one"), json!(-1), json!("99999999999999999999")],
            _ => &[json!("~")],
        };
        spoils.extend(odd.iter().map(|odd| at(name, Some(odd.clone()))));
    }
    spoils
}

/// The places within a JSON value, itself left out, and what stands there.
fn inner(value: &Value, at: &str, places: &mut Vec<(String, Value)>) {
    let mut add = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let place = format!("{at}/{name}");
        places.push((place.clone(), value.clone()));
        inner(value, &place, places);
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                add(name, value);
            }
        }
        // The others are made as the first is.
        Value::Array(items) => {
            if let Some(first) = items.first() {
                add("0", first);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_field_and_every_value_of_the_path_is_spoiled() {
        let text = "[service]\nstart = 'x'\n[database]\nengines = ['sqlite']\n\
            [operations.note]\nrequest = 'PUT /orders/{{ order }}'\n\
            body = { note = '{{ note }}', items = [{ n = 1 }] }\n\
            values.order = { range = [1, 2] }\nvalues.note = { pattern = '[a-z]+' }\n";
        let target = Target::parse(Path::new("x"), Path::new("/"), text.to_owned()).unwrap();
        let body = json!({ "note": "a", "items": [{ "n": 1 }] });
        let values = json!({ "order": 1, "note": "a" });
        let operation = &target.operations["note"];
        let spoils = spoils(&target, operation, Some(&body), values.as_object().unwrap());
        let texts: Vec<String> = spoils.iter().map(ToString::to_string).collect();
        for wanted in [
            "no `/note`",
            "`/note` is null",
            "`/items/0/n` is -1",
            "`/items` is []",
            "`order` is \"one\"",
        ] {
            assert!(
                texts.iter().any(|text| text == wanted),
                "{wanted}: {texts:?}"
            );
        }
        assert!(
            spoils.iter().all(|spoil| spoil.place != "note"),
            "it is in no path"
        );
    }
}
