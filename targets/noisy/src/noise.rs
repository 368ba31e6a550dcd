//! What is different each time: ids, tokens, times, signatures.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

const SECRET: &[u8] = b"noise";

/// A random id.
pub fn id() -> String {
    Uuid::new_v4().to_string()
}

/// A random token.
pub fn token() -> String {
    format!("tk_{}", Uuid::new_v4().simple())
}

/// Now, in each of its shapes.
#[derive(Clone, Copy)]
pub struct Now(SystemTime);

impl Now {
    pub fn read() -> Now {
        Now(SystemTime::now())
    }

    pub fn later(self, by: Duration) -> Now {
        Now(self.0 + by)
    }

    fn since_1970(self) -> Duration {
        self.0.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    pub fn seconds(self) -> u64 {
        self.since_1970().as_secs()
    }

    pub fn millis(self) -> i64 {
        i64::try_from(self.since_1970().as_millis()).unwrap_or(i64::MAX)
    }

    pub fn rfc3339(self) -> String {
        humantime::format_rfc3339_micros(self.0).to_string()
    }
}

/// How long something has taken.
pub fn took_ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// Signs an id and a time.
pub fn signature(id: &str, seconds: u64) -> String {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(SECRET).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(format!("{id}.{seconds}").as_bytes());
            hex::encode(mac.finalize().into_bytes())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_id_and_of_the_time() {
        let signed = signature("a", 1);
        assert_eq!(signed, signature("a", 1));
        assert!(![signature("b", 1), signature("a", 2)].contains(&signed));
        assert_eq!(signed.len(), 64);
    }
}
