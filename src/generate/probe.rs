//! What it takes to make one call as somebody else than its operation's usual actors, and
//! about any row: the calls that prepare that actor, and the rows that there are.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::generate::race;
use crate::generate::values::{Pools, candidates};
use crate::model::scenario::SetupCall;
use crate::target::error::TargetError;
use crate::target::{RowPlace, Target};

/// How far the key of a row that is not there lies beyond those that are.
const FAR: i64 = 1_000_003;

/// The calls that prepare an actor for an operation: its sign-in, and what comes before.
/// Their values are drawn from the seed. Nobody in particular needs none.
pub fn set_up(
    target: &Target,
    pools: &Pools,
    operation: &str,
    actor: Option<&str>,
    seed: u64,
) -> Result<Vec<SetupCall>, TargetError> {
    let Some(name) = actor else {
        return Ok(Vec::new());
    };
    let sign_in = &target.file.actors[name].sign_in;
    let before = &target.operations[operation].section.before;
    let sign_in = sign_in.iter().map(|call| (call.get_ref(), None));
    let before = before.iter().map(|call| (call.get_ref(), Some(operation)));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut calls = Vec::new();
    for (call, prepares) in sign_in.chain(before) {
        let strategy = race::setup(target, pools, call, actor, prepares)?;
        // A strategy without a filter always has a tree.
        calls.extend(
            strategy
                .new_tree(&mut runner)
                .ok()
                .map(|tree| tree.current()),
        );
    }
    Ok(calls)
}

/// The rows that an operation's calls can be about, by the value that says which; none if
/// no value does.
pub fn rows(target: &Target, pools: &Pools, operation: &str) -> Result<Vec<Value>, TargetError> {
    let operation = &target.operations[operation];
    let Some(RowPlace::Value(name)) = &operation.row else {
        return Ok(Vec::new());
    };
    let own = operation.section.values.get(name);
    let Some(section) = own.or_else(|| target.file.shared.get(name)) else {
        return Ok(Vec::new());
    };
    let actors = race::actors(target, operation);
    candidates(target, section.get_ref(), &actors, pools)
}

/// The key of a row that is not there, of the same kind as those that are.
pub fn no_row(rows: &[Value]) -> Option<Value> {
    let numbers = rows.iter().filter_map(Value::as_i64);
    match rows.first()? {
        Value::Number(_) => numbers.max().map(|last| json!(last.saturating_add(FAR))),
        Value::String(text) if is_uuid(text) => Some(json!("00000000-0000-4000-8000-0000deadea70")),
        Value::String(text) => {
            let other = json!(of_the_same_shape(text));
            Some(other).filter(|other| !rows.contains(other))
        }
        _ => None,
    }
}

/// A text as long, with digits for digits and letters for letters, behind the same prefix:
/// what has another shape may be refused before anybody looks for it.
fn of_the_same_shape(text: &str) -> String {
    let prefix = text.rfind(['_', '-', ':', '.']).map_or(0, |at| at + 1);
    let (prefix, rest) = text.split_at(prefix);
    let is_hex = rest.chars().all(|c| c.is_ascii_hexdigit());
    let other = |c: char| match c {
        '0'..='9' => '9',
        'a'..='z' if is_hex => 'f',
        'A'..='Z' if is_hex => 'F',
        'a'..='z' => 'z',
        'A'..='Z' => 'Z',
        other => other,
    };
    format!("{prefix}{}", rest.chars().map(other).collect::<String>())
}

fn is_uuid(text: &str) -> bool {
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    text.len() == 36 && dashes == [8, 13, 18, 23]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_not_there_looks_like_one_that_is() {
        assert_eq!(no_row(&[json!(3), json!(9)]), Some(json!(9 + FAR)));
        assert_eq!(no_row(&[json!("SPRING")]), Some(json!("ZZZZZZ")));
        assert_eq!(no_row(&[json!("ord_12a")]), Some(json!("ord_99f")));
        assert_eq!(no_row(&[json!("9")]), None);
        let uuid = no_row(&[json!("6f1c0e9a-97d7-4d5e-8f2b-0a6b0f1c2d3e")]);
        assert!(uuid.is_some_and(|uuid| uuid.as_str().is_some_and(is_uuid)));
        assert_eq!(no_row(&[]), None);
    }
}
