//! `:key` in a query of the target file.

/// Puts the key's literal in the place of each `:key`; `::key` is a cast, and
/// `:keys` another name.
pub(super) fn with_key(sql: &str, key: &str) -> String {
    let literal = format!("'{}'", key.replace('\'', "''"));
    let mut rest = sql;
    let mut out = String::with_capacity(sql.len() + literal.len());
    while let Some(at) = rest.find(":key") {
        let (before, from) = rest.split_at(at);
        let after = &from[":key".len()..];
        let is_cast = before.ends_with(':') || (before.is_empty() && out.ends_with(':'));
        let goes_on = after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        out.push_str(before);
        out.push_str(if is_cast || goes_on { ":key" } else { &literal });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::with_key;

    #[test]
    fn only_the_name_itself_is_replaced() {
        assert_eq!(
            with_key("a = :key AND b::key AND c = :keys AND d=:key", "it's"),
            "a = 'it''s' AND b::key AND c = :keys AND d='it''s'"
        );
        assert_eq!(with_key(":key:key", "x"), "'x''x'");
    }
}
