//! What a document says of one body: its media types, and what it looks like as JSON.

use serde_json::Value;

use crate::contract::schema::Schema;
use crate::contract::source::{Source, escaped};

/// What a body may be.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// What it looks like if it is JSON.
    pub json: Option<Schema>,
    /// Whether the schema says more than a type.
    pub says_more: bool,
    /// What else it may be: media types.
    pub others: Vec<String>,
}

impl Content {
    /// What stands below a place of a document; the errors are sentences.
    pub(super) fn below(source: &mut Source, place: &str) -> Result<Content, Vec<String>> {
        let content = source.at(&format!("{place}/content"));
        let Some(content) = content.and_then(Value::as_object) else {
            return Ok(Content::default());
        };
        let media: Vec<String> = content.keys().cloned().collect();
        let first = |is: fn(&str) -> bool| media.iter().find(|media| is(essence(media)));
        let json = first(|media| media.eq_ignore_ascii_case("application/json"))
            .or_else(|| first(is_json))
            .or_else(|| first(|media| media == "application/*" || media == "*/*"));
        let others = media.iter().map(|media| essence(media).to_owned());
        let mut taken = Content {
            others: others.filter(|media| !is_json(media)).collect(),
            ..Content::default()
        };
        if let Some(json) = json {
            let place = format!("{place}/content/{}/schema", escaped(json));
            if source.at(&place).is_some() {
                taken.json = Some(source.schema(&place)?);
                let schema = source.follow(&place);
                taken.says_more = schema.is_some_and(|(_, schema)| says_more(schema));
            }
        }
        Ok(taken)
    }

    /// Whether headers say that a body is of another type, which is allowed as well.
    pub(super) fn is_another(&self, headers: &[(String, String)]) -> bool {
        let mut headers = headers.iter();
        let of_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        of_type.is_some_and(|(_, value)| {
            let media = essence(value);
            !is_json(media) && self.others.iter().any(|other| fits(other, media))
        })
    }
}

/// Whether a schema says more than of which type a body is.
fn says_more(schema: &Value) -> bool {
    const LITTLE: [&str; 6] = [
        "type",
        "title",
        "description",
        "example",
        "examples",
        "default",
    ];
    let keys = schema.as_object().into_iter().flatten();
    keys.filter(|(key, value)| !(*key == "additionalProperties" && **value == Value::Bool(true)))
        .any(|(key, _)| !LITTLE.contains(&key.as_str()))
}

/// A media type without its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn is_json(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}

/// Whether a media type is one of a range such as `text/*`.
fn fits(range: &str, media: &str) -> bool {
    match range.strip_suffix('*') {
        Some("*/") => true,
        Some(family) => media.starts_with(family),
        None => media.eq_ignore_ascii_case(range),
    }
}
