//! Where messages begin and end in a stream of bytes.
//!
//! Of most messages only the first byte is wanted, and their bodies need never be
//! in memory at once: those are counted, not gathered. Bodies that are wanted are
//! gathered up to [`MOST_GATHERED`] bytes.

use postgres_protocol::message::backend::Header;

use super::Invalid;

/// Of one message, this much is gathered at most; the rest is counted only.
pub const MOST_GATHERED: usize = 256 * 1024;

/// The length beyond which a server takes no message, one GiB.
pub const LONGEST: usize = 0x3fff_ffff;

/// A tag and a length.
pub const HEADER: usize = 5;

/// A place in a stream of messages. The bytes are the caller's.
#[derive(Debug, Default)]
pub struct Frames {
    /// What has been looked at of the caller's buffer.
    at: usize,
    /// What is still to come of a message that was told of.
    rest: usize,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's first byte: its kind.
    pub tag: u8,
    /// The body, if it was wanted.
    pub body: &'a [u8],
    /// Whether that is all of it.
    pub whole: bool,
}

impl Frames {
    /// The next message in the buffer; `None` if more bytes are needed. `wanted`
    /// tells for a tag whether the body is to be gathered.
    pub fn next<'a>(
        &mut self,
        buffer: &'a [u8],
        wanted: impl Fn(u8) -> bool,
    ) -> Result<Option<Frame<'a>>, Invalid> {
        let passed = self.rest.min(buffer.len().saturating_sub(self.at));
        self.at += passed;
        self.rest -= passed;
        let Some(there) = buffer.get(self.at..).filter(|_| self.rest == 0) else {
            return Ok(None);
        };
        let Some((tag, length)) = header(there)? else {
            return Ok(None);
        };
        let gathered = if wanted(tag) {
            length.min(MOST_GATHERED)
        } else {
            HEADER
        };
        let Some(message) = there.get(..gathered) else {
            return Ok(None);
        };
        self.at += gathered;
        self.rest = length - gathered;
        Ok(Some(Frame {
            tag,
            body: &message[HEADER..],
            whole: self.rest == 0,
        }))
    }

    /// How many bytes of the buffer belong to messages that were told of.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether more is to come of the message told of last.
    pub fn is_inside(&self) -> bool {
        self.rest > 0
    }

    /// The message told of last, of so many bytes, has become one of another length in
    /// the caller's buffer.
    pub fn replaced(&mut self, old: usize, new: usize) {
        self.at = self.at.saturating_sub(old) + new;
    }

    /// The caller has taken so many bytes from the front of its buffer, no more
    /// than [`at`](Frames::at).
    pub fn taken(&mut self, bytes: usize) {
        self.at = self.at.saturating_sub(bytes);
    }
}

/// Tag, and length with the tag.
fn header(there: &[u8]) -> Result<Option<(u8, usize)>, Invalid> {
    let Some(&tag) = there.first() else {
        return Ok(None);
    };
    let invalid = |length| Invalid::Length { tag, length };
    let header = match Header::parse(there) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(None),
        // The one thing it refuses is a length that does not even count itself.
        Err(_) => {
            let length = there.get(1..HEADER).and_then(|bytes| bytes.try_into().ok());
            return Err(invalid(length.map_or(0, i32::from_be_bytes).into()));
        }
    };
    match usize::try_from(header.len()) {
        Ok(length) if length <= LONGEST => Ok(Some((header.tag(), length + 1))),
        _ => Err(invalid(header.len().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    fn only_z(tag: u8) -> bool {
        tag == b'Z'
    }

    #[test]
    fn messages_are_the_same_however_the_stream_is_cut() {
        let stream = [
            message(b'D', &[7; 20]),
            message(b'1', b""),
            message(b'Z', b"I"),
            message(b'D', b""),
            message(b'Z', b"T"),
        ]
        .concat();
        for size in 1..=stream.len() {
            let (mut frames, mut buffer, mut told) = (Frames::default(), Vec::new(), Vec::new());
            for chunk in stream.chunks(size) {
                buffer.extend_from_slice(chunk);
                while let Some(frame) = frames.next(&buffer, only_z).unwrap() {
                    told.push((frame.tag, frame.body.to_vec()));
                }
                let at = frames.at();
                buffer.drain(..at);
                frames.taken(at);
                assert!(buffer.len() < 6, "{} bytes are gathered", buffer.len());
            }
            assert!(buffer.is_empty() && !frames.is_inside());
            let tags: Vec<u8> = told.iter().map(|(tag, _)| *tag).collect();
            assert_eq!(tags, b"D1ZDZ", "in pieces of {size}");
            assert_eq!((&told[2].1[..], &told[4].1[..]), (&b"I"[..], &b"T"[..]));
        }
    }

    #[test]
    fn no_more_is_gathered_than_is_allowed() {
        let mut stream = message(b'Z', &vec![1; 2 * MOST_GATHERED]);
        stream.extend(message(b'Z', b"I"));
        let mut frames = Frames::default();
        let half = &stream[..MOST_GATHERED];
        let frame = frames.next(half, only_z).unwrap().unwrap();
        assert_eq!((frame.body.len(), frame.whole), (MOST_GATHERED - 5, false));
        assert!(frames.is_inside());
        let frame = frames.next(&stream, only_z).unwrap().unwrap();
        assert_eq!((frame.body, frame.whole), (&b"I"[..], true));
    }

    #[test]
    fn what_cannot_be_a_message_is_told_from_what_is_not_there_yet() {
        let next = |bytes: &[u8]| {
            let told = Frames::default().next(bytes, only_z);
            told.map(|frame| frame.is_some())
        };
        for incomplete in [&b""[..], b"Z", b"Z\0\0\0", b"Z\0\0\0\x05"] {
            assert_eq!(next(incomplete), Ok(false));
        }
        assert_eq!(next(b"Z\0\0\0\x05I"), Ok(true));
        for (bytes, length) in [
            (b"Z\0\0\0\x03", 3),
            (b"Z\xff\xff\xff\xff", -1),
            (b"Z\x7f\0\0\0", 0x7f00_0000),
        ] {
            let invalid = Invalid::Length { tag: b'Z', length };
            assert_eq!(next(bytes), Err(invalid));
        }
    }
}
