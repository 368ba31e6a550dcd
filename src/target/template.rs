//! Templates of the target file: where `{{ ... }}` becomes a value.
//!
//! The language is `MiniJinja`'s, with filters for signed webhooks. A name that
//! is not known is an error and never an empty text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Renders templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("hmac_sha256", hmac_sha256);
        environment.add_filter("sha256", |text: &str, options: Kwargs| {
            encode(&Sha256::digest(text.as_bytes()), &options)
        });
        environment.add_filter("base64", |text: &str| BASE64.encode(text));
        environment.add_filter("base64_decode", |text: &str| {
            let bytes = BASE64
                .decode(text)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
            Ok::<_, Error>(String::from_utf8_lossy(&bytes).into_owned())
        });
        Templates { environment }
    }
}

/// `text | hmac_sha256("secret")`, in hexadecimal digits or, with
/// `encoding="base64"`, in base64.
#[allow(clippy::needless_pass_by_value)] // The shape of a MiniJinja filter.
fn hmac_sha256(text: &str, secret: &str, options: Kwargs) -> Result<String, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    mac.update(text.as_bytes());
    encode(&mac.finalize().into_bytes(), &options)
}

fn encode(bytes: &[u8], options: &Kwargs) -> Result<String, Error> {
    let encoding: Option<&str> = options.get("encoding")?;
    options.assert_all_used()?;
    match encoding {
        None | Some("hex") => Ok(hex::encode(bytes)),
        Some("base64") => Ok(BASE64.encode(bytes)),
        Some(other) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`{other}` is no encoding: use `hex` or `base64`"),
        )),
    }
}

impl Templates {
    /// The names that a template takes from outside, or why it is none.
    pub fn names(&self, template: &str) -> Result<Vec<String>, Error> {
        let template = self.environment.template_from_str(template)?;
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.sort();
        Ok(names)
    }

    /// Whether the context holds every name that a template takes from outside.
    pub fn known(&self, template: &str, context: &Value) -> bool {
        self.names(template)
            .is_ok_and(|names| names.iter().all(|name| context.get(name).is_some()))
    }

    /// Renders a template to text.
    pub fn text(&self, template: &str, context: &Value) -> Result<String, Error> {
        if !template.contains("{{") && !template.contains("{%") {
            return Ok(template.to_owned());
        }
        self.environment.render_str(template, context)
    }

    /// Renders a template to a JSON value: one that is a single `{{ value }}`
    /// keeps the value's type.
    pub fn value(&self, template: &str, context: &Value) -> Result<Value, Error> {
        let trimmed = template.trim();
        let single = trimmed
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .filter(|inner| !inner.contains("{{") && !inner.contains("}}"));
        let Some(expression) = single else {
            return Ok(Value::String(self.text(template, context)?));
        };
        let value = self
            .environment
            .compile_expression(expression)?
            .eval(context)?;
        if value.is_undefined() {
            return Err(Error::new(
                ErrorKind::UndefinedError,
                format!("`{}` is not known here", expression.trim()),
            ));
        }
        serde_json::to_value(&value)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    }

    /// Renders every text within a JSON value.
    pub fn json(&self, template: &Value, context: &Value) -> Result<Value, Error> {
        Ok(match template {
            Value::String(text) => self.value(text, context)?,
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.json(item, context))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.json(field, context)?)))
                    .collect::<Result<_, Error>>()?,
            ),
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_single_expression_keeps_its_type() {
        let templates = Templates::default();
        let context = json!({"n": 3, "s": "x", "o": {"id": 7}});
        let rendered = templates
            .json(
                &json!({"a": "{{ n }}", "b": "n={{ n }}", "c": ["{{ o.id }}", true]}),
                &context,
            )
            .unwrap();
        assert_eq!(rendered, json!({"a": 3, "b": "n=3", "c": [7, true]}));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let templates = Templates::default();
        assert!(templates.text("{{ nobody }}", &json!({})).is_err());
        assert!(templates.value("{{ nobody }}", &json!({})).is_err());
    }

    #[test]
    fn signatures_are_the_published_ones() {
        // RFC 4231, test case 2.
        let templates = Templates::default();
        let context = json!({"body": "what do ya want for nothing?"});
        assert_eq!(
            templates
                .text("{{ body | hmac_sha256('Jefe') }}", &context)
                .unwrap(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            templates.text("{{ 'ab' | base64 }}", &context).unwrap(),
            "YWI="
        );
        assert_eq!(
            templates
                .text("{{ 'ab' | base64 | base64_decode }}", &context)
                .unwrap(),
            "ab"
        );
    }

    #[test]
    fn names_are_those_from_outside() {
        let templates = Templates::default();
        assert_eq!(
            templates.names("/x/{{ order }}/{{ actor.name }}").unwrap(),
            ["actor", "order"]
        );
        assert!(templates.names("{{ order ").is_err());
    }
}
