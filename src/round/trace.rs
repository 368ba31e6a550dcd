//! W3C trace context: a call's name, which services that trace pass on with all that
//! they do for it, to third parties in a header and to the database in a comment.

use crate::model::history::Request;

/// The header.
const TRACEPARENT: &str = "traceparent";

/// How the trace ids of deadheat's calls begin; the number of the call follows.
const MARK: &str = "dead4ea7dead4ea7";

/// What is left of a trace id, in hexadecimal digits.
const NUMBER: usize = 16;

/// Names a request as the one of this call, unless the target file has named it. The
/// same in every round, as all that is sent.
pub(super) fn name(request: &mut Request, call: usize) {
    let mut headers = request.headers.iter();
    if headers.any(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT)) {
        return;
    }
    // Sampled, for a trace that is not is not always passed on.
    let number = call + 1;
    let value = format!("00-{MARK}{number:0NUMBER$x}-{number:016x}-01");
    request.headers.push((TRACEPARENT.to_owned(), value));
}

/// The call that a text names, in whatever form.
pub(super) fn named(text: &str) -> Option<usize> {
    let at = text.find(MARK)? + MARK.len();
    let number = usize::from_str_radix(text.get(at..at + NUMBER)?, 16).ok()?;
    number.checked_sub(1)
}

/// The call that a request to a third party names.
pub(super) fn of(request: &Request) -> Option<usize> {
    let mut headers = request.headers.iter();
    headers.find_map(|(_, value)| named(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: headers.iter().map(owned).collect(),
            body: String::new(),
        }
    }

    #[test]
    fn a_call_is_known_by_the_trace_that_it_began() {
        let mut sent = request(&[("accept", "*/*")]);
        name(&mut sent, 41);
        let (header, value) = sent.headers[1].clone();
        let parts: Vec<usize> = value.split('-').map(str::len).collect();
        assert_eq!(
            (header.as_str(), parts.as_slice()),
            (TRACEPARENT, &[2, 32, 16, 2][..])
        );
        assert_eq!(of(&sent), Some(41));
        let trace = value.split('-').nth(1).unwrap();
        let other_form = format!("{trace}-00f067aa0ba902b7-1");
        assert_eq!(of(&request(&[("b3", &other_form)])), Some(41));
        assert_eq!(
            named(&format!("traceparent='00-{trace}-c532cb4098ac3dd2-01'")),
            Some(41)
        );
        for other in [
            MARK,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(named(other), None);
        }
    }

    #[test]
    fn what_the_target_file_names_keeps_its_name() {
        let own = ("Traceparent", "mine");
        let mut sent = request(&[own]);
        name(&mut sent, 0);
        assert_eq!(sent, request(&[own]));
    }
}
