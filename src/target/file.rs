//! The target file's shape, as it is written in TOML.
//!
//! These types are also what the JSON Schema for editors is made from, so their
//! doc comments are what a user reads while typing.

mod concerns;

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::model::Row;

pub use concerns::{
    AllowSection, ContractSection, MigrationSection, NextSection, PagesSection, SchemaSource,
};

/// The target file of deadheat: a service, its database, the requests it takes,
/// and what must always hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetFile {
    /// The target's name; by default the name of the folder that it lies in.
    pub name: Option<String>,
    /// How to build, start and know ready the service, or where it already runs.
    pub service: ServiceSection,
    /// What the database is and holds when a round begins.
    pub database: DatabaseSection,
    /// Stand-ins for third parties that the service calls.
    #[serde(default)]
    pub stubs: IndexMap<String, StubSection>,
    /// Who calls.
    #[serde(default)]
    pub actors: IndexMap<String, ActorSection>,
    /// Values that are drawn once a scenario, so that its calls conflict.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, ValueSection>")]
    pub shared: IndexMap<String, Spanned<ValueSection>>,
    /// The requests that the service takes.
    pub operations: IndexMap<String, OperationSection>,
    /// What must always hold, as queries whose every row is a violation.
    #[serde(default)]
    pub invariants: IndexMap<String, InvariantSection>,
    /// What may be left of a race that no one-at-a-time order of its calls leaves.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, AllowanceSection>")]
    pub allowances: IndexMap<String, Spanned<AllowanceSection>>,
    /// What answers look like.
    #[serde(default)]
    pub contract: ContractSection,
    /// Changes of the schema that take place while calls are under way.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, MigrationSection>")]
    pub migrations: IndexMap<String, Spanned<MigrationSection>>,
}

/// How to build, start and know ready the service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSection {
    /// A shell command that builds it, run once in the target's folder.
    pub build: Option<String>,
    /// A shell command that starts one replica of it, run in the target's folder.
    #[schemars(with = "Option<String>")]
    pub start: Option<Spanned<String>>,
    /// The URLs of a service that already runs, one a replica, instead of `start`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub urls: Vec<Spanned<String>>,
    /// A path that answers 2xx once the service is ready; without it, a port
    /// that accepts connections is enough.
    pub ready: Option<String>,
    /// How long it may take to get ready, such as `30s`.
    #[serde(default = "ready_within", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub ready_within: Duration,
    /// How many replicas run on the one database; calls are spread over them.
    #[schemars(with = "Option<usize>")]
    pub replicas: Option<Spanned<usize>>,
    /// The port that it listens on, if it cannot be told: by default each
    /// replica is given a free one, in the variable `PORT`.
    #[schemars(with = "Option<u16>")]
    pub port: Option<Spanned<u16>>,
    /// The service's environment, beside deadheat's own. Templates may use
    /// `database.url`, `database.engine`, for SQLite `database.path`, `port`,
    /// `replica` and `stubs.NAME.url`. `DATABASE_URL` and `PORT` are set unless
    /// this does.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, String>")]
    pub env: IndexMap<String, Spanned<String>>,
    /// For a service that keeps rows in memory: `restart`, or a request such as
    /// `POST /reset` that is sent to each replica after each restore.
    #[schemars(with = "Option<String>")]
    pub after_restore: Option<Spanned<String>>,
    /// How long a call may take before its silence is a violation, such as `10s`.
    #[serde(default = "answer_within", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub answer_within: Duration,
    /// Another version of the service, which runs beside this one on the same database.
    pub next: Option<NextSection>,
}

fn ready_within() -> Duration {
    Duration::from_secs(30)
}

fn answer_within() -> Duration {
    Duration::from_secs(10)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!(
            "`{text}` is no duration ({error}): write one such as `500ms`, `10s` or `2m`"
        ))
    })
}

/// What the database is and holds when a round begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// The engines that the service can run on, in order of preference:
    /// `postgres`, `sqlite`.
    #[schemars(with = "Vec<crate::target::file::EngineName>")]
    pub engines: Vec<Spanned<String>>,
    /// What makes schema and fixtures, in order: SQL files or commands, both
    /// templates, which may use `database` as `env` does. What the service itself
    /// creates when it starts counts as well.
    #[serde(default)]
    #[schemars(with = "Vec<PrepareStep>")]
    pub prepare: Vec<Spanned<PrepareStep>>,
    /// SQL files that make the fixtures some ten times as large: an operation must not
    /// need more statements on these.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub grown: Vec<Spanned<String>>,
}

/// The name of an engine.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
pub enum EngineName {
    /// `PostgreSQL`
    Postgres,
    /// `SQLite`
    Sqlite,
}

/// One step that prepares the database.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
pub enum PrepareStep {
    /// A file with SQL statements, relative to the target's folder.
    File(String),
    /// A shell command, run in the target's folder with `DATABASE_URL` set.
    Command {
        /// The command.
        command: String,
    },
}

impl<'de> Deserialize<'de> for PrepareStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = PrepareStep;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an SQL file such as \"schema.sql\", or { command = \"...\" }")
            }

            fn visit_str<E>(self, file: &str) -> Result<PrepareStep, E> {
                Ok(PrepareStep::File(file.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<PrepareStep, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Table {
                    command: String,
                }
                let table = Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(PrepareStep::Command {
                    command: table.command,
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A stand-in for a third party, which answers and remembers every call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubSection {
    /// What it answers, the first that fits; anything else is answered 404.
    /// Bodies and headers are templates, which may use `n`, the number of the
    /// request in its round (one that repeats an `Idempotency-Key` keeps the
    /// number, and so the answer, of the first), and `request.method`, `.path`,
    /// `.headers` and `.body`.
    pub answers: Vec<StubAnswerSection>,
}

/// One answer of a stand-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubAnswerSection {
    /// The request, such as `POST /charges`; a path may end in `*`.
    #[schemars(with = "String")]
    pub request: Spanned<String>,
    /// The status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// The body: a text is sent as it is, anything else as JSON.
    #[schemars(with = "Option<serde_json::Value>")]
    pub body: Option<toml::Value>,
    /// What the third party calls the service for, once it has answered.
    pub webhook: Option<WebhookSection>,
}

/// A call of the third party's own, made again until the service answers it 2xx. Its
/// idempotency key is made of the answered request's, or of that request's number.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// The operation: its request, its actor (it has one at most) and where its key goes.
    #[schemars(with = "String")]
    pub operation: Spanned<String>,
    /// What the operation's templates use, all of it. Templates themselves, as the
    /// answer's body is; `answer` is that body.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, serde_json::Value>")]
    pub values: IndexMap<String, toml::Value>,
}

fn ok() -> u16 {
    200
}

/// Someone who calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActorSection {
    /// Headers of each of this actor's calls.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, String>")]
    pub headers: IndexMap<String, Spanned<String>>,
    /// What it is allowed is said by role; templates see it as `actor.role`.
    pub role: Option<String>,
    /// A query that has a row for as long as this actor may call anything; a template,
    /// which may use `actor`. Without it, always.
    #[schemars(with = "Option<String>")]
    pub active: Option<Spanned<String>>,
    /// Facts about this actor, which templates see as `actor.NAME`.
    #[serde(default)]
    pub vars: Row,
    /// Operations that sign this actor in before its first call, in order.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub sign_in: Vec<Spanned<String>>,
}

/// How a value is generated: exactly one of `range`, `choice`, `rows`, `fresh`
/// and `pattern`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueSection {
    /// A whole number from the first to the last, both included; the first is
    /// the simplest.
    #[schemars(with = "Option<[i64; 2]>")]
    pub range: Option<Spanned<Vec<i64>>>,
    /// One of these; the first is the simplest.
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub choice: Option<Spanned<Vec<toml::Value>>>,
    /// A row of this query on the fixtures. One column is the value itself;
    /// several make a value with fields, `{{ product.id }}`. `actor` may be used.
    #[schemars(with = "Option<String>")]
    pub rows: Option<Spanned<String>>,
    /// A value that no other draw has: `{}` becomes eight hexadecimal digits,
    /// `{uuid}` a UUID, `{n}` a whole number.
    #[schemars(with = "Option<String>")]
    pub fresh: Option<Spanned<String>>,
    /// A text that matches this regular expression.
    #[schemars(with = "Option<String>")]
    pub pattern: Option<Spanned<String>>,
}

/// A request that the service takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationSection {
    /// Method and path, such as `POST /api/orders`. A template.
    #[schemars(with = "String")]
    pub request: Spanned<String>,
    /// Headers, each a template, which may use `body`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, String>")]
    pub headers: IndexMap<String, Spanned<String>>,
    /// A JSON body. Its texts are templates; one that is a single `{{ value }}`
    /// keeps the value's type.
    #[schemars(with = "Option<serde_json::Value>")]
    pub body: Option<Spanned<toml::Value>>,
    /// A form-encoded body. Its texts are templates.
    #[schemars(with = "Option<IndexMap<String, String>>")]
    pub form: Option<IndexMap<String, Spanned<String>>>,
    /// A body as it is. A template.
    #[schemars(with = "Option<String>")]
    pub raw: Option<Spanned<String>>,
    /// Values that are drawn for each call.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, ValueSection>")]
    pub values: IndexMap<String, Spanned<ValueSection>>,
    /// The statuses it may answer; without it, any below 500.
    #[serde(default)]
    pub answers: Vec<u16>,
    /// The statuses that refuse it for now, so that it has not happened; without it,
    /// 409, 423, 425, 429 and 503.
    pub refuses: Option<Vec<u16>>,
    /// The actors that call it; without it, all of them.
    #[schemars(with = "Option<Vec<String>>")]
    pub actors: Option<Vec<Spanned<String>>>,
    /// How often it is drawn, beside the others' weight; 1 without it.
    pub weight: Option<u32>,
    /// `false` for an operation that only prepares others.
    #[serde(default = "yes")]
    pub race: bool,
    /// Operations that the same actor makes before the race, in order.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub before: Vec<Spanned<String>>,
    /// Where its idempotency key goes.
    #[schemars(with = "Option<IdempotencySection>")]
    pub idempotency: Option<Spanned<IdempotencySection>>,
    /// The side effect that an idempotency key may cause once.
    #[schemars(with = "Option<OnceSection>")]
    pub once: Option<Spanned<OnceSection>>,
    /// Values taken from the answer for this actor's later calls.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, CaptureSection>")]
    pub capture: IndexMap<String, Spanned<CaptureSection>>,
    /// What tells a failure from a success, where the status does not.
    #[schemars(with = "Option<FailureSection>")]
    pub failure: Option<Spanned<FailureSection>>,
    /// The row that a call is about: one of the operation's values, or a `JSONPath` to
    /// what tells rows apart in the answer, such as `$[*].id`.
    #[schemars(with = "Option<String>")]
    pub row: Option<Spanned<String>>,
    /// Who may call it: an actor whom one of these allows.
    #[schemars(with = "Option<Vec<AllowSection>>")]
    pub allow: Option<Vec<AllowSection>>,
    /// The statuses that deny; without it, 401, 403 and 404.
    pub denied: Option<Vec<u16>>,
    /// Whether its calls change what others are allowed.
    #[serde(default)]
    pub grants: bool,
    /// What its answers look like, as JSON Schemas by status: `200`, `4XX` or `default`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, SchemaSource>")]
    pub schemas: IndexMap<Spanned<String>, Spanned<SchemaSource>>,
    /// The most statements that a call may need, transactions' own not counted.
    pub max_statements: Option<usize>,
    /// How its answer's pages follow each other.
    #[schemars(with = "Option<PagesSection>")]
    pub pages: Option<Spanned<PagesSection>>,
}

fn yes() -> bool {
    true
}

/// Where an idempotency key goes: exactly one of `header` and `field`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencySection {
    /// A header's name.
    pub header: Option<String>,
    /// A field of the JSON body or of the form; `a.b` is a field of a field.
    pub field: Option<String>,
}

/// A side effect that an idempotency key may cause once: exactly one of `sql`
/// and `stub`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnceSection {
    /// A query that returns one row for each side effect of the key `:key`.
    #[schemars(with = "Option<String>")]
    pub sql: Option<Spanned<String>>,
    /// A stand-in for which each request that mentions the key is a side
    /// effect. Requests with one `Idempotency-Key` header count once.
    #[schemars(with = "Option<String>")]
    pub stub: Option<Spanned<String>>,
    /// The request at the stand-in, such as `POST /charges`; without it, any.
    #[schemars(with = "Option<String>")]
    pub request: Option<Spanned<String>>,
}

/// Where a value is taken from: exactly one of `json`, `regex` and `header`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureSection {
    /// A `JSONPath` into the body, such as `$.token`.
    #[schemars(with = "Option<String>")]
    pub json: Option<Spanned<String>>,
    /// A regular expression over the body; its first group is the value.
    #[schemars(with = "Option<String>")]
    pub regex: Option<Spanned<String>>,
    /// A header's name.
    pub header: Option<String>,
}

/// What an answer looks like that reports a failure: one of `json` and `regex`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureSection {
    /// A `JSONPath` that finds something in the body of a failure, such as
    /// `$.errors[*]`.
    #[schemars(with = "Option<String>")]
    pub json: Option<Spanned<String>>,
    /// A regular expression that matches the body of a failure.
    #[schemars(with = "Option<String>")]
    pub regex: Option<Spanned<String>>,
}

/// Something that must always hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvariantSection {
    /// The rule in the business's words.
    pub says: String,
    /// A query whose every row is a violation.
    #[schemars(with = "String")]
    pub sql: Spanned<String>,
}

/// Something that is right and yet no outcome of calls made one at a time: a counter that
/// lags, a state that shows for a moment, a list in no fixed order. Exactly one of
/// `answer`, `table` and `stub`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowanceSection {
    /// Why it is right, in the business's words. The report lists it.
    pub says: String,
    /// An operation, whose answers are not compared.
    #[schemars(with = "Option<String>")]
    pub answer: Option<Spanned<String>>,
    /// The field of the answer that is not compared, such as `$.total` or
    /// `$[*].status`; without it, the whole body.
    #[schemars(with = "Option<String>")]
    pub field: Option<Spanned<String>>,
    /// Only the order of the list there (by default of the body) is not compared.
    #[serde(default)]
    pub any_order: bool,
    /// A stand-in: what it is asked is not compared.
    #[schemars(with = "Option<String>")]
    pub stub: Option<Spanned<String>>,
    /// A table, whose rows are not compared.
    #[schemars(with = "Option<String>")]
    pub table: Option<Spanned<String>>,
    /// The column of the table that is not compared; without it, the whole rows.
    #[schemars(with = "Option<String>")]
    pub column: Option<Spanned<String>>,
}
