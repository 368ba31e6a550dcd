//! What is kept by status: `404` before `4XX` before `default`.

use std::collections::BTreeMap;

/// Things by status.
#[derive(Debug)]
pub(super) struct ByStatus<T> {
    exact: BTreeMap<u16, T>,
    /// By the first digit.
    classes: BTreeMap<u16, T>,
    default: Option<T>,
}

impl<T> Default for ByStatus<T> {
    fn default() -> Self {
        ByStatus {
            exact: BTreeMap::new(),
            classes: BTreeMap::new(),
            default: None,
        }
    }
}

/// What a key such as `404`, `4XX` or `default` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Exact(u16),
    Class(u16),
    Default,
}

impl Key {
    /// What to write instead of a key that is none.
    pub(super) const HELP: &str =
        "write a status such as `200`, a class such as `4XX`, or `default`";

    pub(super) fn of(text: &str) -> Option<Key> {
        if text == "default" {
            return Some(Key::Default);
        }
        let digit = text
            .bytes()
            .next()
            .filter(|digit| (b'1'..=b'5').contains(digit))?;
        match text.get(1..)? {
            "XX" | "xx" => Some(Key::Class(u16::from(digit - b'0'))),
            rest if rest.len() == 2 && rest.bytes().all(|c| c.is_ascii_digit()) => {
                text.parse().ok().map(Key::Exact)
            }
            _ => None,
        }
    }
}

impl<T> ByStatus<T> {
    pub(super) fn insert(&mut self, key: Key, thing: T) {
        match key {
            Key::Exact(status) => drop(self.exact.insert(status, thing)),
            Key::Class(class) => drop(self.classes.insert(class, thing)),
            Key::Default => self.default = Some(thing),
        }
    }

    /// What is said of a status, the most particular.
    pub(super) fn of(&self, status: u16) -> Option<&T> {
        let exact = self.exact.get(&status);
        let class = || self.classes.get(&(status / 100));
        exact.or_else(class).or(self.default.as_ref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.classes.is_empty() && self.default.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_speaks() {
        let mut by = ByStatus::default();
        for key in ["default", "4XX", "404"] {
            by.insert(Key::of(key).unwrap(), key);
        }
        let of = |status| by.of(status).copied();
        assert_eq!(of(404), Some("404"));
        assert_eq!(of(409), Some("4XX"));
        assert_eq!(of(500), Some("default"));
        let mut two = ByStatus::default();
        two.insert(Key::Class(2), ());
        assert!(two.of(201).is_some() && two.of(301).is_none());
    }

    #[test]
    fn what_is_no_status_is_told() {
        for wrong in [
            "2000", "20", "600", "099", "2XY", "XX2", "", "Default", "٢٠٠",
        ] {
            assert_eq!(Key::of(wrong), None, "{wrong}");
        }
    }
}
