//! Stand-ins: their answers, and the webhooks that these cause.

use serde_json::Value;

use super::Checker;
use crate::target::error::Problem;
use crate::target::file::{OperationSection, WebhookSection};
use crate::target::operation::request_line;

impl Checker<'_> {
    pub(super) fn stubs(&self, problems: &mut Vec<Problem>) {
        let answers = self.file.stubs.values().flat_map(|stub| &stub.answers);
        for answer in answers {
            problems.extend(request_line(&answer.request).err());
            let (span, known) = (answer.request.span(), ["n", "request"]);
            for header in answer.headers.values() {
                self.template(header, span.clone(), &known, problems);
            }
            if let Some(body) = &answer.body {
                let json = serde_json::to_value(body).unwrap_or_default();
                self.json(&json, &span, &known, problems);
            }
            if let Some(webhook) = &answer.webhook {
                self.webhook(webhook, problems);
            }
        }
    }

    /// A third party has nobody to ask: it calls as one actor, and knows what stands in
    /// its own answer.
    fn webhook(&self, webhook: &WebhookSection, problems: &mut Vec<Problem>) {
        let (name, span) = (webhook.operation.get_ref(), webhook.operation.span());
        self.operation(&webhook.operation, problems);
        let Some(operation) = self.file.operations.get(name) else {
            return;
        };
        let actors = match &operation.actors {
            Some(actors) => actors.len(),
            None => self.file.actors.len(),
        };
        if actors > 1 {
            let message = format!("`{name}` is called by {actors} actors, a webhook by one");
            let help = format!("name one in [operations.{name}], as in actors = [\"provider\"]");
            problems.push(Problem::new(span.clone(), message).help(help));
        }
        let used = self.used(operation);
        let given = |name: &String| webhook.values.contains_key(name);
        for missing in used.iter().filter(|name| !given(name)) {
            let message = format!("`{name}` uses `{missing}`, which this webhook does not give");
            let help = format!("add it: values = {{ {missing} = \"{{{{ answer.{missing} }}}}\" }}");
            problems.push(Problem::new(span.clone(), message).help(help));
        }
        let used: Vec<&str> = used.iter().map(String::as_str).collect();
        for (given, value) in &webhook.values {
            if !used.contains(&given.as_str()) {
                let kind = format!("value of `{name}`'s");
                problems.push(Problem::unknown(span.clone(), &kind, given, &used));
            }
            let json = serde_json::to_value(value).unwrap_or_default();
            self.json(&json, &span, &["n", "request", "answer"], problems);
        }
    }

    /// What third parties give an operation.
    pub(super) fn given_by_webhooks(&self, operation: &str) -> Vec<String> {
        let answers = self.file.stubs.values().flat_map(|stub| &stub.answers);
        let webhooks = answers.filter_map(|answer| answer.webhook.as_ref());
        let its = webhooks.filter(|webhook| webhook.operation.get_ref() == operation);
        let names = its.flat_map(|webhook| webhook.values.keys());
        names.cloned().collect()
    }

    /// The names that an operation's templates take from its call's values.
    fn used(&self, operation: &OperationSection) -> Vec<String> {
        let mut texts = vec![operation.request.get_ref().clone()];
        let forms = operation.form.iter().flat_map(indexmap::IndexMap::values);
        let plain = forms
            .chain(&operation.raw)
            .chain(operation.headers.values());
        texts.extend(plain.map(|text| text.get_ref().clone()));
        if let Some(body) = &operation.body {
            let json = serde_json::to_value(body.get_ref()).unwrap_or_default();
            all_texts(&json, &mut texts);
        }
        let names = texts
            .iter()
            .filter_map(|text| self.templates.names(text).ok());
        let mut names: Vec<String> = names.flatten().collect();
        names.retain(|name| !["actor", "body", "key", "replica"].contains(&name.as_str()));
        names.sort();
        names.dedup();
        names
    }
}

/// Every text within a JSON value.
fn all_texts(json: &Value, texts: &mut Vec<String>) {
    match json {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| all_texts(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| all_texts(field, texts)),
        _ => {}
    }
}
