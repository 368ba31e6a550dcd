//! The mistakes that `NOISY_BUGS` switches on. None of them waits to widen its window.

use std::str::FromStr;

/// The mistakes that are switched on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    /// Likes are read, and one more is written back.
    pub lost_update: bool,
}

/// A name in `NOISY_BUGS` that is no bug's.
#[derive(Debug, thiserror::Error)]
#[error("NOISY_BUGS names `{name}`, which is no bug; known are lost_update")]
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
                "lost_update" => bugs.lost_update = true,
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
    fn an_unknown_name_is_told_the_known() {
        assert!(" lost_update,".parse::<Bugs>().unwrap().lost_update);
        assert!(!"".parse::<Bugs>().unwrap().lost_update);
        let unknown = "lost".parse::<Bugs>().unwrap_err().to_string();
        assert!(unknown.contains("`lost`") && unknown.contains("lost_update"));
    }
}
