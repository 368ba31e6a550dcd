//! One operation of the file, checked as far as it needs no other part of the
//! file, and made ready for use.

use serde_json::Value;
use serde_json_path::JsonPath;
use toml::Spanned;

use crate::target::concerns::{self, Pages, RowPlace};
use crate::target::error::Problem;
use crate::target::extract::Extract;
use crate::target::file::{CaptureSection, FailureSection, OperationSection};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// An operation, ready for use.
#[derive(Debug)]
pub struct Operation {
    /// What the file says.
    pub section: OperationSection,
    /// The HTTP method.
    pub method: String,
    /// The path's template.
    pub path: String,
    /// The JSON body's template.
    pub json: Option<Value>,
    pub(crate) captures: Vec<(String, Extract)>,
    pub(crate) failure: Option<Extract>,
    /// Where it is said which rows a call is about.
    pub row: Option<RowPlace>,
    /// How its pages follow each other.
    pub pages: Option<Pages>,
}

/// Method, path, and everything of an operation that needs no other part.
pub(super) fn operation(section: OperationSection) -> Result<Operation, Problem> {
    let (method, path) = request_line(&section.request)?;
    let bodies = [
        section.body.is_some(),
        section.form.is_some(),
        section.raw.is_some(),
    ];
    if bodies.into_iter().filter(|&given| given).count() > 1 {
        return Err(Problem::new(
            section.request.span(),
            "this operation has more than one of `body`, `form` and `raw`",
        )
        .help("keep the one that the service reads"));
    }
    if let Some(idempotency) = &section.idempotency {
        let keys = idempotency.get_ref();
        if keys.header.is_some() == keys.field.is_some() {
            return Err(Problem::new(
                idempotency.span(),
                "name either `header` or `field`",
            ));
        }
        if keys.field.is_some() && section.body.is_none() && section.form.is_none() {
            return Err(Problem::new(
                idempotency.span(),
                "the key goes into a field, but this operation has no `body` and no `form`",
            ));
        }
    }
    if let Some(once) = &section.once {
        if let Some(request) = &once.get_ref().request {
            request_line(request)?;
        }
        if section.idempotency.is_none() {
            return Err(
                Problem::new(once.span(), "`once` counts the side effects of a key")
                    .help("say where the key goes: idempotency = { header = \"Idempotency-Key\" }"),
            );
        }
        let rule = once.get_ref();
        if rule.sql.is_some() == rule.stub.is_some() {
            return Err(Problem::new(once.span(), "name either `sql` or `stub`"));
        }
        if let Some(sql) = rule
            .sql
            .as_ref()
            .filter(|sql| !sql.get_ref().contains(":key"))
        {
            return Err(Problem::new(sql.span(), "this query does not use the key")
                .help("write `:key` where it goes, as in `WHERE idempotency_key = :key`"));
        }
    }
    let captures = section
        .capture
        .iter()
        .map(|(name, capture)| Ok((name.clone(), extract(capture)?)))
        .collect::<Result<_, Problem>>()?;
    let failure = section.failure.as_ref().map(failure).transpose()?;
    let json = section
        .body
        .as_ref()
        .map(|body| {
            serde_json::to_value(body.get_ref())
                .map_err(|error| Problem::new(body.span(), format!("this is no JSON: {error}")))
        })
        .transpose()?;
    let row = concerns::row(&section)?;
    let pages = concerns::pages(&section)?;
    Ok(Operation {
        section,
        method,
        path,
        json,
        captures,
        failure,
        row,
        pages,
    })
}

/// Splits `POST /path`.
pub(crate) fn request_line(line: &Spanned<String>) -> Result<(String, String), Problem> {
    let wrong = |message: String| {
        Problem::new(line.span(), message).help("write method and path, as in `POST /api/orders`")
    };
    let text = line.get_ref().trim();
    let (method, path) = text
        .split_once(char::is_whitespace)
        .ok_or_else(|| wrong(format!("`{text}` is no request")))?;
    if !METHODS.contains(&method) {
        return Err(wrong(format!("`{method}` is no method")));
    }
    let path = path.trim();
    if !path.starts_with('/') && !path.starts_with("{{") {
        return Err(wrong(format!("the path `{path}` does not begin with `/`")));
    }
    Ok((method.to_owned(), path.to_owned()))
}

pub(super) fn json_path(path: &Spanned<String>) -> Result<Box<JsonPath>, Problem> {
    JsonPath::parse(path.get_ref())
        .map(Box::new)
        .map_err(|error| {
            Problem::new(path.span(), format!("this is no JSONPath: {error}"))
                .help("one looks like `$.user.token` or `$.errors[*]`")
        })
}

fn regex(pattern: &Spanned<String>) -> Result<Extract, Problem> {
    regex::Regex::new(pattern.get_ref())
        .map(Extract::Regex)
        .map_err(|error| {
            Problem::new(
                pattern.span(),
                format!("this is no regular expression: {error}"),
            )
        })
}

fn extract(capture: &Spanned<CaptureSection>) -> Result<Extract, Problem> {
    match capture.get_ref() {
        CaptureSection {
            json: Some(path),
            regex: None,
            header: None,
        } => json_path(path).map(Extract::Json),
        CaptureSection {
            json: None,
            regex: Some(pattern),
            header: None,
        } => regex(pattern),
        CaptureSection {
            json: None,
            regex: None,
            header: Some(name),
        } => Ok(Extract::Header(name.clone())),
        _ => Err(Problem::new(
            capture.span(),
            "name one of `json`, `regex` and `header`",
        )),
    }
}

fn failure(rule: &Spanned<FailureSection>) -> Result<Extract, Problem> {
    match rule.get_ref() {
        FailureSection {
            json: Some(path),
            regex: None,
        } => json_path(path).map(Extract::Json),
        FailureSection {
            json: None,
            regex: Some(pattern),
        } => regex(pattern),
        _ => Err(Problem::new(rule.span(), "name either `json` or `regex`")),
    }
}
