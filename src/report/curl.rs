//! A request as a `curl` line that one can paste into a shell.

use crate::model::history::Request;

/// Headers that curl makes itself.
const OWN_HEADERS: [&str; 2] = ["host", "content-length"];

/// The request as `curl`, on the service at `$BASE`.
pub fn line(request: &Request) -> String {
    let mut parts = vec!["curl -i".to_owned()];
    match request.method.as_str() {
        "GET" => {}
        "HEAD" => parts.push("--head".to_owned()),
        method => parts.push(format!("-X {method}")),
    }
    // Double quotes around the variable alone: the path is the shell's affair.
    parts.push(format!("\"$BASE\"{}", quoted(&request.path)));
    let headers = request.headers.iter();
    for (name, value) in headers.filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str())) {
        parts.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    if !request.body.is_empty() {
        parts.push(format!("--data-raw {}", quoted(&request.body)));
    }
    parts.join(" ")
}

/// A text as one word of a shell. A NUL byte, which no shell can pass, is left out.
fn quoted(text: &str) -> String {
    match shlex::try_quote(text) {
        Ok(word) => word.into_owned(),
        Err(_) => quoted(&text.replace('\0', "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_reach_the_service_as_they_are() {
        let request = Request {
            method: "POST".to_owned(),
            path: "/a?b=c&d".to_owned(),
            headers: vec![
                ("host".to_owned(), "x".to_owned()),
                ("x-note".to_owned(), "it's".to_owned()),
            ],
            body: r#"{"a":"it's $5"}"#.to_owned(),
        };
        insta::assert_snapshot!(line(&request));
        let words = shlex::split(&line(&request)).unwrap_or_default();
        assert!(words.contains(&request.body), "{words:?}");
        assert!(words.contains(&"x-note: it's".to_owned()), "{words:?}");
    }
}
