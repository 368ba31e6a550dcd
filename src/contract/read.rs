//! Files that users write, in JSON or YAML, as JSON values.

use std::path::Path;

use serde_json::Value;

/// Reads a file; the error is a sentence that names it.
pub(super) fn read(folder: &Path, name: &str) -> Result<Value, String> {
    let path = folder.join(name);
    let text =
        std::fs::read_to_string(&path).map_err(|e| format!("`{name}` cannot be read: {e}"))?;
    parse(name, &text)
}

/// Reads a text by the end of its name: `.json`, else YAML.
pub(super) fn parse(name: &str, text: &str) -> Result<Value, String> {
    let is_json = Path::new(name)
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
    if is_json {
        return serde_json::from_str(text).map_err(|error| format!("`{name}` is no JSON: {error}"));
    }
    // YAML 1.2, as OpenAPI has it: `no` is a text. The file is the user's own, so
    // nothing guards against its size.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: None,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("`{name}` is no YAML: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_that_of_openapi() {
        let text = "200: {a: no, b: &x [1, 1.5, null, true, ~]}\n'404': *x\ncountry: NO\n";
        assert_eq!(
            parse("x.yaml", text).unwrap(),
            json!({
                "200": {"a": "no", "b": [1, 1.5, null, true, null]},
                "404": [1, 1.5, null, true, null],
                "country": "NO"
            })
        );
        let twice = parse("x.yaml", "a: 1\nb: 2\na: 3\n").unwrap_err();
        assert!(twice.contains("x.yaml") && twice.contains('3'), "{twice}");
        assert!(parse("x.json", "a: 1").unwrap_err().contains("no JSON"));
    }
}
