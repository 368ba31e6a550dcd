//! What can be checked in a target file without running anything.

mod stubs;
mod versions;

use serde_json::Value;
use toml::Spanned;

use crate::model::engine::Engine;
use crate::target::error::Problem;
use crate::target::file::{OperationSection, TargetFile, ValueSection};
use crate::target::operation::request_line;
use crate::target::template::Templates;

type Spot = std::ops::Range<usize>;

/// Fewest and most replicas: beyond this the machine measures itself.
const MOST_REPLICAS: usize = 16;

/// The engines that the file names, in its order.
pub(super) fn engines(file: &TargetFile, problems: &mut Vec<Problem>) -> Vec<Engine> {
    let names = Engine::ALL.map(Engine::name);
    file.database
        .engines
        .iter()
        .filter_map(|name| {
            name.get_ref()
                .parse()
                .map_err(|_| {
                    problems.push(Problem::unknown(
                        name.span(),
                        "engine",
                        name.get_ref(),
                        &names,
                    ));
                })
                .ok()
        })
        .collect()
}

/// Whether everything that is referred to by name exists.
pub(super) fn references(file: &TargetFile, templates: &Templates, problems: &mut Vec<Problem>) {
    let checker = Checker { file, templates };
    checker.service(problems);
    checker.versions(problems);
    checker.stubs(problems);
    checker.actors(problems);
    checker.values(problems);
    checker.operations(problems);
}

struct Checker<'a> {
    file: &'a TargetFile,
    templates: &'a Templates,
}

impl Checker<'_> {
    fn service(&self, problems: &mut Vec<Problem>) {
        let service = &self.file.service;
        match (&service.start, service.urls.first()) {
            (None, None) => problems.push(
                Problem::new(0..0, "`[service]` says neither `start` nor `urls`")
                    .help("add start = \"./my-service\", or urls = [\"http://127.0.0.1:8080\"]"),
            ),
            (Some(start), Some(_)) => problems.push(
                Problem::new(start.span(), "`[service]` says both `start` and `urls`")
                    .help("keep `urls` for a service that already runs"),
            ),
            _ => {}
        }
        for url in &service.urls {
            let parsed = url::Url::parse(url.get_ref());
            if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
                problems.push(
                    Problem::new(url.span(), format!("`{}` is no http URL", url.get_ref()))
                        .help("write one such as `http://127.0.0.1:8080`"),
                );
            }
        }
        if let Some(port) = &service.port {
            if service.start.is_none() {
                problems.push(Problem::new(
                    port.span(),
                    "`port` is for a service that deadheat starts",
                ));
            }
            if service.replicas.as_ref().is_some_and(|n| *n.get_ref() > 1) {
                problems.push(
                    Problem::new(port.span(), "several replicas cannot share one port").help(
                        "leave `port` out, and let the service listen on the variable `PORT`",
                    ),
                );
            }
        }
        if let Some(replicas) = &service.replicas
            && !(1..=MOST_REPLICAS).contains(replicas.get_ref())
        {
            problems.push(Problem::new(
                replicas.span(),
                format!("a target runs 1 to {MOST_REPLICAS} replicas"),
            ));
        }
        if let Some(after) = &service.after_restore {
            if after.get_ref() != "restart" && request_line(after).is_err() {
                problems.push(
                    Problem::new(after.span(), "this is neither `restart` nor a request")
                        .help("write `restart`, or a request such as `POST /reset`"),
                );
            }
            if after.get_ref() == "restart" && service.start.is_none() {
                problems.push(
                    Problem::new(
                        after.span(),
                        "a service that deadheat did not start cannot be restarted",
                    )
                    .help("name a request instead, such as `POST /reset`"),
                );
            }
        }
        for template in service.env.values() {
            let known = ["database", "port", "replica", "stubs"];
            self.template(template.get_ref(), template.span(), &known, problems);
        }
        if self.file.database.engines.is_empty() {
            problems.push(
                Problem::new(0..0, "`[database]` names no engine")
                    .help("add engines = [\"postgres\", \"sqlite\"]"),
            );
        }
    }

    fn actors(&self, problems: &mut Vec<Problem>) {
        for actor in self.file.actors.values() {
            for operation in &actor.sign_in {
                self.operation(operation, problems);
            }
            let known = self.call_names(None);
            for header in actor.headers.values() {
                self.template(header.get_ref(), header.span(), &as_strs(&known), problems);
            }
        }
    }

    fn values(&self, problems: &mut Vec<Problem>) {
        for value in self.file.shared.values() {
            self.value(value, &[], problems);
        }
        for operation in self.file.operations.values() {
            for value in operation.values.values() {
                self.value(value, &["actor"], problems);
            }
        }
    }

    fn operations(&self, problems: &mut Vec<Problem>) {
        if !self
            .file
            .operations
            .values()
            .any(|operation| operation.race)
        {
            problems.push(
                Problem::new(0..0, "no operation can be raced")
                    .help("add one: [operations.order] with request = \"POST /api/orders\""),
            );
        }
        let actors: Vec<&str> = self.file.actors.keys().map(String::as_str).collect();
        let stubs: Vec<&str> = self.file.stubs.keys().map(String::as_str).collect();
        for (name, operation) in &self.file.operations {
            for actor in operation.actors.iter().flatten() {
                if !self.file.actors.contains_key(actor.get_ref()) {
                    problems.push(Problem::unknown(
                        actor.span(),
                        "actor",
                        actor.get_ref(),
                        &actors,
                    ));
                }
            }
            for before in &operation.before {
                self.operation(before, problems);
            }
            if let Some(stub) = operation
                .once
                .as_ref()
                .and_then(|once| once.get_ref().stub.as_ref())
                && !self.file.stubs.contains_key(stub.get_ref())
            {
                problems.push(Problem::unknown(
                    stub.span(),
                    "stub",
                    stub.get_ref(),
                    &stubs,
                ));
            }
            let mut names = self.call_names(Some(operation));
            if !operation.race {
                names.extend(self.given_by_webhooks(name));
            }
            let known = as_strs(&names);
            self.template(
                operation.request.get_ref(),
                operation.request.span(),
                &known,
                problems,
            );
            let forms = operation.form.iter().flat_map(indexmap::IndexMap::values);
            for text in forms.chain(&operation.raw) {
                self.template(text.get_ref(), text.span(), &known, problems);
            }
            if let Some(body) = &operation.body {
                let json = serde_json::to_value(body.get_ref()).unwrap_or_default();
                self.json(&json, &body.span(), &known, problems);
            }
            let with_body: Vec<&str> = known.iter().copied().chain(["body"]).collect();
            for header in operation.headers.values() {
                self.template(header.get_ref(), header.span(), &with_body, problems);
            }
        }
    }

    fn operation(&self, reference: &Spanned<String>, problems: &mut Vec<Problem>) {
        if !self.file.operations.contains_key(reference.get_ref()) {
            let known: Vec<&str> = self.file.operations.keys().map(String::as_str).collect();
            problems.push(Problem::unknown(
                reference.span(),
                "operation",
                reference.get_ref(),
                &known,
            ));
        }
    }

    /// The names that the templates of a call may use.
    fn call_names(&self, operation: Option<&OperationSection>) -> Vec<String> {
        let fixed = ["actor", "key", "replica"].map(str::to_owned);
        let captures = self
            .file
            .operations
            .values()
            .flat_map(|operation| operation.capture.keys());
        let values = operation
            .into_iter()
            .flat_map(|operation| operation.values.keys());
        fixed
            .into_iter()
            .chain(self.file.shared.keys().cloned())
            .chain(captures.cloned())
            .chain(values.cloned())
            .collect()
    }

    fn value(&self, value: &Spanned<ValueSection>, known: &[&str], problems: &mut Vec<Problem>) {
        let span = value.span();
        let ways = value.get_ref();
        let given = [
            ways.range.is_some(),
            ways.choice.is_some(),
            ways.rows.is_some(),
            ways.fresh.is_some(),
            ways.pattern.is_some(),
        ];
        if given.into_iter().filter(|&given| given).count() != 1 {
            problems.push(Problem::new(
                span,
                "a value has exactly one of `range`, `choice`, `rows`, `fresh` and `pattern`",
            ));
            return;
        }
        if let Some(range) = &ways.range
            && !matches!(range.get_ref().as_slice(), [low, high] if low <= high)
        {
            problems.push(
                Problem::new(
                    range.span(),
                    "a range is two whole numbers, the lower first",
                )
                .help("write range = [1, 5]"),
            );
        }
        if let Some(choice) = ways
            .choice
            .as_ref()
            .filter(|choice| choice.get_ref().is_empty())
        {
            problems.push(Problem::new(
                choice.span(),
                "there is nothing to choose from",
            ));
        }
        if let Some(rows) = &ways.rows {
            self.template(rows.get_ref(), rows.span(), known, problems);
        }
        if let Some(pattern) = &ways.pattern
            && let Err(error) = proptest::string::string_regex(pattern.get_ref())
        {
            problems.push(Problem::new(
                pattern.span(),
                format!("no text can be made from this pattern: {error}"),
            ));
        }
    }

    fn json(&self, json: &Value, span: &Spot, known: &[&str], problems: &mut Vec<Problem>) {
        match json {
            Value::String(text) => self.template(text, span.clone(), known, problems),
            Value::Array(items) => {
                for item in items {
                    self.json(item, span, known, problems);
                }
            }
            Value::Object(fields) => {
                for field in fields.values() {
                    self.json(field, span, known, problems);
                }
            }
            _ => {}
        }
    }

    fn template(&self, text: &str, span: Spot, known: &[&str], problems: &mut Vec<Problem>) {
        match self.templates.names(text) {
            Err(error) => problems.push(Problem::new(
                span,
                format!("this template cannot be read: {error}"),
            )),
            Ok(names) => {
                for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
                    problems.push(Problem::unknown(span.clone(), "value", name, known));
                }
            }
        }
    }
}

fn as_strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
