//! What a stand-in answers.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::model::history::Request;
use crate::target::error::{Problem, TargetError};
use crate::target::file::{StubAnswerSection, StubSection, WebhookSection};
use crate::target::template::Templates;
use crate::target::{Target, request_line};

use super::webhook::Webhook;

/// The answers of one stand-in, the first that fits counts.
#[derive(Debug)]
pub(super) struct Answers {
    answers: Vec<Prepared>,
    templates: Templates,
}

#[derive(Debug)]
struct Prepared {
    method: String,
    path: String,
    status: http::StatusCode,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    webhook: Option<WebhookSection>,
}

/// An answer that is given.
pub(super) struct Given {
    pub response: hyper::Response<Full<Bytes>>,
    /// What it causes.
    pub webhook: Option<Webhook>,
}

/// What an answer's templates have become.
struct Rendered {
    headers: Vec<(String, String)>,
    body: String,
    webhook: Option<Webhook>,
}

impl Answers {
    pub(super) fn new(target: &Target, section: &StubSection) -> Result<Answers, TargetError> {
        let answers = section
            .answers
            .iter()
            .map(prepare)
            .collect::<Result<_, Problem>>()
            .map_err(|problem| target.problem(problem))?;
        Ok(Answers {
            answers,
            templates: Templates::default(),
        })
    }

    fn fitting(&self, request: &Request) -> Option<&Prepared> {
        let fits = |answer: &&Prepared| {
            answer.method == request.method && super::fits(&answer.path, &request.path)
        };
        self.answers.iter().find(fits)
    }

    /// The request line of the target file that a request fits; its own, if none.
    pub(super) fn line(&self, request: &Request) -> String {
        match self.fitting(request) {
            Some(answer) => format!("{} {}", answer.method, answer.path),
            None => own_line(request),
        }
    }

    /// The answer to the stand-in's `number`th request of the round.
    pub(super) fn to(&self, request: &Request, number: u64) -> Given {
        let Some(answer) = self.fitting(request) else {
            let known = self
                .answers
                .iter()
                .map(|answer| format!("{} {}", answer.method, answer.path));
            let known: Vec<String> = known.collect();
            let text = format!(
                "this stand-in knows no `{}`, only: {}",
                own_line(request),
                known.join(", ")
            );
            return Given::plain(http::StatusCode::NOT_FOUND, text);
        };
        match self.render(answer, request, number) {
            Ok(rendered) => Given {
                response: response(answer.status, &rendered.headers, rendered.body),
                webhook: rendered.webhook,
            },
            Err(error) => Given::plain(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                format!("the answer of this stand-in cannot be rendered: {error}"),
            ),
        }
    }

    fn render(
        &self,
        answer: &Prepared,
        request: &Request,
        number: u64,
    ) -> Result<Rendered, minijinja::Error> {
        let json_body = serde_json::from_str(&request.body);
        let mut context = json!({
            "n": number,
            "request": {
                "method": request.method,
                "path": request.path,
                "headers": request.headers.iter().cloned().collect::<std::collections::HashMap<_, _>>(),
                "body": json_body.unwrap_or_else(|_| Value::String(request.body.clone())),
            },
        });
        let mut headers = Vec::new();
        let body = match &answer.body {
            None => Value::String(String::new()),
            Some(Value::String(text)) => Value::String(self.templates.text(text, &context)?),
            Some(json) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                self.templates.json(json, &context)?
            }
        };
        for (name, template) in &answer.headers {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), self.templates.text(template, &context)?));
        }
        let text = match &body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        context["answer"] = body;
        let webhook = answer.webhook.as_ref();
        let webhook = webhook.map(|section| self.webhook(section, &context));
        Ok(Rendered {
            headers,
            body: text,
            webhook: webhook.transpose()?,
        })
    }

    fn webhook(
        &self,
        section: &WebhookSection,
        context: &Value,
    ) -> Result<Webhook, minijinja::Error> {
        let value = |(name, template): (&String, &toml::Value)| {
            let template = serde_json::to_value(template).unwrap_or_default();
            let value = self.templates.json(&template, context)?;
            Ok::<_, minijinja::Error>((name.clone(), value))
        };
        Ok(Webhook {
            operation: section.operation.get_ref().clone(),
            values: section.values.iter().map(value).collect::<Result<_, _>>()?,
        })
    }
}

impl Given {
    fn plain(status: http::StatusCode, text: String) -> Given {
        Given {
            response: response(status, &[], text),
            webhook: None,
        }
    }
}

/// Method and path, without the query.
fn own_line(request: &Request) -> String {
    let path = request.path.split('?').next().unwrap_or_default();
    format!("{} {path}", request.method)
}

fn prepare(section: &StubAnswerSection) -> Result<Prepared, Problem> {
    let (method, path) = request_line(&section.request)?;
    let at = section.request.span();
    let status = http::StatusCode::from_u16(section.status).map_err(|_| {
        let message = format!("`{}` is no HTTP status", section.status);
        Problem::new(at.clone(), message).help("write one between 200 and 599")
    })?;
    for (name, value) in &section.headers {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err()
            || http::HeaderValue::from_str(value).is_err()
        {
            return Err(Problem::new(at, format!("`{name}: {value}` is no header")));
        }
    }
    let body = section.body.as_ref().map(serde_json::to_value).transpose();
    Ok(Prepared {
        method,
        path,
        status,
        headers: section.headers.clone().into_iter().collect(),
        body: body.map_err(|error| Problem::new(at, format!("the body is no JSON: {error}")))?,
        webhook: section.webhook.clone(),
    })
}

/// What a provider says that is out of order.
pub(super) fn server_error() -> hyper::Response<Full<Bytes>> {
    let status = http::StatusCode::INTERNAL_SERVER_ERROR;
    response(status, &[], "internal error".to_owned())
}

fn response(
    status: http::StatusCode,
    headers: &[(String, String)],
    body: String,
) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::from(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
