//! What clients say. Bodies may be cut short: what is there is read, and nothing
//! that a client can send makes more of it than an empty answer.

use bytes::Buf;

use super::Oid;

/// The messages of interest, by their first byte.
pub mod tag {
    #![allow(missing_docs)]
    pub const BIND: u8 = b'B';
    pub const CALL: u8 = b'F';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const PARSE: u8 = b'P';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
}

/// A message, whole.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// The text of a Query, and the first name in an Execute: all up to the first NUL.
pub fn text(body: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, body).unwrap_or(body.len());
    &body[..end]
}

/// A statement gets a name, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The SQL.
    pub sql: &'a [u8],
    /// Types of the first parameters; 0 is unknown.
    pub types: Vec<Oid>,
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse.
    pub fn read(mut body: &'a [u8]) -> Parse<'a> {
        let (name, sql) = (take_text(&mut body), take_text(&mut body));
        let count = body.try_get_u16().unwrap_or(0);
        let types = (0..count).map_while(|_| body.try_get_u32().ok());
        Parse {
            name,
            sql,
            types: types.collect(),
        }
    }
}

/// A statement gets parameters and becomes a portal, whose name may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// The statement's name.
    pub statement: &'a [u8],
    /// The rest, for [`parameters`].
    pub values: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads the body of a Bind.
    pub fn read(mut body: &'a [u8]) -> Bind<'a> {
        Bind {
            portal: take_text(&mut body),
            statement: take_text(&mut body),
            values: body,
        }
    }
}

/// One parameter of a Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Whether the value is in the type's binary format.
    pub binary: bool,
    /// The value, cut where the body is; `None` is NULL.
    pub value: Option<&'a [u8]>,
}

/// The parameters in [`Bind::values`], up to where it is cut.
pub fn parameters(mut values: &[u8]) -> Vec<Parameter<'_>> {
    let count = values.try_get_u16().unwrap_or(0);
    let formats: Vec<bool> = (0..count)
        .map_while(|_| values.try_get_u16().ok())
        .map(|format| format == 1)
        .collect();
    let count = values.try_get_u16().unwrap_or(0);
    let mut found = Vec::new();
    for index in 0..usize::from(count) {
        let Ok(length) = values.try_get_i32() else {
            break;
        };
        // No format for all is text for all, one is for all.
        let format = if formats.len() == 1 { 0 } else { index };
        let value = usize::try_from(length).ok().map(|length| {
            let (value, rest) = values.split_at(length.min(values.len()));
            values = rest;
            value
        });
        found.push(Parameter {
            binary: formats.get(format).copied().unwrap_or(false),
            value,
        });
    }
    found
}

/// What a Describe or a Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

impl<'a> Named<'a> {
    /// Reads the body of a Describe or a Close.
    pub fn read(body: &'a [u8]) -> Option<Named<'a>> {
        let (kind, name) = body.split_first()?;
        let name = text(name);
        match kind {
            b'S' => Some(Named::Statement(name)),
            b'P' => Some(Named::Portal(name)),
            _ => None,
        }
    }
}

/// The function of a function call.
pub fn called(mut body: &[u8]) -> Oid {
    body.try_get_u32().unwrap_or(0)
}

fn take_text<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let text = text(body);
    *body = body.get(text.len() + 1..).unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: &[u8] =
        b"p\0s\0\0\x02\0\x01\0\0\0\x03\0\0\0\x02\0\x2a\xff\xff\xff\xff\0\0\0\x01x\0\0";

    #[test]
    fn what_is_there_of_a_message_is_read() {
        let parse = Parse::read(b"s\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\0");
        assert_eq!((parse.name, parse.sql), (&b"s"[..], &b"SELECT $1"[..]));
        assert_eq!(parse.types, [23, 0]);
        let bind = Bind::read(BIND);
        assert_eq!((bind.portal, bind.statement), (&b"p"[..], &b"s"[..]));
        let parameter = |binary, value| Parameter { binary, value };
        let all = [
            parameter(true, Some(&b"\0\x2a"[..])),
            parameter(false, None),
            parameter(false, Some(b"x")),
        ];
        assert_eq!(parameters(bind.values), all);
        assert_eq!(Named::read(b"Ss\0"), Some(Named::Statement(b"s")));
        assert_eq!(Named::read(b"P\0"), Some(Named::Portal(b"")));
        assert_eq!(Named::read(b"?s\0"), None);
        // One format is for all.
        let both = parameters(b"\0\x01\0\x01\0\x02\0\0\0\x01a\0\0\0\x01b\0\0");
        assert!(both.len() == 2 && both.iter().all(|parameter| parameter.binary));
    }

    #[test]
    fn bodies_cut_anywhere_or_made_of_anything_are_read_as_far_as_they_go() {
        for cut in 0..BIND.len() {
            let bind = Bind::read(&BIND[..cut]);
            assert!(parameters(bind.values).len() <= 3);
        }
        for byte in [0, 1, 0x7f, 0xff] {
            for length in 0..20 {
                let body = vec![byte; length];
                Parse::read(&body);
                parameters(Bind::read(&body).values);
                parameters(&body);
                Named::read(&body);
                called(&body);
            }
        }
    }
}
