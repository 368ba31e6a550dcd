//! Texts of a body that are to be kept. PostgreSQL keeps no NUL, so that one is
//! nonsense of the client's and no failure of ours.

use serde::de::{Deserialize, Deserializer, Error};

/// A text, for `#[serde(deserialize_with)]`.
pub fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    without_nul(String::deserialize(deserializer)?)
}

/// A text or null, for `#[serde(deserialize_with)]`. The field has to be there, unless
/// `#[serde(default)]` says otherwise.
pub fn kept_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)?
        .map(without_nul)
        .transpose()
}

fn without_nul<E: Error>(text: String) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("a text holds no NUL"));
    }
    Ok(text)
}
