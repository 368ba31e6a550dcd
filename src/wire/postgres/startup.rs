//! The packets that open a connection: they have no tag.

use super::Invalid;

/// The longest packet that a server takes before it knows who is there.
pub const LONGEST: u32 = 10_000;

/// What a client asks for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// TLS. The answer is one byte, and another opening follows.
    Tls,
    /// GSSAPI encryption. As above.
    Gss,
    /// That a statement of another connection be cancelled. There is no answer.
    Cancel,
    /// A session: user, database and settings. The server judges its version.
    Session,
}

/// To a server: let us speak TLS.
pub const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The server takes TLS.
pub const TLS_TAKEN: u8 = b'S';

/// To a client that asks for encryption: there is none here.
pub const NOT_ENCRYPTED: u8 = b'N';

/// What the packet at the front of the buffer asks for, and its length; `None` if
/// it is not all there.
pub fn opening(buffer: &[u8]) -> Result<Option<(Opening, usize)>, Invalid> {
    let number = |at: usize| {
        let bytes = buffer.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let Some(length) = number(0) else {
        return Ok(None);
    };
    let bytes = match usize::try_from(length) {
        Ok(bytes) if (8..=LONGEST).contains(&length) => bytes,
        _ => return Err(Invalid::Opening { length }),
    };
    let (Some(code), true) = (number(4), buffer.len() >= bytes) else {
        return Ok(None);
    };
    let opening = match code {
        0x04d2_162e => Opening::Cancel,
        0x04d2_162f => Opening::Tls,
        0x04d2_1630 => Opening::Gss,
        _ => Opening::Session,
    };
    Ok(Some((opening, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_told_apart_and_bounded() {
        assert_eq!(opening(&TLS_REQUEST), Ok(Some((Opening::Tls, 8))));
        let gss = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30, b'?'];
        assert_eq!(opening(&gss), Ok(Some((Opening::Gss, 8))));
        let cancel = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(opening(&cancel), Ok(Some((Opening::Cancel, 16))));
        let session = *b"\0\0\0\x0f\0\x03\0\0user\0a\0\0";
        assert_eq!(opening(&session[..15]), Ok(Some((Opening::Session, 15))));
        for cut in 0..15 {
            assert_eq!(opening(&session[..cut]), Ok(None), "{cut} bytes");
        }
        for (bytes, length) in [
            (*b"GET ", 0x4745_5420),
            ([0, 0, 0, 7], 7),
            ([0, 0, 0x27, 0x11], 10_001),
            ([0x16, 3, 1, 2], 0x1603_0102),
        ] {
            assert_eq!(opening(&bytes), Err(Invalid::Opening { length }));
        }
    }
}
