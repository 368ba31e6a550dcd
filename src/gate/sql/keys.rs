//! Values that two statements can be told apart by: one text for each value of a
//! column, however it was written.
//!
//! Two values that the database calls equal must have the same text; where that
//! is not certain, a value has none. Knows types and values, and no tables.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CharacterLength, DataType, ExactNumberInfo, Expr,
    TypedString, UnaryOperator, Value,
};

/// A value that a column may have, by column; a column that is missing may have any.
pub(super) type Known = BTreeMap<String, BTreeSet<String>>;

/// More values than these say no more than any value.
pub(super) const MOST_VALUES: usize = 16;

/// Types by how their values are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers.
    Number,
    /// Compared byte by byte.
    Text,
    /// The same, cut to a length when stored.
    Varying,
    /// Padded with blanks.
    Padded,
    /// Labels of an enumeration.
    Label,
    Uuid,
    Bool,
    Date,
    /// Equal values of these can look different.
    Other,
}

impl Kind {
    /// The kind of a type as `format_type` names it; `enum` stands for any of those.
    pub(super) fn of(name: &str) -> Kind {
        match name {
            _ if name.ends_with("[]") => Kind::Other,
            "smallint" | "integer" | "bigint" | "numeric" => Kind::Number,
            "text" => Kind::Text,
            "uuid" => Kind::Uuid,
            "boolean" => Kind::Bool,
            "date" => Kind::Date,
            "enum" => Kind::Label,
            _ if name.starts_with("character varying") => Kind::Varying,
            _ if name.starts_with("character") => Kind::Padded,
            // A scale below zero rounds whole numbers.
            _ if name.starts_with("numeric(") && !name.contains('-') => Kind::Number,
            _ => Kind::Other,
        }
    }

    /// Whether values of both have the same texts.
    pub(super) fn is_like(self, other: Kind) -> bool {
        let loose = |kind| {
            if kind == Kind::Varying {
                Kind::Text
            } else {
                kind
            }
        };
        loose(self) == loose(other)
    }

    /// The one text of a value.
    fn text(self, value: &str) -> Option<String> {
        match self {
            Kind::Number => Some(value.trim().parse::<i128>().ok()?.to_string()),
            Kind::Text | Kind::Label => Some(value.to_owned()),
            // Blanks beyond the length go when it is stored.
            Kind::Varying => (!value.ends_with(' ')).then(|| value.to_owned()),
            Kind::Padded => Some(value.trim_end_matches(' ').to_owned()),
            Kind::Uuid => {
                let value = value.trim().trim_start_matches('{').trim_end_matches('}');
                let digits: String = value.chars().filter(|c| *c != '-').collect();
                let whole = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
                whole.then(|| grouped(&digits.to_ascii_lowercase()))
            }
            Kind::Bool => match value.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "y" | "yes" | "on" | "1" => Some("true".to_owned()),
                "f" | "false" | "n" | "no" | "off" | "0" => Some("false".to_owned()),
                _ => None,
            },
            Kind::Date => {
                let plain = value.len() == 10
                    && value.char_indices().all(|(at, c)| match at {
                        4 | 7 => c == '-',
                        _ => c.is_ascii_digit(),
                    });
                plain.then(|| value.to_owned())
            }
            Kind::Other => None,
        }
    }

    /// Whether a cast to a type leaves a value of this kind as it is, or leaves
    /// it without a text.
    fn survives(self, data_type: &DataType) -> bool {
        match data_type {
            // On the way from a parameter to another type.
            DataType::Text => self != Kind::Padded,
            DataType::Varchar(length)
            | DataType::CharacterVarying(length)
            | DataType::CharVarying(length) => {
                matches!(self, Kind::Text | Kind::Varying | Kind::Label)
                    && !matches!(length, Some(CharacterLength::IntegerLength { .. }))
            }
            DataType::SmallInt(None)
            | DataType::Int(None)
            | DataType::Integer(None)
            | DataType::BigInt(None)
            | DataType::Int2(None)
            | DataType::Int4(None)
            | DataType::Int8(None)
            | DataType::Numeric(ExactNumberInfo::None)
            | DataType::Decimal(ExactNumberInfo::None) => self == Kind::Number,
            DataType::Uuid => self == Kind::Uuid,
            DataType::Bool | DataType::Boolean => self == Kind::Bool,
            DataType::Date => self == Kind::Date,
            DataType::Custom(..) => self == Kind::Label,
            _ => false,
        }
    }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(36);
    for (at, digit) in digits.char_indices() {
        if matches!(at, 8 | 12 | 16 | 20) {
            grouped.push('-');
        }
        grouped.push(digit);
    }
    grouped
}

/// The parameters that a text was bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a>(pub(super) &'a [Option<String>]);

impl Parameters<'_> {
    /// What `$1` stands for; the inner `None` is NULL.
    fn bound(&self, name: &str) -> Option<&Option<String>> {
        let number: usize = name.strip_prefix('$')?.parse().ok()?;
        self.0.get(number.checked_sub(1)?)
    }

    /// The one text of a constant, as a value of a kind.
    pub(super) fn constant(&self, expression: &Expr, kind: Kind) -> Option<String> {
        match expression {
            Expr::Nested(inner) => self.constant(inner, kind),
            Expr::Cast {
                expr, data_type, ..
            } if kind.survives(data_type) => self.constant(expr, kind),
            Expr::TypedString(TypedString {
                data_type, value, ..
            }) if kind.survives(data_type) => self.value(&value.value, kind),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } if kind == Kind::Number => match &**expr {
                Expr::Value(value) => match &value.value {
                    Value::Number(number, _) => kind.text(&format!("-{number}")),
                    _ => None,
                },
                _ => None,
            },
            Expr::Value(value) => self.value(&value.value, kind),
            _ => None,
        }
    }

    fn value(&self, value: &Value, kind: Kind) -> Option<String> {
        match value {
            Value::Number(number, _) => match kind {
                Kind::Number => kind.text(number),
                // Stored as the number is written out, not as it stands here.
                Kind::Text | Kind::Varying => {
                    Some(number.parse::<i128>().ok()?.to_string()).filter(|text| text == number)
                }
                _ => None,
            },
            Value::Boolean(value) if kind == Kind::Bool => Some(value.to_string()),
            Value::Placeholder(name) => kind.text(self.bound(name)?.as_deref()?),
            _ => kind.text(string(value)?),
        }
    }

    /// The texts of an array's elements: `ARRAY[1, 2]`, or a parameter `{1,2}`.
    pub(super) fn elements(&self, expression: &Expr, kind: Kind) -> Option<BTreeSet<String>> {
        match expression {
            Expr::Nested(inner) => self.elements(inner, kind),
            Expr::Cast {
                expr,
                data_type: DataType::Array(inner),
                ..
            } => {
                let ArrayElemTypeDef::SquareBracket(element, _) = inner else {
                    return None;
                };
                kind.survives(element)
                    .then(|| self.elements(expr, kind))
                    .flatten()
            }
            Expr::Array(array) => array
                .elem
                .iter()
                .map(|element| self.constant(element, kind))
                .collect(),
            Expr::Value(value) => {
                let text = match &value.value {
                    Value::Placeholder(name) => self.bound(name)?.as_deref()?,
                    other => string(other)?,
                };
                let inner = text.strip_prefix('{')?.strip_suffix('}')?;
                // Quotes and NULLs are left to those who need them.
                let plain = |element: &str| {
                    !element.is_empty()
                        && !element.eq_ignore_ascii_case("null")
                        && element
                            .chars()
                            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
                };
                inner
                    .split(',')
                    .map(|element| kind.text(element).filter(|_| plain(element)))
                    .collect()
            }
            _ => None,
        }
    }

    /// Whether an expression is NULL, written or bound.
    pub(super) fn is_null(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => self.is_null(inner),
            Expr::Value(value) => match &value.value {
                Value::Null => true,
                Value::Placeholder(name) => matches!(self.bound(name), Some(None)),
                _ => false,
            },
            _ => false,
        }
    }

    /// A constant text, put together from parts, for locks that are named so.
    #[recursive::recursive]
    pub(super) fn spelled(&self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Nested(inner) => self.spelled(inner),
            Expr::Cast {
                expr,
                data_type: DataType::Text | DataType::Varchar(None),
                ..
            } => self.spelled(expr),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::StringConcat,
                right,
            } => Some(self.spelled(left)? + &self.spelled(right)?),
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => self.bound(name)?.clone(),
                other => string(other).map(str::to_owned),
            },
            _ => None,
        }
    }
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text) => Some(text),
        Value::DollarQuotedString(quoted) => Some(&quoted.value),
        _ => None,
    }
}

/// Puts together what holds with what holds as well.
pub(super) fn narrow<K: Ord>(
    known: &mut BTreeMap<K, BTreeSet<String>>,
    key: K,
    values: &BTreeSet<String>,
) {
    let old = known.entry(key).or_insert_with(|| values.clone());
    let both: BTreeSet<String> = old.intersection(values).cloned().collect();
    // No value at all: the statement touches nothing, and either set is true.
    if !both.is_empty() {
        *old = both;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sql::parse;

    fn constant(sql: &str, kind: &str, parameters: &[&str]) -> Option<String> {
        let bound: Vec<_> = parameters
            .iter()
            .map(|text| Some((*text).to_owned()))
            .collect();
        Parameters(&bound).constant(&parse::expression(sql).unwrap(), Kind::of(kind))
    }

    #[test]
    fn one_value_has_one_text_however_it_is_written() {
        let same = |kind: &str, text: &str, written: &[&str]| {
            for sql in written {
                assert_eq!(
                    constant(sql, kind, &[text]).as_deref(),
                    Some(text),
                    "{kind} {sql}"
                );
            }
        };
        same(
            "integer",
            "7",
            &[
                "7",
                "'7'",
                "$1",
                "$1::int",
                "(007)",
                "CAST($1 AS bigint)",
                "' +7'",
                "$1::text::int",
            ],
        );
        same("bigint", "-7", &["-7", "'-7'", "$1", "(-7)::int8"]);
        same("numeric(10,2)", "7", &["7", "$1"]);
        same(
            "text",
            "Ab ",
            &["'Ab '", "$1", "E'\\x41b '", "$1::text", "'Ab '::varchar"],
        );
        same(
            "character varying(9)",
            "7",
            &["'7'", "7", "$1::character varying"],
        );
        same("character(5)", "ab", &["'ab  '", "$1"]);
        same("boolean", "true", &["true", "'t'", "$1", "'yes'::boolean"]);
        same(
            "date",
            "2024-02-01",
            &["'2024-02-01'", "$1::date", "DATE '2024-02-01'"],
        );
        same(
            "enum",
            "OPEN",
            &[
                "'OPEN'",
                "$1::\"Status\"",
                "CAST($1::text AS public.status)",
            ],
        );
        same(
            "uuid",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            &[
                "$1",
                "'6F9619FF8B86D011B42D00C04FC964FF'",
                "'{6f9619ff-8b86-d011-b42d-00c04fc964ff}'::uuid",
            ],
        );
    }

    #[test]
    fn what_may_be_equal_and_look_different_has_no_text() {
        for (sql, kind) in [
            ("1.5", "integer"),
            ("'{a}'", "character varying(9)[]"),
            ("'{7}'", "numeric(10,2)[]"),
            ("'7.0'", "numeric"),
            ("7", "numeric(3,-2)"),
            ("7", "double precision"),
            ("'a'::citext", "text"),
            ("'abc'::varchar(2)", "text"),
            ("'a '::char(3)", "text"),
            ("'a '", "character varying(9)"),
            ("007", "character varying(9)"),
            ("'2024-02-01 10:00'", "date"),
            ("'2024-02-01'", "timestamp with time zone"),
            ("now()", "date"),
            ("lower('a')", "text"),
            ("$2", "text"),
            ("NULL", "text"),
            ("other_column", "text"),
        ] {
            assert_eq!(constant(sql, kind, &["x"]), None, "{kind} {sql}");
        }
    }
}
