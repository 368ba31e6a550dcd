//! What the file says beside requests and races: who may call, what answers look like,
//! how pages follow each other, how the schema changes.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Who may call an operation: an actor for whom both hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowSection {
    /// These actors; without it and without `roles`, every one.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub actors: Vec<Spanned<String>>,
    /// Actors of these roles.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub roles: Vec<Spanned<String>>,
    /// Only for these rows: a query whose first column is what the operation's `row`
    /// names. Its other columns are what a denied answer may not show. A template, which
    /// may use `actor`.
    #[schemars(with = "Option<String>")]
    pub rows: Option<Spanned<String>>,
}

/// How a list is read page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PagesSection {
    /// What tells the rows of a page apart: a `JSONPath` into the answer, such as
    /// `$.orders[*].id`.
    #[schemars(with = "String")]
    pub rows: Spanned<String>,
    /// The value of the operation that says where a page begins; the first page has the
    /// simplest one.
    #[schemars(with = "String")]
    pub cursor: Spanned<String>,
    /// The next page's cursor: a `JSONPath` into the answer, such as `$.next` or
    /// `$[-1].id`. The last page has none, or no rows.
    #[schemars(with = "Option<String>")]
    pub next: Option<Spanned<String>>,
    /// Instead of `next`: how much the cursor grows from page to page.
    #[schemars(with = "Option<i64>")]
    pub step: Option<Spanned<i64>>,
    /// The rows that all pages together show: a query of one column, a template, which may
    /// use `actor` and the operation's values.
    #[schemars(with = "Option<String>")]
    pub all: Option<Spanned<String>>,
}

/// What answers look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractSection {
    /// An `OpenAPI` 3 document, in JSON or YAML, relative to the target's folder.
    #[schemars(with = "Option<String>")]
    pub openapi: Option<Spanned<String>>,
    /// What the body of any 4xx and 5xx looks like, where nothing else says it.
    #[schemars(with = "Option<SchemaSource>")]
    pub error: Option<Spanned<SchemaSource>>,
    /// The file of `--record-contract`, to which answers are held if it is there; by
    /// default `contract.json`.
    #[schemars(with = "Option<String>")]
    pub baseline: Option<Spanned<String>>,
}

/// A JSON Schema: the name of a file, or the schema itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SchemaSource {
    /// A JSON file, relative to the target's folder.
    File(String),
    /// The schema.
    Inline(#[schemars(with = "serde_json::Map<String, serde_json::Value>")] toml::Table),
}

/// Another version of the service, which runs beside the first on the same database: every
/// second replica is of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextSection {
    /// A shell command that builds it, if that is not built with the first.
    pub build: Option<String>,
    /// A shell command that starts one replica of it; by default the first version's.
    #[schemars(with = "Option<String>")]
    pub start: Option<Spanned<String>>,
    /// What its environment has beside the first version's, or instead.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, String>")]
    pub env: IndexMap<String, Spanned<String>>,
}

/// A change of the schema that takes place while calls are under way.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationSection {
    /// SQL files, relative to the target's folder, whose statements run in this order, each
    /// in a transaction of its own unless the file begins one.
    #[schemars(with = "Vec<String>")]
    pub steps: Vec<Spanned<String>>,
    /// SQL files that undo it, however far it has come: `DROP COLUMN IF EXISTS`.
    #[schemars(with = "Vec<String>")]
    pub undo: Vec<Spanned<String>>,
}
