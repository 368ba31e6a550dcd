//! What servers say.

use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;

use super::Oid;
use super::frames::Frame;

/// The messages of interest, by their first byte.
pub mod tag {
    #![allow(missing_docs)]
    pub use postgres_protocol::message::backend::{
        AUTHENTICATION_TAG as AUTHENTICATION, BACKEND_KEY_DATA_TAG as KEY_DATA,
        BIND_COMPLETE_TAG as BIND_COMPLETE, CLOSE_COMPLETE_TAG as CLOSE_COMPLETE,
        COMMAND_COMPLETE_TAG as COMMAND_COMPLETE, COPY_IN_RESPONSE_TAG as COPY_IN,
        DATA_ROW_TAG as DATA_ROW, EMPTY_QUERY_RESPONSE_TAG as EMPTY_QUERY,
        ERROR_RESPONSE_TAG as ERROR, NO_DATA_TAG as NO_DATA,
        PARAMETER_DESCRIPTION_TAG as PARAMETERS, PARSE_COMPLETE_TAG as PARSE_COMPLETE,
        PORTAL_SUSPENDED_TAG as PORTAL_SUSPENDED, READY_FOR_QUERY_TAG as READY,
        ROW_DESCRIPTION_TAG as ROW_DESCRIPTION,
    };
}

/// The command that a `CommandComplete` names, and the rows that it counts.
pub fn completed(body: &[u8]) -> (&[u8], Option<u64>) {
    let text = super::frontend::text(body);
    let mut words = text.split(|byte| *byte == b' ');
    let command = words.next().unwrap_or_default();
    let count = words
        .next_back()
        .and_then(|word| std::str::from_utf8(word).ok())
        .and_then(|word| word.parse().ok());
    (command, count)
}

/// Code and message of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorText {
    /// The SQLSTATE.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// Reads an `ErrorResponse`. Of one that is too long to be gathered, what is there.
pub fn error(frame: Frame<'_>) -> ErrorText {
    let mut error = ErrorText::default();
    let body = frame.body;
    let mut ended = body.to_vec();
    if !frame.whole {
        // The field that is cut ends here, and so does the list of fields.
        ended.extend([0, 0]);
    }
    if let Some(Message::ErrorResponse(body)) = parse(frame.tag, &ended) {
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = value(),
                b'M' => error.message = value(),
                _ => {}
            }
        }
    }
    error
}

/// The process id in a `BackendKeyData`.
pub fn process_id(frame: Frame<'_>) -> Option<i32> {
    // A newer protocol's key is longer, and not ours to know.
    let body = frame.body.get(..8)?;
    match parse(frame.tag, body)? {
        Message::BackendKeyData(body) => Some(body.process_id()),
        _ => None,
    }
}

/// The types in a `ParameterDescription`.
pub fn parameter_types(frame: Frame<'_>) -> Vec<Oid> {
    match parse(frame.tag, frame.body) {
        Some(Message::ParameterDescription(body)) => {
            let mut types = Vec::new();
            let mut parameters = body.parameters();
            while let Ok(Some(oid)) = parameters.next() {
                types.push(oid);
            }
            types
        }
        _ => Vec::new(),
    }
}

fn parse(tag: u8, body: &[u8]) -> Option<Message> {
    let mut bytes = BytesMut::with_capacity(body.len() + 5);
    bytes.put_u8(tag);
    bytes.put_u32(u32::try_from(body.len() + 4).ok()?);
    bytes.put_slice(body);
    Message::parse(&mut bytes).ok().flatten()
}

/// An `ErrorResponse` with which a connection ends.
pub fn fatal(code: &str, message: &str) -> Vec<u8> {
    error_response("FATAL", code, message)
}

/// An `ErrorResponse` with which a statement ends.
pub fn refusal(code: &str, message: &str) -> Vec<u8> {
    error_response("ERROR", code, message)
}

fn error_response(severity: &str, code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', message),
    ] {
        body.push(field);
        body.extend(value.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    body.push(0);
    super::frontend::message(tag::ERROR, &body)
}

/// The offer of SCRAM bound to a TLS channel.
const BOUND: &[u8] = b"SCRAM-SHA-256-PLUS";

/// An authentication request that offers what is bound to a TLS channel, without
/// that offer: whoever is not the other end of the channel cannot take it, and some
/// clients take it for an attack. `None` if there is nothing to leave out.
pub fn without_channel_binding(body: &[u8]) -> Option<Vec<u8>> {
    let mechanisms = body.strip_prefix(&[0, 0, 0, 10])?;
    let offered = mechanisms.split(|byte| *byte == 0);
    let offered: Vec<&[u8]> = offered.filter(|name| !name.is_empty()).collect();
    if !offered.contains(&BOUND) {
        return None;
    }
    let mut left = vec![0, 0, 0, 10];
    for name in offered.into_iter().filter(|name| *name != BOUND) {
        left.extend_from_slice(name);
        left.push(0);
    }
    left.push(0);
    let length = u32::try_from(left.len() + 4).ok()?;
    Some([&[tag::AUTHENTICATION][..], &length.to_be_bytes(), &left].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8], whole: bool) -> Frame<'_> {
        Frame { tag, body, whole }
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(completed(b"INSERT 0 3\0"), (&b"INSERT"[..], Some(3)));
        assert_eq!(completed(b"BEGIN\0"), (&b"BEGIN"[..], None));
        assert_eq!(completed(b"CREATE TABLE\0"), (&b"CREATE"[..], None));
        assert_eq!(completed(b""), (&b""[..], None));
        let key = frame(tag::KEY_DATA, b"\0\0\x01\0abcd", true);
        assert_eq!(process_id(key), Some(256));
        let long = frame(tag::KEY_DATA, b"\0\0\x01\0abcdefghijkl", true);
        assert_eq!(process_id(long), Some(256));
        assert_eq!(process_id(frame(tag::KEY_DATA, b"\0", true)), None);
        let types = frame(tag::PARAMETERS, b"\0\x02\0\0\0\x17\0\0\0\x19", true);
        assert_eq!(parameter_types(types), [23, 25]);
        assert!(parameter_types(frame(tag::PARAMETERS, b"\0", true)).is_empty());
    }

    #[test]
    fn errors_are_read_even_where_they_are_cut() {
        let whole = fatal("08001", "no way");
        let read = error(frame(tag::ERROR, &whole[5..], true));
        let expected = |message: &str| ErrorText {
            code: "08001".to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(read, expected("no way"));
        let cut = &whole[5..whole.len() - 5];
        assert_eq!(error(frame(tag::ERROR, cut, false)), expected("no "));
        assert_eq!(error(frame(tag::ERROR, b"", true)), ErrorText::default());
    }

    #[test]
    fn only_the_bound_mechanism_is_left_out() {
        let both = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
        let left = without_channel_binding(both).unwrap();
        assert_eq!(left, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
        assert_eq!(without_channel_binding(&left[5..]), None);
        assert_eq!(without_channel_binding(b"\0\0\0\0"), None);
    }
}
