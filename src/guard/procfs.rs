//! What the system knows of a process: whether it lives, and when it started.
//!
//! A zombie counts as dead: where nobody reaps orphans, as in many containers, it stays for good.
//! Linux tells both in `/proc`; elsewhere only whether a number is in use is known.

use nix::errno::Errno;
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;

/// The part of `/proc/<pid>/stat` that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    group: i32,
    started: u64,
}

/// The process id as the system's calls want it. None for numbers that no process of ours has:
/// to signal the groups 0 and 1 means to signal oneself and everybody.
pub(crate) fn id(pid: u32) -> Option<Pid> {
    i32::try_from(pid)
        .ok()
        .filter(|&pid| pid > 1)
        .map(Pid::from_raw)
}

/// When the process started, in clock ticks since boot. None if there is no such process or the
/// system does not say.
pub(crate) fn started(pid: u32) -> Option<u64> {
    Some(stat(&pid.to_string())?.started)
}

/// Whether the process is there and not merely waiting to be reaped.
pub(crate) fn lives(pid: Pid) -> bool {
    kill(pid, None) != Err(Errno::ESRCH)
        && stat(&pid.to_string()).is_none_or(|stat| !stat.is_dead())
}

/// Whether a process of the group is there and not merely waiting to be reaped.
pub(crate) fn group_lives(group: Pid) -> bool {
    if killpg(group, None) == Err(Errno::ESRCH) {
        return false;
    }
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return true;
    };
    let mut stats = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| stat(&pid))
        .peekable();
    // Without a readable /proc the signal's answer is all there is.
    stats.peek().is_none() || stats.any(|stat| stat.group == group.as_raw() && !stat.is_dead())
}

fn stat(pid: &str) -> Option<Stat> {
    Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

impl Stat {
    /// Reads `pid (name) state ppid pgrp … starttime …`. The name may hold spaces and brackets,
    /// so the fields are counted from its last bracket.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self {
            state,
            group,
            started,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) S (b) R 1 42 6 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                state: 'R',
                group: 42,
                started: 12345
            })
        );
        assert_eq!(Stat::parse("7 (cut) R 1"), None);
    }

    #[test]
    fn groups_that_would_mean_everybody_are_no_ids() {
        assert_eq!(id(0), None);
        assert_eq!(id(1), None);
        assert_eq!(id(u32::MAX), None);
        assert_eq!(id(2), Some(Pid::from_raw(2)));
    }

    #[test]
    fn this_process_lives() {
        assert!(lives(Pid::this()));
        assert!(group_lives(nix::unistd::getpgrp()));
        assert_eq!(
            started(std::process::id()).is_some(),
            cfg!(target_os = "linux")
        );
    }
}
