//! What a run's outcome means to the shell that started it. Knows no other part.

/// How a command ended, told to the caller as the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did its work and found nothing wrong.
    Clean,
    /// At least one finding stands.
    Findings,
    /// The target file or the arguments are wrong; nothing was run.
    Usage,
    /// The environment failed: the service died, the database is gone, a port is taken.
    Environment,
    /// Nothing was found, but something that was required is not covered.
    NotCovered,
    /// deadheat itself is at fault.
    Internal,
    /// Stopped by Ctrl-C with nothing found so far.
    Interrupted,
}

impl Exit {
    /// The number the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
            Exit::NotCovered => 4,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let all = [
            Exit::Clean,
            Exit::Findings,
            Exit::Usage,
            Exit::Environment,
            Exit::NotCovered,
            Exit::Internal,
            Exit::Interrupted,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 70, 130]);
    }
}
