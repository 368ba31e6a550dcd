//! What the answers of a run have in common, as JSON Schemas.
//!
//! Later versions are held to it, and a false alarm costs more than a miss: whatever was
//! not seen often enough to be relied on is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::history::Answer;

/// What was seen in fewer answers says nothing: that a field is always there, or never
/// null, cannot be told from a few.
const FEWEST_ANSWERS: u64 = 5;

/// An enum is told from no fewer answers: its rare values have to have come up, too.
const FEWEST_FOR_VALUES: u64 = 100;

/// Each value of an enum was in as many answers. One that came up once or twice says that
/// others may not have come up yet.
const FEWEST_OF_EACH: u64 = 5;

/// An enum has at least two values (one may be what the fixtures happen to hold) and at
/// most as many: more are names of things.
const FEWEST_VALUES: usize = 2;
const MOST_VALUES: usize = 8;

/// A value of an enum is no longer.
const LONGEST_VALUE: usize = 32;

/// An object with more fields is a map, whose keys are data.
const MOST_FIELDS: usize = 200;

/// What lies deeper is not recorded: such answers are trees of no fixed shape.
const MOST_DEPTH: usize = 32;

/// The answers of a run, summed up.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    answers: BTreeMap<String, BTreeMap<u16, Answers>>,
}

/// The answers of an operation with one status.
#[derive(Debug, Default)]
struct Answers {
    number: u64,
    /// Whether one of them was no JSON.
    other: bool,
    seen: Seen,
}

/// What stood at one place.
#[derive(Debug, Default)]
struct Seen {
    /// How often anything did.
    times: u64,
    /// In how many answers, and which was the last.
    answers: Count,
    nulls: u64,
    booleans: u64,
    numbers: u64,
    texts: u64,
    lists: u64,
    objects: u64,
    /// The texts; `None` if they are no enum's.
    values: Few<Count>,
    /// The fields of objects; `None` if these are maps.
    fields: Few<Seen>,
    /// The items of lists.
    items: Option<Box<Seen>>,
}

/// Named things, until they are too many: then they are open.
#[derive(Debug)]
struct Few<T>(Option<BTreeMap<String, T>>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few(Some(BTreeMap::new()))
    }
}

impl<T: Default> Few<T> {
    fn at(&mut self, name: &str, most: usize) -> Option<&mut T> {
        let full = |few: &BTreeMap<_, _>| few.len() == most && !few.contains_key(name);
        if self.0.as_ref().is_some_and(full) {
            self.0 = None;
        }
        let few = self.0.as_mut()?;
        if !few.contains_key(name) {
            few.insert(name.to_owned(), T::default());
        }
        few.get_mut(name)
    }
}

/// Counts answers, each once.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    answers: u64,
    last: u64,
}

impl Count {
    fn in_answer(&mut self, number: u64) {
        if self.last != number {
            self.last = number;
            self.answers += 1;
        }
    }
}

impl Recorder {
    /// Hears an answer. Errors of the server are nobody's agreement.
    pub(super) fn hear(&mut self, operation: &str, answer: &Answer) {
        if answer.status >= 500 {
            return;
        }
        let of_operation = self.answers.entry(operation.to_owned()).or_default();
        let answers = of_operation.entry(answer.status).or_default();
        if answers.other {
            return;
        }
        match serde_json::from_str(&answer.body) {
            Ok(body) => {
                answers.number += 1;
                answers.seen.hear(&body, answers.number, 0);
            }
            Err(_) => {
                *answers = Answers {
                    other: true,
                    ..Answers::default()
                };
            }
        }
    }

    /// Schemas by operation and status, of all that was answered often enough.
    pub(super) fn schemas(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        let of_operation = |(name, answers): (&String, &BTreeMap<u16, Answers>)| {
            let schemas: BTreeMap<String, Value> = answers
                .iter()
                .filter(|(_, answers)| answers.number >= FEWEST_ANSWERS)
                .map(|(status, answers)| (status.to_string(), answers.seen.schema()))
                .collect();
            (!schemas.is_empty()).then(|| (name.clone(), schemas))
        };
        self.answers.iter().filter_map(of_operation).collect()
    }
}

impl Seen {
    fn hear(&mut self, value: &Value, number: u64, depth: usize) {
        self.times += 1;
        self.answers.in_answer(number);
        if depth == MOST_DEPTH {
            return;
        }
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.booleans += 1,
            Value::Number(_) => self.numbers += 1,
            Value::String(text) => {
                self.texts += 1;
                if !is_identifier(text) {
                    self.values = Few(None);
                } else if let Some(count) = self.values.at(text, MOST_VALUES) {
                    count.in_answer(number);
                }
            }
            Value::Array(items) => {
                self.lists += 1;
                for item in items {
                    let seen = self.items.get_or_insert_default();
                    seen.hear(item, number, depth + 1);
                }
            }
            Value::Object(fields) => {
                self.objects += 1;
                for (name, field) in fields {
                    if let Some(seen) = self.fields.at(name, MOST_FIELDS) {
                        seen.hear(field, number, depth + 1);
                    }
                }
            }
        }
    }

    fn schema(&self) -> Value {
        // All numbers are one type: many languages write 10.0 as 10.
        let kinds = [
            ("boolean", self.booleans),
            ("number", self.numbers),
            ("string", self.texts),
            ("array", self.lists),
            ("object", self.objects),
        ];
        let mut types: Vec<&str> = kinds
            .iter()
            .filter(|(_, times)| *times > 0)
            .map(|(name, _)| *name)
            .collect();
        let mut schema = Map::new();
        // Of what was only ever null nobody knows what else it may be.
        if self.answers.answers < FEWEST_ANSWERS || types.is_empty() {
            return Value::Object(schema);
        }
        let values = self.values(&types);
        if self.nulls > 0 {
            types.push("null");
        }
        schema.insert(
            "type".to_owned(),
            match types[..] {
                [one] => json!(one),
                _ => json!(types),
            },
        );
        if let Some(values) = values {
            schema.insert("enum".to_owned(), values);
        }
        if let (true, Some(fields)) = (self.objects > 0, &self.fields.0) {
            let always = fields.iter().filter(|(_, seen)| seen.times == self.objects);
            let required: Vec<&String> = always.map(|(name, _)| name).collect();
            let each = fields.iter();
            let properties: Map<String, Value> = each
                .map(|(name, seen)| (name.clone(), seen.schema()))
                .collect();
            schema.insert("properties".to_owned(), Value::Object(properties));
            schema.insert("required".to_owned(), json!(required));
        }
        if let Some(items) = &self.items {
            schema.insert("items".to_owned(), items.schema());
        }
        Value::Object(schema)
    }

    /// The values of an enum, if it is one.
    fn values(&self, types: &[&str]) -> Option<Value> {
        let values = self.values.0.as_ref()?;
        let is_enum = types == ["string"]
            && self.answers.answers >= FEWEST_FOR_VALUES
            && values.len() >= FEWEST_VALUES
            && values.values().all(|count| count.answers >= FEWEST_OF_EACH);
        let mut values: Vec<Value> = values.keys().map(|value| json!(value)).collect();
        if self.nulls > 0 {
            values.push(Value::Null);
        }
        is_enum.then_some(Value::Array(values))
    }
}

/// Whether a text may be a value of an enum: words in one case with `_` or `-` between
/// them, such as `in_transit` or `IN_TRANSIT`. Names of people and things are none.
fn is_identifier(text: &str) -> bool {
    let all = |is: fn(&u8) -> bool| {
        let mut bytes = text.bytes();
        bytes
            .next()
            .is_some_and(|first| is(&first) && first.is_ascii_alphabetic())
            && bytes.all(|byte| is(&byte) || byte == b'_' || byte == b'-')
    };
    text.len() <= LONGEST_VALUE && (all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// What is recorded of answers of `read` with 200.
    fn recorded(bodies: impl IntoIterator<Item = Value>) -> Value {
        let mut recorder = Recorder::default();
        for body in bodies {
            recorder.hear("read", &answer(200, &body.to_string()));
        }
        recorder.schemas()["read"]["200"].clone()
    }

    fn times(times: usize, bodies: &[Value]) -> Vec<Value> {
        (0..times).flat_map(|_| bodies.to_vec()).collect()
    }

    #[test]
    fn what_all_answers_have_is_required_and_types_are_joined() {
        let bodies = [
            json!({"id": 1, "note": null, "tags": [], "price": 1}),
            json!({"id": 2, "note": "x", "tags": [{"a": 1}, {"a": 2, "b": true}], "extra": null, "price": 1.5}),
        ];
        assert_eq!(
            recorded(times(5, &bodies)),
            json!({
                "type": "object",
                "properties": {
                    "extra": {},
                    "id": {"type": "number"},
                    "note": {"type": ["string", "null"]},
                    "price": {"type": "number"},
                    "tags": {"type": "array", "items": {
                        "type": "object",
                        "properties": {"a": {"type": "number"}, "b": {"type": "boolean"}},
                        "required": ["a"]
                    }}
                },
                "required": ["id", "note", "price", "tags"]
            })
        );
        assert_eq!(recorded(times(9, &[json!([])])), json!({"type": "array"}));
    }

    #[test]
    fn what_was_seen_seldom_is_left_open() {
        let mut recorder = Recorder::default();
        for _ in 0..4 {
            recorder.hear("read", &answer(200, "{}"));
            recorder.hear("read", &answer(503, "{}"));
        }
        assert!(recorder.schemas().is_empty());
        let mut bodies = times(9, &[json!({})]);
        bodies.push(json!({"a": 1}));
        assert_eq!(recorded(bodies)["properties"]["a"], json!({}));
        for body in ["{}", "{}", "{}", "{}", "{}", "oops", "{}"] {
            recorder.hear("page", &answer(200, body));
        }
        assert!(!recorder.schemas().contains_key("page"));
    }

    #[test]
    fn enums_are_told_from_many_answers_of_few_words() {
        let status = |texts: &[&str], each: usize| {
            let bodies: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
            recorded(times(each, &bodies))["enum"].clone()
        };
        assert_eq!(status(&["paid", "open"], 50), json!(["open", "paid"]));
        assert_eq!(status(&["paid", "open"], 49), Value::Null, "few answers");
        assert_eq!(status(&["open"], 200), Value::Null, "one value");
        assert_eq!(status(&["Anvil", "Rope"], 90), Value::Null, "names");
        assert_eq!(status(&["a1", "b2"], 90), Value::Null, "ids");
        let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert_eq!(status(&nine, 90), Value::Null, "many values");
        let mut rare = times(90, &[json!("open"), json!("paid"), Value::Null]);
        assert_eq!(
            recorded(rare.clone())["enum"],
            json!(["open", "paid", null])
        );
        rare.push(json!("void"));
        assert_eq!(recorded(rare)["enum"], Value::Null, "a rare value");
        // Rows that each answer repeats are one observation of it.
        let list = json!(["open", "paid"].repeat(200));
        assert_eq!(
            recorded(times(9, &[list]))["items"],
            json!({"type": "string"})
        );
    }

    #[test]
    fn maps_and_deep_trees_do_not_grow() {
        let map = |from: usize| -> Value {
            let entries = (from..from + 60).map(|key| (key.to_string(), json!(1)));
            Value::Object(entries.collect())
        };
        let schema = recorded((0..10).map(|n| map(n * 60)));
        assert_eq!(schema, json!({"type": "object"}));
        let deep = (0..80).fold(json!(1), |inner, _| json!([inner]));
        let text = recorded(times(9, &[deep])).to_string();
        assert_eq!(text.matches("array").count(), MOST_DEPTH);
    }
}
