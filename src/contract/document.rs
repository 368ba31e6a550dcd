//! An OpenAPI 3 document: of its operations those that the target calls, with what it
//! agrees on for their bodies.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::contract::content::Content;
use crate::contract::dialect::Way;
use crate::contract::path::{Path, without_query};
use crate::contract::schema::Schema;
use crate::contract::source::{Source, at, escaped};
use crate::contract::status::{ByStatus, Key};
use crate::model::history::{Answer, Request};

/// A document, as far as the target's operations need it.
#[derive(Debug)]
pub(super) struct Document {
    /// The file's name.
    pub name: String,
    prefix: String,
    /// The most particular paths first.
    operations: Vec<Documented>,
}

/// One operation of the document.
#[derive(Debug)]
pub(super) struct Documented {
    method: String,
    path: Path,
    answers: ByStatus<Content>,
    request: Option<RequestBody>,
}

#[derive(Debug)]
struct RequestBody {
    content: Content,
    required: bool,
}

/// What the document has for an answer.
pub(super) enum Said<'a> {
    /// This is what a body looks like.
    Json(&'a Schema),
    /// The body is of another type.
    Another,
    /// Nothing of the body.
    Nothing,
    /// The operation has no such status.
    NoSuchStatus,
}

impl Documented {
    /// What it says of an answer.
    pub(super) fn says(&self, answer: &Answer) -> Said<'_> {
        match self.answers.of(answer.status) {
            None => Said::NoSuchStatus,
            Some(content) if content.is_another(&answer.headers) => Said::Another,
            Some(content) => match &content.json {
                Some(schema) => Said::Json(schema),
                None if content.others.is_empty() => Said::Nothing,
                None => Said::Another,
            },
        }
    }

    /// Whether it allows a request's body; `None` if it says nothing of it.
    pub(super) fn takes(&self, request: &Request) -> Option<bool> {
        let agreed = self.request.as_ref()?;
        let schema = agreed.content.json.as_ref()?;
        if agreed.content.is_another(&request.headers) {
            return None;
        }
        if request.body.is_empty() {
            return Some(!agreed.required);
        }
        let body: Value = serde_json::from_str(&request.body).ok()?;
        match schema.allows(&body) {
            // What says next to nothing does not promise to take everything.
            true if !agreed.content.says_more => None,
            allows => Some(allows),
        }
    }
}

impl Document {
    /// Takes from a document what is said of these requests: methods, and paths with
    /// holes. The errors are sentences.
    pub(super) fn new(
        name: &str,
        document: &Value,
        requests: &[(&str, String)],
    ) -> Result<Document, Vec<String>> {
        check_version(name, document).map_err(|wrong| vec![wrong])?;
        let Some(paths) = document.get("paths").and_then(Value::as_object) else {
            return Err(vec![format!("`{name}` has no `paths`")]);
        };
        let mut taking = Taking {
            name,
            answers: Source::new(document, Way::Answer).map_err(|wrong| vec![wrong])?,
            requests: Source::new(document, Way::Request).map_err(|wrong| vec![wrong])?,
            problems: Vec::new(),
        };
        let prefix = prefix(document);
        let mut operations = Vec::new();
        for text in paths.keys().filter(|path| path.starts_with('/')) {
            let path = match Path::new(text) {
                Ok(path) => path,
                Err(error) => {
                    let wrong = format!("`{name}`: the path `{text}` cannot be used: {error}");
                    taking.problems.push(wrong);
                    continue;
                }
            };
            let item = format!("/paths/{}", escaped(text));
            for method in methods(requests) {
                let mut own = requests.iter().filter(|request| request.0 == method);
                let called = own.any(|(_, holes)| {
                    let mut ways = within(&prefix, holes);
                    ways.any(|holes| path.may_fit(holes))
                });
                if called {
                    operations.extend(taking.operation(&item, method, path.clone()));
                }
            }
        }
        if !taking.problems.is_empty() {
            return Err(taking.problems);
        }
        operations.sort_by_key(|operation| operation.path.generality());
        Ok(Document {
            name: name.to_owned(),
            prefix,
            operations,
        })
    }

    /// The operation that a request is of.
    pub(super) fn find(&self, request: &Request) -> Option<&Documented> {
        within(&self.prefix, without_query(&request.path)).find_map(|path| {
            let mut operations = self.operations.iter();
            operations.find(|one| one.method == request.method && one.path.fits(path))
        })
    }

    /// Whether a request of the target file, its path with holes, can be one of its
    /// operations'.
    pub(super) fn has(&self, method: &str, holes: &str) -> bool {
        within(&self.prefix, holes).any(|path| {
            let mut operations = self.operations.iter();
            operations.any(|one| one.method == method && one.path.may_fit(path))
        })
    }
}

fn methods<'a>(requests: &[(&'a str, String)]) -> BTreeSet<&'a str> {
    requests.iter().map(|(method, _)| *method).collect()
}

/// A document under way.
struct Taking<'a> {
    name: &'a str,
    answers: Source,
    requests: Source,
    problems: Vec<String>,
}

impl Taking<'_> {
    fn operation(&mut self, item: &str, method: &str, path: Path) -> Option<Documented> {
        let (item, _) = self.answers.follow(item)?;
        let operation = format!("{item}/{}", method.to_lowercase());
        self.answers.at(&operation)?;
        Some(Documented {
            method: method.to_owned(),
            path,
            answers: self.responses(&operation),
            request: self.request(&operation),
        })
    }

    fn responses(&mut self, operation: &str) -> ByStatus<Content> {
        let mut answers = ByStatus::default();
        let place = format!("{operation}/responses");
        let responses = self.answers.at(&place);
        let keys: Vec<String> = responses
            .and_then(Value::as_object)
            .map(|responses| responses.keys().cloned().collect())
            .unwrap_or_default();
        for key in keys.iter().filter(|key| !key.starts_with("x-")) {
            let place = format!("{place}/{}", escaped(key));
            let Some(status) = Key::of(key) else {
                self.problem(at(&place, &format!("`{key}` is no status: {}", Key::HELP)));
                continue;
            };
            let Some((place, _)) = self.answers.follow(&place) else {
                self.problem(at(&place, "this refers to nothing in the document"));
                continue;
            };
            match Content::below(&mut self.answers, &place) {
                Ok(content) => answers.insert(status, content),
                Err(wrong) => self.problems(&wrong),
            }
        }
        answers
    }

    fn request(&mut self, operation: &str) -> Option<RequestBody> {
        let place = format!("{operation}/requestBody");
        self.requests.at(&place)?;
        let Some((place, value)) = self.requests.follow(&place) else {
            self.problem(at(&place, "this refers to nothing in the document"));
            return None;
        };
        let required = value.get("required") == Some(&Value::Bool(true));
        match Content::below(&mut self.requests, &place) {
            Ok(content) => Some(RequestBody { content, required }),
            Err(wrong) => {
                self.problems(&wrong);
                None
            }
        }
    }

    fn problem(&mut self, wrong: String) {
        self.problems(&[wrong]);
    }

    fn problems(&mut self, wrong: &[String]) {
        for wrong in wrong {
            let wrong = format!("`{}`: {wrong}", self.name);
            if !self.problems.contains(&wrong) {
                self.problems.push(wrong);
            }
        }
    }
}

fn check_version(name: &str, document: &Value) -> Result<(), String> {
    let version = |key: &str| document.get(key).map(super::lapse::shown);
    match (version("openapi"), version("swagger")) {
        (Some(version), _) if version.starts_with("3.") => Ok(()),
        (Some(version), _) | (None, Some(version)) => Err(format!(
            "`{name}` is of version {version}, and it has to be OpenAPI 3"
        )),
        (None, None) => Err(format!(
            "`{name}` is no OpenAPI document: it has no `openapi = \"3.0.3\"` or the like"
        )),
    }
}

/// The path of the first server's URL, without the slash at its end.
fn prefix(document: &Value) -> String {
    let server = &document["servers"][0];
    let mut url = server["url"].as_str().unwrap_or_default().to_owned();
    for (name, variable) in server["variables"].as_object().into_iter().flatten() {
        let value = variable["default"].as_str().unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), value);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |begin| &rest[begin..]),
        None => &url,
    };
    path.trim_end_matches('/').to_owned()
}

/// A request's path below the prefix, and, for a service that is called past the server
/// that adds it, as it is.
fn within<'a>(prefix: &str, path: &'a str) -> impl Iterator<Item = &'a str> {
    let below = path.strip_prefix(prefix);
    let below = below.filter(|rest| !prefix.is_empty() && rest.starts_with('/'));
    below.into_iter().chain([path])
}
