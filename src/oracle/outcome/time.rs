//! Values that tell a time: two calls may or may not have the same one, and two rounds
//! within one second write the same where a minute makes it another.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::Regex;
use serde_json::Value;

use crate::oracle::outcome::place::text;

/// How far a clock may be off that knows no time zone, and somewhat more.
const EARLIER: Duration = Duration::from_hours(26);

/// How long a run takes, with how long what is made in it is valid, in most cases. What
/// expires later is seen to differ.
const LATER: Duration = Duration::from_hours(40 * 24);

/// How much of a written moment is read.
const TO_THE_SECOND: usize = "2026-11-25T16:58:34".len();

/// The digits of the seconds since 1970.
const SHORTEST_EPOCH: usize = 10;

/// The units of a number that counts from 1970, as parts of a second.
const UNITS: [f64; 4] = [1.0, 1e3, 1e6, 1e9];

/// The time of a hunt, in seconds since 1970, with what lies about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    from: f64,
    to: f64,
}

impl Present {
    /// That of a hunt which begins now.
    pub(super) fn from(now: SystemTime) -> Present {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Present {
            from: now.saturating_sub(EARLIER).as_secs_f64(),
            to: (now + LATER).as_secs_f64(),
        }
    }

    /// Whether a value is a moment in it, to the second at least.
    pub(super) fn has(self, value: &Value) -> bool {
        let seconds = self.from..self.to;
        let text = text(value);
        let is_epoch = |number: f64| UNITS.iter().any(|unit| seconds.contains(&(number / unit)));
        if let Ok(number) = text.parse::<f64>() {
            return is_epoch(number);
        }
        // Within a text, such as a link that expires, as a whole number.
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        if numbers
            .any(|number| number.len() >= SHORTEST_EPOCH && number.parse().is_ok_and(is_epoch))
        {
            return true;
        }
        // Any zone will do, so what follows the seconds does not matter.
        let moment = text.get(..TO_THE_SECOND).map(humantime::parse_rfc3339_weak);
        let since_epoch = moment
            .and_then(Result::ok)
            .and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
        since_epoch.is_some_and(|since| seconds.contains(&since.as_secs_f64()))
    }
}

/// Whether a value tells a time at all, of the years 2014 to 2039 if it is a number.
pub(super) fn is_time(value: &Value) -> bool {
    static WRITTEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let written = r"(?x)^\d{4}-\d{2}-\d{2} ([T\x20]\d{2}:\d{2}|$) | ^\d{2}:\d{2}:\d{2}
            | ^(Mon|Tue|Wed|Thu|Fri|Sat|Sun),\x20\d";
        Regex::new(written).ok()
    });
    const SECONDS: std::ops::Range<f64> = 1.4e9..2.2e9;
    let text = text(value);
    let is_epoch = |number: f64| UNITS.iter().any(|unit| SECONDS.contains(&(number / unit)));
    text.parse::<f64>().is_ok_and(is_epoch)
        || WRITTEN
            .as_ref()
            .is_some_and(|written| written.is_match(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_of_the_hunt_are_known_in_every_shape() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_600_000);
        let present = Present::from(now);
        for moment in [
            json!("2026-11-25 11:06:40"),
            json!("2026-11-25T11:06:40.123456+00:00"),
            json!("2026-11-25T13:06:40+02:00"),
            json!(1_795_600_123),
            json!(1_795_600_123_456_i64),
            json!("1795600123.5"),
            json!("/notes/7?expires=1795600123&signature=dbc3d2"),
        ] {
            assert!(present.has(&moment), "{moment}");
        }
        for other in [
            json!("2019-01-01T00:00:00Z"),
            json!("2026-11-25"),
            json!(5),
            json!("x"),
        ] {
            assert!(!present.has(&other), "{other}");
        }
        assert!(is_time(&json!("Wed, 25 Nov 2026 16:58:34 GMT")) && is_time(&json!("2026-11-25")));
        assert!(!is_time(&json!("order 2026-11-25")) && !is_time(&json!(1000)));
    }
}
