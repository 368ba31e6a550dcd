//! How a single value is drawn, from the simplest upward.

use std::collections::HashMap;

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::{Value, json};

use crate::model::Row;
use crate::target::Target;
use crate::target::error::{Problem, TargetError};
use crate::target::file::ValueSection;

/// The values that the target file's `rows` queries offer, by rendered query.
#[derive(Clone, Debug, Default)]
pub struct Pools(HashMap<String, Vec<Value>>);

impl Pools {
    /// Takes the rows of a query. One column is the value itself, several make
    /// an object. They are put in order, so that a query without `ORDER BY`
    /// draws the same values on every machine.
    pub fn insert(&mut self, sql: String, rows: Vec<Row>) {
        let mut values: Vec<Value> = rows
            .into_iter()
            .map(|row| {
                if row.len() == 1 {
                    row.into_iter()
                        .next()
                        .map_or(Value::Null, |(_, value)| value)
                } else {
                    Value::Object(row)
                }
            })
            .collect();
        values.sort_by(order);
        self.0.insert(sql, values);
    }

    /// What a query offers.
    fn of(&self, sql: &str) -> &[Value] {
        self.0.get(sql).map_or(&[], Vec::as_slice)
    }
}

/// The simplest value of a section, if that can be told without a database.
pub fn simplest(section: &toml::Spanned<ValueSection>) -> Option<Value> {
    let section = section.get_ref();
    let range = section
        .range
        .as_ref()
        .and_then(|range| range.get_ref().first());
    let choice = section
        .choice
        .as_ref()
        .and_then(|choice| choice.get_ref().first());
    let range = range.map(|first| json!(first));
    range.or_else(|| serde_json::to_value(choice?).ok())
}

/// The most numbers of a range that are listed.
const MOST_OF_A_RANGE: usize = 50;

/// All the values that a section can draw as any of these actors, if they are few enough to
/// be listed.
pub fn candidates(
    target: &Target,
    section: &ValueSection,
    actors: &[Option<String>],
    pools: &Pools,
) -> Result<Vec<Value>, TargetError> {
    let mut values: Vec<Value> = Vec::new();
    if let Some(choice) = &section.choice {
        let choices = choice.get_ref().iter().map(serde_json::to_value);
        values.extend(choices.filter_map(Result::ok));
    }
    if let Some(range) = &section.range
        && let [low, high] = range.get_ref().as_slice()
    {
        values.extend(
            (*low..=*high)
                .take(MOST_OF_A_RANGE)
                .map(|number| json!(number)),
        );
    }
    for actor in actors {
        let query = pool_query(target, section, actor.as_deref())?;
        let offered = query.as_ref().map_or(&[][..], |query| pools.of(&query.sql));
        for value in offered {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    values.sort_by(order);
    Ok(values)
}

/// Numbers by size, everything else by its text.
fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// A query of the target file whose rows are drawn from.
#[derive(Clone, Debug)]
pub struct PoolQuery {
    /// The query, rendered for one actor.
    pub sql: String,
    /// Its place in the target file, for errors.
    pub at: Problem,
}

/// The query of a value for one actor, if its values are rows.
pub fn pool_query(
    target: &Target,
    section: &ValueSection,
    actor: Option<&str>,
) -> Result<Option<PoolQuery>, TargetError> {
    let Some(rows) = &section.rows else {
        return Ok(None);
    };
    let context = json!({ "actor": target.actor_context(actor) });
    let sql = target
        .templates
        .text(rows.get_ref(), &context)
        .map_err(|error| {
            target.problem(Problem::new(
                rows.span(),
                format!("this cannot be rendered: {error}"),
            ))
        })?;
    Ok(Some(PoolQuery {
        sql,
        at: Problem::new(rows.span(), "this query failed"),
    }))
}

/// The strategy of a value, as `actor` draws it.
pub fn strategy(
    target: &Target,
    section: &ValueSection,
    actor: Option<&str>,
    pools: &Pools,
) -> Result<BoxedStrategy<Value>, TargetError> {
    if let Some(range) = &section.range {
        let (low, high) = (range.get_ref()[0], range.get_ref()[1]);
        return Ok((low..=high).prop_map(|number| json!(number)).boxed());
    }
    if let Some(choice) = &section.choice {
        let values = choice
            .get_ref()
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| target.problem(Problem::new(choice.span(), error.to_string())))?;
        return Ok(select(values).boxed());
    }
    if let Some(query) = pool_query(target, section, actor)? {
        let values = pools.0.get(&query.sql).cloned().unwrap_or_default();
        if values.is_empty() {
            let problem = Problem::new(query.at.span, "this query returns no row to draw from");
            return Err(target.problem(problem.help(
                "the fixtures must hold at least one; `actor` may differ from call to call",
            )));
        }
        return Ok(select(values).boxed());
    }
    if let Some(fresh) = &section.fresh {
        let template = fresh.get_ref().clone();
        return Ok(any::<u64>()
            .no_shrink()
            .prop_map(move |bits| self::fresh(&template, bits))
            .boxed());
    }
    if let Some(pattern) = &section.pattern {
        let texts = proptest::string::string_regex(pattern.get_ref())
            .map_err(|error| target.problem(Problem::new(pattern.span(), error.to_string())))?;
        return Ok(texts.prop_map(Value::String).boxed());
    }
    Ok(Just(Value::Null).boxed())
}

/// Fills `{}`, `{n}` and `{uuid}`; a lone `{n}` is a number.
fn fresh(template: &str, bits: u64) -> Value {
    // 53 bits, so that no reader of JSON rounds it.
    let number = bits >> 11;
    if template == "{n}" {
        return json!(number);
    }
    let digits = format!("{bits:016x}");
    let uuid = format!(
        "{}-{}-4{}-8{}-{:012x}",
        &digits[..8],
        &digits[8..12],
        &digits[12..15],
        &digits[..3],
        bits & 0xffff_ffff_ffff
    );
    let text = template
        .replace("{uuid}", &uuid)
        .replace("{n}", &number.to_string())
        .replace("{}", &digits[..8]);
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_values_keep_the_shape_that_was_asked_for() {
        assert_eq!(fresh("{n}", 1 << 11), json!(1));
        assert_eq!(fresh("u{}@x", 0xabcd_0000_0000_0000), json!("uabcd0000@x"));
        let uuid = fresh("{uuid}", 7);
        assert_eq!(uuid.as_str().map(str::len), Some(36));
    }

    #[test]
    fn pools_are_in_an_order_of_their_own() {
        let row = |id: i64| json!({ "id": id }).as_object().cloned().unwrap_or_default();
        let mut pools = Pools::default();
        pools.insert("q".to_owned(), vec![row(10), row(9), row(1)]);
        assert_eq!(pools.0["q"], [json!(1), json!(9), json!(10)]);
    }
}
