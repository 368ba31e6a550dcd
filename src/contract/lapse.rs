//! One thing that a body breaks, and the words for it.

use serde_json::Value;

/// The longest value that is shown whole.
const SHOWN: usize = 80;

/// One thing that a body breaks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lapse {
    /// A JSON pointer with `*` for every index; empty for the body itself.
    pub place: String,
    /// What is wrong there.
    pub what: What,
    /// What stands there, shortened.
    pub value: Option<String>,
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A field that has to be there is not.
    Missing,
    /// Null, where that is not allowed.
    Null,
    /// A value of another type.
    Type { is: &'static str, agreed: String },
    /// None of the values that are agreed on.
    Value { is: String, agreed: String },
    /// A field that nobody agreed on, where only those may be there.
    Unexpected,
    /// No JSON at all.
    NoJson { empty: bool },
    /// A status that the document does not have.
    Status,
    /// Another keyword of the schema, and what the validator says of it.
    Other { keyword: String, says: String },
}

impl Lapse {
    /// Something about the whole body.
    pub(super) fn of_all(what: What) -> Lapse {
        Lapse {
            place: String::new(),
            what,
            value: None,
        }
    }

    /// One word for the kind, so that one cause has one name.
    pub(super) fn keyword(&self) -> &str {
        match &self.what {
            What::Missing => "missing",
            What::Null => "null",
            What::Type { .. } => "type",
            What::Value { .. } => "value",
            What::Unexpected => "unexpected",
            What::NoJson { .. } => "json",
            What::Status => "status",
            What::Other { keyword, .. } => keyword,
        }
    }

    /// In plain words, held to a document or a schema.
    pub(super) fn plain(&self) -> String {
        let name = self.name();
        match &self.what {
            What::Missing => format!("the field {name} is missing"),
            What::Null => format!("{name} is null, and must not be"),
            What::Type { is, agreed } => format!("{name} is {is}, and not {agreed}"),
            What::Value { is, agreed } => format!("{name} is `{is}`, none of {agreed}"),
            What::Unexpected => format!("the field {name} is not agreed on"),
            What::NoJson { empty: true } => "the body is empty, and no JSON".to_owned(),
            What::NoJson { empty: false } => "the body is no JSON".to_owned(),
            What::Status => "a status that the document does not have".to_owned(),
            What::Other { says, .. } => format!("{name} is not as agreed: {says}"),
        }
    }

    /// In plain words, held to what was recorded: what it breaks for clients of that.
    pub(super) fn recorded(&self) -> String {
        let name = self.name();
        let what = match &self.what {
            What::Missing => format!("read {name}, which is gone"),
            What::Null => format!("do not expect null in {name}"),
            What::Type { is, agreed } => format!("expect {agreed} in {name}, and not {is}"),
            What::Value { is, .. } => format!("know no value `{is}` of {name}"),
            What::Unexpected => format!("know no field {name}"),
            What::NoJson { .. } => "read JSON, and the body is none".to_owned(),
            What::Status => "know no such status".to_owned(),
            What::Other { says, .. } => format!("expect {name} otherwise: {says}"),
        };
        format!("clients of the recorded contract {what}")
    }

    fn name(&self) -> String {
        let unescaped = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
        let mut segments = self.place.rsplit('/').map(unescaped);
        match segments.next().as_deref() {
            None | Some("") => "the body".to_owned(),
            Some("*") => match segments.find(|segment| segment != "*") {
                Some(list) if !list.is_empty() => format!("an entry of `{list}`"),
                _ => "an entry of the list".to_owned(),
            },
            Some(name) => format!("`{name}`"),
        }
    }
}

/// A value as a text that is not long.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// What a value is, in plain words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_names_and_long_values_an_end() {
        let name = |place: &str| {
            Lapse {
                place: place.to_owned(),
                what: What::Null,
                value: None,
            }
            .plain()
        };
        let null = |name: &str| format!("{name} is null, and must not be");
        assert_eq!(name(""), null("the body"));
        assert_eq!(name("/*"), null("an entry of the list"));
        assert_eq!(name("/items/*"), null("an entry of `items`"));
        assert_eq!(name("/items/*/a~1b"), null("`a/b`"));
        let long = shown(&Value::String("ß".repeat(200)));
        assert_eq!(long.chars().count(), SHOWN + 3);
    }
}
