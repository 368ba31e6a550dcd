//! The mistakes that `LONG_BUGS` switches on. None of them waits to widen its window.

use std::str::FromStr;

/// The mistakes that are switched on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    /// The balance is read without a lock. Tests with one customer cannot tell.
    pub no_lock: bool,
    /// Balance and account are handled outside of the transaction, on another
    /// connection: what happens where it has to be handed on to each query, and one
    /// query was forgotten. The lock is there, and ends with the statement.
    pub forgotten_transaction: bool,
}

/// A name in `LONG_BUGS` that is no bug's.
#[derive(Debug, thiserror::Error)]
#[error("LONG_BUGS names `{name}`, which is no bug; known are no_lock, forgotten_transaction")]
pub struct UnknownBug {
    name: String,
}

impl FromStr for Bugs {
    type Err = UnknownBug;

    /// Reads names between commas; an empty text is none.
    fn from_str(text: &str) -> Result<Bugs, UnknownBug> {
        let mut bugs = Bugs::default();
        let names = text.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            match name {
                "no_lock" => bugs.no_lock = true,
                "forgotten_transaction" => bugs.forgotten_transaction = true,
                unknown => {
                    return Err(UnknownBug {
                        name: unknown.to_owned(),
                    });
                }
            }
        }
        Ok(bugs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_commas_and_an_unknown_one_is_told_the_known() {
        let bugs: Bugs = " no_lock, ".parse().unwrap();
        assert!(bugs.no_lock && !bugs.forgotten_transaction);
        let unknown = "nolock".parse::<Bugs>().unwrap_err().to_string();
        assert!(unknown.contains("`nolock`") && unknown.contains("no_lock"));
    }
}
