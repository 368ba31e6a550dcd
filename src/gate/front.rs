//! From a client's bytes to what runs on the server at once.

use crate::wire::postgres::Invalid;
use crate::wire::postgres::frames::{Frame, Frames, MOST_GATHERED};
use crate::wire::postgres::frontend::{Bind, called, tag, text};

use super::answers::Expected;
use super::event::Statement;
use super::names::{Names, add_sql};

/// What was found in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// What is [ready](Front::ready) needs no asking, and there is more behind it.
    Passes,
    /// What is ready is a batch.
    Batch(Batch),
    /// What is ready needs no asking, and what is behind it is not all there.
    More,
}

/// Messages that the server is to run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// What it runs, if anything.
    pub(super) runs: Option<Statement>,
    /// It runs nothing, but ends with the Sync that commits what ran before a
    /// Flush.
    pub(super) may_commit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    /// In a batch that is kept together, to be held.
    Gathering,
    /// In a batch whose beginning was passed on. If it is a `step`, its end is the
    /// end of a step that had arrived.
    Passing {
        step: bool,
    },
}

/// A client's side of a session: bytes that were read and not yet passed on.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) buffer: Vec<u8>,
    frames: Frames,
    names: Names,
    place: Place,
    /// Of the batch that is gathered, so far.
    statement: Statement,
    /// The portal bound last in it.
    bound: Option<Vec<u8>>,
    executes: bool,
    /// Something ran before a Flush, and no Sync has come since.
    flushed: bool,
    /// What the server is going to answer to what is ready.
    expected: Vec<Expected>,
}

/// Whether a message's body matters here.
fn is_wanted(kind: u8) -> bool {
    matches!(
        kind,
        tag::BIND | tag::CALL | tag::CLOSE | tag::DESCRIBE | tag::EXECUTE | tag::PARSE | tag::QUERY
    )
}

/// Whether a message belongs to what runs at once, rather than to authentication,
/// copying or the end.
fn is_batched(kind: u8) -> bool {
    is_wanted(kind) || matches!(kind, tag::FLUSH | tag::SYNC)
}

impl Front {
    /// With what was read behind the start-up packet.
    pub(super) fn new(buffer: Vec<u8>) -> Front {
        Front {
            buffer,
            frames: Frames::default(),
            names: Names::default(),
            place: Place::Between,
            statement: Statement::default(),
            bound: None,
            executes: false,
            flushed: false,
            expected: Vec::new(),
        }
    }

    /// The bytes that may be passed on.
    pub(super) fn ready(&self) -> &[u8] {
        if self.place == Place::Gathering {
            return &[];
        }
        self.buffer.get(..self.frames.at()).unwrap_or_default()
    }

    /// What the server is going to answer to what is ready. Each is given once.
    pub(super) fn take_expected(&mut self) -> std::vec::Drain<'_, Expected> {
        let ready = match self.place {
            Place::Gathering => 0,
            _ => self.expected.len(),
        };
        self.expected.drain(..ready)
    }

    /// The number of the last statement that was prepared to last and is still there.
    pub(super) fn prepared(&self) -> u64 {
        self.names.newest()
    }

    /// What is ready has been passed on.
    pub(super) fn passed(&mut self) {
        let bytes = self.ready().len();
        self.frames.taken(bytes);
        if bytes == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..bytes);
        }
    }

    /// The batch that is ready is a step that had arrived: its end will be told.
    pub(super) fn is_step(&mut self) {
        if let Place::Passing { step } = &mut self.place {
            *step = true;
        } else if let Some(last) = self.expected.last_mut() {
            last.is_step();
        }
    }

    /// Whether the last batch that was begun has come to its end.
    pub(super) fn is_between(&self) -> bool {
        self.place == Place::Between && !self.frames.is_inside()
    }

    /// Outside a transaction portals are gone. To be told only when everything is
    /// answered.
    pub(super) fn outside_transaction(&mut self) {
        if self.place == Place::Between {
            self.names.end_transaction();
        }
    }

    /// Reads on in the buffer. When `holding`, batches are told of one by one.
    pub(super) fn scan(&mut self, holding: bool) -> Result<Scanned, Invalid> {
        loop {
            let at = self.frames.at();
            if holding && self.place == Place::Between && at > 0 && self.batch_follows() {
                return Ok(Scanned::Passes);
            }
            // Split, so that the frame may borrow from the buffer alone.
            let Some(frame) = self.frames.next(&self.buffer, is_wanted)? else {
                return Ok(self.all_read());
            };
            if self.place == Place::Between && is_batched(frame.tag) {
                self.place = if holding {
                    Place::Gathering
                } else {
                    Place::Passing { step: false }
                };
            }
            let gathers = self.place == Place::Gathering;
            if gathers {
                tell(frame, &mut self.names, &mut self.statement, &mut self.bound);
            } else {
                remember(frame, &mut self.names);
            }
            let kind = frame.tag;
            self.expected.extend(match kind {
                tag::PARSE | tag::BIND | tag::CLOSE => Some(Expected::Reply),
                tag::DESCRIBE => Some(Expected::Describe(self.names.described(frame.body))),
                tag::EXECUTE => Some(Expected::Execute),
                tag::QUERY | tag::CALL => Some(Expected::Simple { step: false }),
                tag::FLUSH => Some(Expected::Flush { step: false }),
                tag::SYNC => Some(Expected::Sync { step: false }),
                tag::COPY_DONE | tag::COPY_FAIL => Some(Expected::CopyEnd),
                _ => None,
            });
            self.executes |= matches!(kind, tag::EXECUTE | tag::QUERY | tag::CALL);
            if matches!(kind, tag::QUERY | tag::CALL | tag::FLUSH | tag::SYNC) {
                let batch = self.end(kind);
                if gathers {
                    return Ok(Scanned::Batch(batch));
                }
            }
        }
    }

    fn batch_follows(&self) -> bool {
        let next = self.buffer.get(self.frames.at());
        !self.frames.is_inside() && next.is_some_and(|kind| is_batched(*kind))
    }

    /// The buffer's end, perhaps within a batch that is too long to be gathered: it
    /// is told of with what is known.
    fn all_read(&mut self) -> Scanned {
        let too_long = self.frames.is_inside() || self.frames.at() > MOST_GATHERED;
        if self.place != Place::Gathering || !too_long {
            return Scanned::More;
        }
        if !self.executes
            && let Some(bound) = self.bound.take()
        {
            self.names.add(&bound, &mut self.statement);
        }
        self.place = Place::Passing { step: false };
        Scanned::Batch(Batch {
            runs: Some(std::mem::take(&mut self.statement)),
            may_commit: false,
        })
    }

    /// A batch ends with this kind of message.
    fn end(&mut self, kind: u8) -> Batch {
        if self.place == (Place::Passing { step: true })
            && let Some(last) = self.expected.last_mut()
        {
            last.is_step();
        }
        let statement = std::mem::take(&mut self.statement);
        let batch = Batch {
            runs: self.executes.then_some(statement),
            may_commit: kind == tag::SYNC && self.flushed && !self.executes,
        };
        self.flushed = kind == tag::FLUSH && (self.flushed || self.executes);
        self.place = Place::Between;
        (self.executes, self.bound) = (false, None);
        batch
    }
}

/// Keeps the names that a message gives.
fn remember(frame: Frame<'_>, names: &mut Names) {
    match frame.tag {
        tag::PARSE => names.parse(frame.body),
        tag::BIND => names.bind(frame.body),
        tag::CLOSE => names.close(frame.body),
        _ => {}
    }
}

/// Keeps the names, and adds to the statement what the message runs.
fn tell(
    frame: Frame<'_>,
    names: &mut Names,
    statement: &mut Statement,
    bound: &mut Option<Vec<u8>>,
) {
    remember(frame, names);
    match frame.tag {
        tag::BIND => *bound = Some(Bind::read(frame.body).portal.to_owned()),
        tag::EXECUTE => names.add(text(frame.body), statement),
        tag::QUERY => add_sql(statement, &String::from_utf8_lossy(text(frame.body))),
        tag::CALL => {
            let call = format!("CALL function {}", called(frame.body));
            add_sql(statement, &call);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    /// What passes and what is told, with everything let go, if the client's bytes
    /// come in pieces of this size.
    fn pieces(stream: &[u8], size: usize, holding: bool) -> (Vec<u8>, Vec<Batch>, Vec<String>) {
        let mut front = Front::new(Vec::new());
        let (mut passed, mut batches, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            front.buffer.extend_from_slice(piece);
            loop {
                let scanned = front.scan(holding).unwrap();
                let more = scanned == Scanned::More;
                let gathers = front.place == Place::Gathering;
                if let Scanned::Batch(batch) = scanned {
                    if batch.runs.is_some() {
                        front.is_step();
                    }
                    batches.push(batch);
                }
                let awaited: Vec<String> = front
                    .take_expected()
                    .map(|expected| format!("{expected:?}"))
                    .collect();
                assert!(!gathers || (awaited.is_empty() && front.ready().is_empty()));
                expected.extend(awaited);
                passed.extend_from_slice(front.ready());
                front.passed();
                if more {
                    break;
                }
            }
        }
        (passed, batches, expected)
    }

    #[test]
    fn steps_are_the_same_however_the_stream_is_cut() {
        let stream = [
            message(b'p', b"password"),
            message(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            message(b'D', b"Ss\0"),
            message(b'H', b""),
            message(b'B', b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'H', b""),
            message(b'S', b""),
            message(b'Q', b"COPY t FROM STDIN\0"),
            message(b'd', &[b'x'; 40]),
            message(b'd', b"y"),
            message(b'c', b""),
            message(b'Q', b"SELECT 1\0"),
            message(b'X', b""),
        ]
        .concat();
        let step = |sql: &str, parameters: &[&str]| Batch {
            runs: Some(Statement {
                sql: sql.to_owned(),
                parameters: parameters.iter().map(|p| Some((*p).to_owned())).collect(),
            }),
            may_commit: false,
        };
        let steps = [
            Batch::default(),
            step("SELECT $1", &["7"]),
            Batch {
                runs: None,
                may_commit: true,
            },
            step("COPY t FROM STDIN", &[]),
            step("SELECT 1", &[]),
        ];
        for size in 1..=stream.len() {
            let (passed, batches, expected) = pieces(&stream, size, true);
            assert_eq!(passed, stream, "in pieces of {size}");
            assert_eq!(batches, steps, "in pieces of {size}");
            let ends = expected.iter().filter(|text| text.contains("step: true"));
            assert_eq!((ends.count(), expected.len()), (3, 10));
            let (passed, batches, unheld) = pieces(&stream, size, false);
            assert_eq!((passed, batches.len()), (stream.clone(), 0));
            assert_eq!(unheld.len(), expected.len());
        }
    }

    #[test]
    fn a_batch_that_is_too_long_is_told_of_before_its_end() {
        let value = vec![b'x'; 3 * MOST_GATHERED];
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        let bind = [&b"\0\0\0\0\0\x01"[..], &length, &value, b"\0\0"].concat();
        let stream = [
            message(b'P', b"\0SELECT $1\0\0\0"),
            message(b'B', &bind),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ]
        .concat();
        for size in [1000, MOST_GATHERED, stream.len()] {
            let (passed, batches, expected) = pieces(&stream, size, true);
            assert!(passed == stream && batches.len() == 1);
            let runs = batches[0].runs.clone().unwrap();
            assert_eq!((runs.sql.as_str(), runs.parameters.len()), ("SELECT $1", 1));
            let expects = ["Reply", "Reply", "Execute", "Sync { step: true }"];
            assert_eq!(expected, expects);
        }
    }
}
