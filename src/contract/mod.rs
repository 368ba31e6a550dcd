//! What answers, and JSON request bodies, must look like: the JSON Schemas of the target
//! file, an OpenAPI document, one shape for all errors, and what an earlier run recorded.
//!
//! Schemas are compiled once, before anything runs. Knows no database, no HTTP and no
//! rounds: it is given requests and answers, and says what these break.

mod baseline;
mod content;
mod dialect;
mod document;
mod lapse;
mod path;
mod read;
mod record;
mod schema;
mod source;
mod status;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use toml::Spanned;

use crate::contract::baseline::Baseline;
use crate::contract::document::{Document, Said};
use crate::contract::lapse::{Lapse, What};
use crate::contract::record::Recorder;
use crate::contract::schema::Schema;
use crate::contract::status::{ByStatus, Key};
use crate::files;
use crate::model::history::{Answer, Request};
use crate::model::observed::Breach;
use crate::target::Target;
use crate::target::error::{Invalid, Problem, TargetError};
use crate::target::file::SchemaSource;

/// The file of a recorded contract, unless the target file names another.
const BASELINE: &str = "contract.json";

/// What answers are held to.
#[derive(Debug)]
pub struct Contract {
    /// The target file's own schemas.
    own: BTreeMap<String, ByStatus<Sourced>>,
    document: Option<Document>,
    /// What the body of any other error looks like.
    error: Option<Sourced>,
    /// What an earlier run recorded.
    recorded: Baseline,
    /// The recorded contract's file, and its name.
    file: (PathBuf, String),
    /// What this run records, if it does.
    recorder: Option<Recorder>,
    /// The operations that the document has.
    documented: Vec<String>,
}

/// A schema, and the file that it stands in.
#[derive(Debug)]
struct Sourced {
    schema: Schema,
    source: String,
}

/// What a run has recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// How many operations it has.
    pub operations: usize,
}

impl Contract {
    /// Reads all that the target names, and what was recorded, if there is such a file.
    pub fn open(target: &Target) -> Result<Contract, TargetError> {
        let mut contract = Contract::agreed(target)?;
        let (path, name) = &contract.file;
        if path.exists() {
            let taken = read::read(&target.folder, name)
                .map_err(|wrong| vec![wrong])
                .and_then(|file| baseline::take(name, file));
            let span = baseline_span(target);
            contract.recorded = taken.map_err(|wrong| problems(target, &span, wrong))?;
        }
        Ok(contract)
    }

    /// Reads all that the target names, and records what it hears.
    pub fn recording(target: &Target) -> Result<Contract, TargetError> {
        let mut contract = Contract::agreed(target)?;
        let (path, name) = &contract.file;
        files::try_writing(path).map_err(|error| {
            let wrong = format!("`{name}` cannot be written: {error}");
            target.problem(Problem::new(baseline_span(target), wrong))
        })?;
        contract.recorder = Some(Recorder::default());
        Ok(contract)
    }

    fn agreed(target: &Target) -> Result<Contract, TargetError> {
        let section = &target.file.contract;
        let mut wrong = Vec::new();
        let mut own = BTreeMap::new();
        for (name, operation) in &target.operations {
            let by_status: &mut ByStatus<Sourced> = own.entry(name.clone()).or_default();
            for (key, source) in &operation.section.schemas {
                let Some(status) = Key::of(key.get_ref()) else {
                    let no_status = format!("`{}` is no status", key.get_ref());
                    wrong.push(Problem::new(key.span(), no_status).help(Key::HELP));
                    continue;
                };
                match sourced(target, source) {
                    Ok(schema) => by_status.insert(status, schema),
                    Err(problem) => wrong.push(problem),
                }
            }
        }
        let mut taken = |source: &Spanned<_>| match sourced(target, source) {
            Ok(schema) => Some(schema),
            Err(problem) => {
                wrong.push(problem);
                None
            }
        };
        let error = section.error.as_ref().and_then(&mut taken);
        let document = section.openapi.as_ref().and_then(|openapi| {
            let taken = document(target, openapi.get_ref());
            let span = openapi.span();
            let told = |why: Vec<String>| {
                let each = why.into_iter().map(|why| Problem::new(span.clone(), why));
                wrong.extend(each);
            };
            taken.map_err(told).ok()
        });
        if !wrong.is_empty() {
            return Err(invalid(target, wrong));
        }
        let named = section.baseline.as_ref().map(Spanned::get_ref);
        let name = named.map_or(BASELINE, String::as_str).to_owned();
        let documented = document.iter().flat_map(|document| {
            let all = requests(target);
            let has = all
                .into_iter()
                .filter(|(_, method, path)| document.has(method, path));
            has.map(|(name, ..)| name.to_owned())
        });
        Ok(Contract {
            own,
            documented: documented.collect(),
            document,
            error,
            recorded: Baseline::new(),
            file: (target.folder.join(&name), name),
            recorder: None,
        })
    }

    /// Whether anything says what the answers of an operation look like, beyond the
    /// one shape of all errors.
    pub fn covers(&self, operation: &str) -> bool {
        let says = |by_status: &ByStatus<Sourced>| !by_status.is_empty();
        self.own.get(operation).is_some_and(says)
            || self.documents(operation)
            || self
                .recorded
                .get(operation)
                .is_some_and(|by| !by.is_empty())
    }

    fn documents(&self, operation: &str) -> bool {
        self.documented.iter().any(|name| name == operation)
    }

    /// What an answer breaks.
    pub fn breaches(&self, operation: &str, request: &Request, answer: &Answer) -> Vec<Breach> {
        // It has no body, whatever is agreed on.
        let has_body = request.method != "HEAD";
        let body = Body::of(answer);
        let mut breaches = Vec::new();
        match self.agreed_on(operation, request, answer) {
            Agreed::Nothing => {}
            Agreed::NoSuchStatus(source) => {
                let lapse = Lapse::of_all(What::Status);
                let said = lapse.plain();
                breaches.push(breach(operation, answer, lapse, said, source));
            }
            Agreed::On(schema, source) => {
                for lapse in has_body.then(|| body.lapses(schema)).into_iter().flatten() {
                    let said = lapse.plain();
                    breaches.push(breach(operation, answer, lapse, said, source));
                }
            }
        }
        let recorded = self.recorded.get(operation);
        if let Some(schema) = recorded.and_then(|by_status| by_status.of(answer.status))
            && has_body
        {
            for lapse in body.lapses(schema) {
                let said = lapse.recorded();
                breaches.push(breach(operation, answer, lapse, said, &self.file.1));
            }
        }
        breaches
    }

    /// What is agreed on an answer, apart from what was recorded.
    fn agreed_on(&self, operation: &str, request: &Request, answer: &Answer) -> Agreed<'_> {
        let own = self.own.get(operation);
        if let Some(own) = own.and_then(|by_status| by_status.of(answer.status)) {
            return Agreed::On(&own.schema, &own.source);
        }
        let document = self.document.as_ref().filter(|_| self.documents(operation));
        let documented =
            document.and_then(|document| Some((document.find(request)?, &document.name)));
        let said = documented.map(|(one, name)| (one.says(answer), name));
        let error = self.error.as_ref().filter(|_| answer.status >= 400);
        match (said, error) {
            (Some((Said::Json(schema), name)), _) => Agreed::On(schema, name),
            (Some((Said::Another, _)), _) | (Some((Said::Nothing, _)) | None, None) => {
                Agreed::Nothing
            }
            (_, Some(error)) => Agreed::On(&error.schema, &error.source),
            // An error of the server is told as one.
            (Some((Said::NoSuchStatus, _)), None) if answer.status >= 500 => Agreed::Nothing,
            (Some((Said::NoSuchStatus, name)), None) => Agreed::NoSuchStatus(name),
        }
    }

    /// Whether the document allows a request's JSON body; `None` if it says nothing.
    pub fn takes(&self, operation: &str, request: &Request) -> Option<bool> {
        if !self.documents(operation) {
            return None;
        }
        self.document.as_ref()?.find(request)?.takes(request)
    }

    /// Hears an answer, to record it if this run records.
    pub fn hear(&mut self, operation: &str, answer: &Answer) {
        if let Some(recorder) = &mut self.recorder {
            recorder.hear(operation, answer);
        }
    }

    /// Writes what was recorded; `None` if nothing was that can be relied on.
    pub fn write(&self) -> Result<Option<Recorded>, (PathBuf, std::io::Error)> {
        let schemas = self.recorder.iter().flat_map(Recorder::schemas);
        let schemas: BTreeMap<_, _> = schemas.collect();
        let (path, operations) = (self.file.0.clone(), schemas.len());
        if operations == 0 {
            return Ok(None);
        }
        baseline::write(&path, schemas).map_err(|error| (path.clone(), error))?;
        Ok(Some(Recorded { path, operations }))
    }
}

enum Agreed<'a> {
    On(&'a Schema, &'a str),
    NoSuchStatus(&'a str),
    Nothing,
}

/// An answer's body, parsed when it is first asked for.
struct Body<'a> {
    text: &'a str,
    json: OnceCell<Option<Value>>,
}

impl Body<'_> {
    fn of(answer: &Answer) -> Body<'_> {
        Body {
            text: &answer.body,
            json: OnceCell::new(),
        }
    }

    fn lapses(&self, schema: &Schema) -> Vec<Lapse> {
        let json = || serde_json::from_str(self.text).ok();
        if let Some(body) = self.json.get_or_init(json) {
            return schema.lapses(body);
        }
        let empty = self.text.trim().is_empty();
        let value = (!empty).then(|| lapse::shown(&Value::from(self.text)));
        let lapse = Lapse::of_all(What::NoJson { empty });
        vec![Lapse { value, ..lapse }]
    }
}

fn breach(operation: &str, answer: &Answer, lapse: Lapse, kind: String, source: &str) -> Breach {
    Breach {
        operation: operation.to_owned(),
        status: answer.status,
        keyword: lapse.keyword().to_owned(),
        kind,
        source: source.to_owned(),
        place: lapse.place,
        value: lapse.value,
    }
}

/// Every operation of the target: its name, its method, its path with holes.
fn requests(target: &Target) -> Vec<(&str, &str, String)> {
    let operations = target.operations.iter();
    operations
        .map(|(name, operation)| {
            let holes = path::with_holes(&operation.path);
            (name.as_str(), operation.method.as_str(), holes)
        })
        .collect()
}

fn document(target: &Target, name: &str) -> Result<Document, Vec<String>> {
    let document = read::read(&target.folder, name).map_err(|wrong| vec![wrong])?;
    let requests = requests(target).into_iter();
    let requests: Vec<(&str, String)> = requests.map(|(_, method, path)| (method, path)).collect();
    Document::new(name, &document, &requests)
}

fn sourced(target: &Target, source: &Spanned<SchemaSource>) -> Result<Sourced, Problem> {
    let wrong = |why: String| Problem::new(source.span(), why);
    let (value, name) = match source.get_ref() {
        SchemaSource::File(file) => {
            let value = read::read(&target.folder, file).map_err(wrong)?;
            (value, file.clone())
        }
        SchemaSource::Inline(table) => {
            let value = serde_json::to_value(table)
                .map_err(|error| wrong(format!("this is no JSON: {error}")))?;
            (value, crate::target::FILE_NAME.to_owned())
        }
    };
    let schema = Schema::new(&value)
        .map_err(|why| wrong(format!("this is no JSON Schema: `{name}`: {why}")))?;
    Ok(Sourced {
        schema,
        source: name,
    })
}

fn baseline_span(target: &Target) -> std::ops::Range<usize> {
    let named = target.file.contract.baseline.as_ref();
    named.map_or(0..0, Spanned::span)
}

fn problems(target: &Target, span: &std::ops::Range<usize>, wrong: Vec<String>) -> TargetError {
    let each = wrong.into_iter().map(|why| Problem::new(span.clone(), why));
    invalid(target, each.collect())
}

fn invalid(target: &Target, mut problems: Vec<Problem>) -> TargetError {
    problems.sort_by_key(|problem| problem.span.start);
    TargetError::Invalid(Box::new(Invalid {
        path: target.path.clone(),
        text: target.text.clone(),
        problems,
    }))
}
