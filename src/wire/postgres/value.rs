//! Parameters in readable form: what is text as it is, what is binary as
//! PostgreSQL would write it where the type is one of the common ones.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Buf;
use fallible_iterator::FallibleIterator;
use postgres_protocol::types;

use super::Oid;

/// 2000-01-01, which PostgreSQL counts from, in seconds since 1970-01-01.
const EPOCH: i64 = 946_684_800;

const SECONDS_A_DAY: i64 = 86_400;
const MICROSECONDS: i64 = 1_000_000;

/// A parameter's value. What is not known is `\x` and hexadecimal digits.
pub fn readable(value: &[u8], binary: bool, oid: Oid) -> String {
    if !binary {
        return String::from_utf8_lossy(value).into_owned();
    }
    known(value, oid).unwrap_or_else(|| format!("\\x{}", hex::encode(value)))
}

/// The types by their fixed numbers in `pg_type`.
fn known(value: &[u8], oid: Oid) -> Option<String> {
    Some(match oid {
        16 => types::bool_from_sql(value).ok()?.to_string(),
        18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043 => std::str::from_utf8(value).ok()?.to_owned(),
        20 => types::int8_from_sql(value).ok()?.to_string(),
        21 => types::int2_from_sql(value).ok()?.to_string(),
        23 => types::int4_from_sql(value).ok()?.to_string(),
        26 => types::oid_from_sql(value).ok()?.to_string(),
        700 => types::float4_from_sql(value).ok()?.to_string(),
        701 => types::float8_from_sql(value).ok()?.to_string(),
        1082 => {
            let days = i64::from(types::date_from_sql(value).ok()?);
            let text = time(days.checked_mul(SECONDS_A_DAY * MICROSECONDS)?)?;
            text.split('T').next()?.to_owned()
        }
        1114 | 1184 => {
            let text = time(types::timestamp_from_sql(value).ok()?)?;
            let text = text.replace('T', " ");
            let zone = if oid == 1184 { "+00" } else { "" };
            format!("{}{zone}", text.trim_end_matches('Z'))
        }
        1700 => numeric(value)?,
        2950 => uuid(&types::uuid_from_sql(value).ok()?),
        // The version of the format comes before the text.
        3802 => std::str::from_utf8(value.strip_prefix(&[1])?)
            .ok()?
            .to_owned(),
        1000 | 1005 | 1007 | 1009 | 1015 | 1016 | 1021 | 1022 | 1231 | 2951 => array(value)?,
        _ => return None,
    })
}

/// Microseconds since 2000, for the years from 1970 to 9999.
fn time(since_2000: i64) -> Option<String> {
    let microseconds = since_2000.checked_add(EPOCH * MICROSECONDS)?;
    let since_1970 = Duration::from_micros(u64::try_from(microseconds).ok()?);
    // Beyond 9999 the crate panics; PostgreSQL goes on to 294276.
    if since_1970.as_secs() >= 253_402_300_800 {
        return None;
    }
    let text = humantime::format_rfc3339_micros(UNIX_EPOCH + since_1970).to_string();
    let text = text.trim_end_matches('Z').trim_end_matches('0');
    Some(text.trim_end_matches('.').to_owned())
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = hex::encode(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// Digits to the base of 10,000, the place of the first, the sign, and how many
/// decimals are shown.
fn numeric(mut value: &[u8]) -> Option<String> {
    let count = value.try_get_i16().ok()?;
    let weight = value.try_get_i16().ok()?;
    let sign = value.try_get_u16().ok()?;
    let scale = usize::try_from(value.try_get_i16().ok()?).ok()?;
    let negative = match sign {
        0 => "",
        0x4000 => "-",
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let digits: Vec<i16> = (0..count)
        .map(|_| value.try_get_i16().ok())
        .collect::<Option<_>>()?;
    let digit = |place: i16| -> i16 {
        let index = i32::from(weight) - i32::from(place);
        let index = usize::try_from(index).ok();
        index
            .and_then(|index| digits.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for place in (0..=weight.max(0)).rev() {
        let _ = write!(text, "{:04}", digit(place));
    }
    let whole = text.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut decimals = String::new();
    let mut place = -1;
    while decimals.len() < scale {
        let _ = write!(decimals, "{:04}", digit(place));
        place -= 1;
    }
    decimals.truncate(scale);
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{negative}{whole}{point}{decimals}"))
}

/// An array of one dimension.
fn array(value: &[u8]) -> Option<String> {
    let array = types::array_from_sql(value).ok()?;
    if array.dimensions().count().ok()? > 1 {
        return None;
    }
    let element = array.element_type();
    let mut shown = Vec::new();
    let mut values = array.values();
    while let Some(value) = values.next().ok()? {
        shown.push(match value {
            None => "NULL".to_owned(),
            Some(value) => quoted(known(value, element)?),
        });
    }
    Some(format!("{{{}}}", shown.join(",")))
}

/// An element as an array's text has it.
fn quoted(element: String) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}' | '"' | '\\');
    let is_null = element.eq_ignore_ascii_case("null");
    if element.is_empty() || is_null || element.contains(special) {
        format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(oid: Oid, value: &[u8]) -> String {
        readable(value, true, oid)
    }

    #[test]
    fn text_is_left_as_it_is() {
        assert_eq!(readable(b"it's", false, 23), "it's");
        assert_eq!(readable(b"\xff", false, 25), "\u{fffd}");
    }

    #[test]
    fn binary_values_read_as_the_server_writes_them() {
        assert_eq!(read(23, &(-7_i32).to_be_bytes()), "-7");
        assert_eq!(read(20, &i64::MAX.to_be_bytes()), i64::MAX.to_string());
        assert_eq!(read(21, &5_i16.to_be_bytes()), "5");
        assert_eq!(read(16, &[1]), "true");
        assert_eq!(read(701, &1.5_f64.to_be_bytes()), "1.5");
        assert_eq!(read(25, "é".as_bytes()), "é");
        assert_eq!(read(3802, b"\x01{}"), "{}");
        let uuid = hex::decode("a0eebc999c0b4ef8bb6d6bb9bd380a11").unwrap();
        assert_eq!(read(2950, &uuid), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert_eq!(read(1082, &8400_i32.to_be_bytes()), "2022-12-31");
        let moment = (8400 * SECONDS_A_DAY * MICROSECONDS + 3_500_000).to_be_bytes();
        assert_eq!(read(1184, &moment), "2022-12-31 00:00:03.5+00");
        assert_eq!(read(1114, &0_i64.to_be_bytes()), "2000-01-01 00:00:00");
    }

    #[test]
    fn numerics_have_their_digits_in_their_places() {
        let numeric = |weight: i16, sign: u16, scale: i16, digits: &[i16]| {
            let count = i16::try_from(digits.len()).unwrap();
            let mut value = Vec::new();
            value.extend(count.to_be_bytes());
            value.extend(weight.to_be_bytes());
            value.extend(sign.to_be_bytes());
            value.extend(scale.to_be_bytes());
            value.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
            read(1700, &value)
        };
        assert_eq!(numeric(0, 0, 0, &[]), "0");
        assert_eq!(numeric(0, 0, 2, &[12, 5000]), "12.50");
        assert_eq!(numeric(1, 0x4000, 0, &[1, 5]), "-10005");
        assert_eq!(numeric(1, 0, 0, &[3]), "30000");
        assert_eq!(numeric(-1, 0, 3, &[10]), "0.001");
        assert_eq!(numeric(-2, 0, 6, &[1000]), "0.000010");
        assert_eq!(numeric(0, 0xc000, 0, &[]), "NaN");
    }

    #[test]
    fn arrays_read_as_the_server_writes_them() {
        let array = |oid: u32, elements: &[Option<&[u8]>]| {
            let mut value = Vec::new();
            value.extend(1_i32.to_be_bytes());
            value.extend(0_i32.to_be_bytes());
            value.extend(oid.to_be_bytes());
            value.extend(i32::try_from(elements.len()).unwrap().to_be_bytes());
            value.extend(1_i32.to_be_bytes());
            for element in elements {
                let length = element.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
                value.extend(length.to_be_bytes());
                value.extend(element.unwrap_or_default());
            }
            value
        };
        let numbers = array(23, &[Some(&[0, 0, 0, 1]), None]);
        assert_eq!(read(1007, &numbers), "{1,NULL}");
        let texts = array(25, &[Some(b"a"), Some(b"b, \"c\""), Some(b"")]);
        assert_eq!(read(1009, &texts), r#"{a,"b, \"c\"",""}"#);
    }

    #[test]
    fn what_is_not_known_or_does_not_fit_its_type_is_hexadecimal() {
        assert_eq!(read(0, &[0, 255]), "\\x00ff");
        assert_eq!(read(23, &[1]), "\\x01");
        assert_eq!(read(25, &[0xff]), "\\xff");
        assert_eq!(read(1184, &i64::MAX.to_be_bytes()), "\\x7fffffffffffffff");
        for oid in 0..4000 {
            for length in 0..24 {
                read(oid, &vec![0xff; length]);
                read(oid, &vec![0; length]);
                read(oid, &vec![1; length]);
            }
        }
    }
}
