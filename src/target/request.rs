//! From a call of a scenario to the request that is sent, and from the answer
//! to what later calls may use.

use indexmap::IndexMap;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::model::Row;
use crate::model::history::{Answer, Request};
use crate::model::scenario::Spoil;
use crate::target::error::{Problem, TargetError};
use crate::target::{Operation, Target};

/// What an actor has gathered in a round: the values captured from its answers.
/// Cookies are kept by whoever sends.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Captured values, by the names that templates use.
    pub captured: Row,
}

/// What a request is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'a> {
    /// The operation's name.
    pub operation: &'a str,
    /// Who calls.
    pub actor: Option<&'a str>,
    /// The drawn values.
    pub values: &'a Row,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// The replica that it is sent to.
    pub replica: usize,
    /// What the actor has gathered.
    pub session: &'a Session,
    /// Whether this is a set-up call: those of its actor's headers that are made
    /// of what is yet to be captured are left out.
    pub setup: bool,
    /// What is wrong with it on purpose.
    pub spoil: Option<&'a Spoil>,
}

impl Target {
    /// The request of a call. An error is a mistake in the target file, such as
    /// a value that nothing has captured yet.
    pub fn request(&self, call: Rendering<'_>) -> Result<Request, TargetError> {
        let operation = &self.operations[call.operation];
        let context = self.context(call);
        let section = &operation.section;
        let at = section.request.span();
        let render = |text: &str, span: std::ops::Range<usize>, context: &Value| {
            self.templates
                .text(text, context)
                .map_err(|error| self.render_problem(&error, span))
        };
        let path = render(&operation.path, at.clone(), &context)?;
        let mut headers: IndexMap<String, String> = IndexMap::new();
        let key = section
            .idempotency
            .as_ref()
            .map(toml::Spanned::get_ref)
            .zip(call.key);
        let field = key.and_then(|(rule, key)| rule.field.as_deref().map(|field| (field, key)));
        let body = if let Some(template) = &operation.json {
            let mut body = self
                .templates
                .json(template, &context)
                .map_err(|error| self.render_problem(&error, json_span(operation)))?;
            if let Some((field, key)) = field {
                set_field(&mut body, field, key);
            }
            if let Some(spoil) = call.spoil {
                spoil_body(&mut body, spoil);
            }
            headers.insert("content-type".to_owned(), "application/json".to_owned());
            body.to_string()
        } else if let Some(form) = &section.form {
            let mut encoded = form_urlencoded::Serializer::new(String::new());
            for (name, template) in form {
                encoded.append_pair(
                    name,
                    &render(template.get_ref(), template.span(), &context)?,
                );
            }
            if let Some((field, key)) = field {
                encoded.append_pair(field, key);
            }
            let form = "application/x-www-form-urlencoded";
            headers.insert("content-type".to_owned(), form.to_owned());
            encoded.finish()
        } else if let Some(raw) = &section.raw {
            render(raw.get_ref(), raw.span(), &context)?
        } else {
            String::new()
        };
        let mut with_body = context;
        with_body["body"] = Value::String(body.clone());
        let of_actor = call.actor.map(|name| &self.file.actors[name].headers);
        let of_actor = of_actor.into_iter().flatten().filter(|(_, template)| {
            !call.setup || self.templates.known(template.get_ref(), &with_body)
        });
        for (name, template) in of_actor.chain(&section.headers) {
            let value = render(template.get_ref(), template.span(), &with_body)?;
            headers.insert(name.to_ascii_lowercase(), value);
        }
        if let Some((name, key)) = key.and_then(|(rule, key)| Some((rule.header.as_ref()?, key))) {
            headers.insert(name.to_ascii_lowercase(), key.to_owned());
        }
        Ok(Request {
            method: operation.method.clone(),
            path,
            headers: headers.into_iter().collect(),
            body,
        })
    }

    fn context(&self, call: Rendering<'_>) -> Value {
        let mut context = call.session.captured.clone();
        context.extend(call.values.clone());
        if let Some(Spoil { place, with }) = call.spoil
            && let Some(value) = context.get_mut(place)
        {
            *value = with.clone().unwrap_or(Value::Null);
        }
        context.insert("actor".to_owned(), self.actor_context(call.actor));
        context.insert("replica".to_owned(), json!(call.replica));
        if let Some(key) = call.key {
            context.insert("key".to_owned(), json!(key));
        }
        Value::Object(context)
    }

    /// What templates see as `actor`.
    pub fn actor_context(&self, actor: Option<&str>) -> Value {
        let mut context = Row::new();
        if let Some(name) = actor {
            if let Some(role) = &self.file.actors[name].role {
                context.insert("role".to_owned(), json!(role));
            }
            context.extend(self.file.actors[name].vars.clone());
            context.insert("name".to_owned(), json!(name));
        }
        Value::Object(context)
    }

    /// Whether an answer says that the operation was done.
    pub fn succeeded(&self, operation: &str, answer: &Answer) -> bool {
        let failed = self.operations[operation]
            .failure
            .as_ref()
            .is_some_and(|rule| rule.from(answer).is_some());
        (200..300).contains(&answer.status) && !failed
    }

    /// Puts what an answer offers to later calls into the actor's session;
    /// returns the names of the values that it lacks.
    pub fn capture(&self, operation: &str, answer: &Answer, session: &mut Session) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, extract) in &self.operations[operation].captures {
            match extract.from(answer) {
                Some(value) => {
                    session.captured.insert(name.clone(), value);
                }
                None => missing.push(name.clone()),
            }
        }
        missing
    }

    fn render_problem(
        &self,
        error: &minijinja::Error,
        span: std::ops::Range<usize>,
    ) -> TargetError {
        self.problem(
            Problem::new(span, format!("this cannot be rendered: {error}"))
                .help("a captured value is known only after the call that captures it: name that call in `sign_in` or `before`"),
        )
    }
}

fn json_span(operation: &Operation) -> std::ops::Range<usize> {
    let section = &operation.section;
    section
        .body
        .as_ref()
        .map_or(section.request.span(), toml::Spanned::span)
}

/// Sets `a.b` within a JSON object, making what is missing on the way.
fn set_field(body: &mut Value, field: &str, key: &str) {
    let mut place = body;
    for part in field.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = json!(key);
}

/// Puts something else into a JSON body, or takes something out of it.
fn spoil_body(body: &mut Value, spoil: &Spoil) {
    if let Some(with) = &spoil.with {
        if let Some(place) = body.pointer_mut(&spoil.place) {
            place.clone_from(with);
        }
        return;
    }
    let Some((parent, name)) = spoil.place.rsplit_once('/') else {
        return;
    };
    match body.pointer_mut(parent) {
        // Not `swap_remove`: the other fields stay where they were.
        Some(Value::Object(fields)) => drop(fields.shift_remove(name)),
        Some(Value::Array(items)) => {
            if let Some(index) = name.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn target(text: &str) -> Target {
        let head = "[service]\nstart = 'x'\n[database]\nengines = ['sqlite']\n";
        Target::parse(
            Path::new("deadheat.toml"),
            Path::new("/"),
            format!("{head}{text}"),
        )
        .unwrap()
    }

    fn rendering<'a>(operation: &'a str, values: &'a Row, session: &'a Session) -> Rendering<'a> {
        Rendering {
            operation,
            actor: None,
            values,
            key: Some("k-1"),
            replica: 0,
            session,
            setup: false,
            spoil: None,
        }
    }

    #[test]
    fn a_signed_webhook_carries_its_key_in_a_field_and_the_bodys_signature() {
        let target = target(
            "[operations.hook]\nrequest = 'POST /hooks'\nbody = { order = '{{ order }}' }\n\
             idempotency = { field = 'event.id' }\n\
             headers = { X-Signature = \"{{ body | hmac_sha256('s') }}\" }\n\
             values.order = { range = [1, 2] }",
        );
        let values = json!({"order": 2}).as_object().unwrap().clone();
        let request = target
            .request(rendering("hook", &values, &Session::default()))
            .unwrap();
        assert_eq!(request.body, r#"{"order":2,"event":{"id":"k-1"}}"#);
        let signature = Templates::default()
            .text(
                "{{ body | hmac_sha256('s') }}",
                &json!({ "body": request.body }),
            )
            .unwrap();
        assert!(
            request
                .headers
                .contains(&("x-signature".to_owned(), signature))
        );
    }

    #[test]
    fn a_form_carries_the_token_of_the_page_before() {
        let target = target(
            "[operations.page]\nrequest = 'GET /buy'\nrace = false\n\
             capture.csrf = { regex = 'name=\"csrf\" value=\"([^\"]+)\"' }\n\
             [operations.buy]\nrequest = 'POST /buy'\nform = { csrf = '{{ csrf }}', n = '1 2' }\n",
        );
        let mut session = Session::default();
        let page = Answer {
            status: 200,
            headers: Vec::new(),
            body: r#"<input name="csrf" value="a&b">"#.to_owned(),
        };
        let values = Row::new();
        assert!(
            target.request(rendering("buy", &values, &session)).is_err(),
            "nothing captured"
        );
        assert!(target.capture("page", &page, &mut session).is_empty());
        let request = target.request(rendering("buy", &values, &session)).unwrap();
        assert_eq!(request.body, "csrf=a%26b&n=1+2");
    }

    #[test]
    fn a_header_of_the_session_comes_with_the_session() {
        let target = target(
            "[actors.ann]\nheaders = { Authorization = 'Bearer {{ token }}', X-Who = 'ann' }\n\
             [operations.sign-in]\nrequest = 'POST /in'\nrace = false\n\
             capture.token = { header = 'X-Token' }\n[operations.buy]\nrequest = 'POST /buy'\n",
        );
        let values = Row::new();
        let mut session = Session::default();
        let headers = |operation, setup, session: &Session| {
            target
                .request(Rendering {
                    actor: Some("ann"),
                    setup,
                    ..rendering(operation, &values, session)
                })
                .map(|request| request.headers)
        };
        let who = ("x-who".to_owned(), "ann".to_owned());
        assert_eq!(
            headers("sign-in", true, &session).unwrap(),
            std::slice::from_ref(&who)
        );
        assert!(headers("buy", false, &session).is_err(), "nobody signed in");
        let answer = Answer {
            status: 200,
            headers: vec![("x-token".to_owned(), "t".to_owned())],
            body: String::new(),
        };
        assert!(target.capture("sign-in", &answer, &mut session).is_empty());
        let bearer = ("authorization".to_owned(), "Bearer t".to_owned());
        assert_eq!(headers("buy", false, &session).unwrap(), [bearer, who]);
    }

    #[test]
    fn a_graphql_answer_with_errors_is_no_success() {
        let target = target(
            "[operations.gql]\nrequest = 'POST /graphql'\nfailure = { json = '$.errors[*]' }\n",
        );
        let answer = |body: &str| Answer {
            status: 200,
            headers: Vec::new(),
            body: body.to_owned(),
        };
        assert!(target.succeeded("gql", &answer(r#"{"data":{}}"#)));
        assert!(!target.succeeded("gql", &answer(r#"{"errors":[{"message":"no"}]}"#)));
    }

    use crate::target::template::Templates;
}
