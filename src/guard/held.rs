//! The guard process: keeps the list, and clears it when deadheat is gone.
//!
//! It says nothing to anybody: when it acts there is no one left to read it.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

use super::{Kill, Order, What, procfs, wait_until};

/// How long a process that was asked to quit may take.
const QUIT_WITHIN: Duration = Duration::from_secs(3);

/// How long the system may take to end what was killed.
const DEAD_WITHIN: Duration = Duration::from_secs(2);

/// How long a folder is tried to be removed.
const REMOVED_WITHIN: Duration = Duration::from_secs(1);

/// How the name of every temporary folder of deadheat starts.
const FOLDER_PREFIX: &str = "deadheat-";

/// Runs the guard process: takes orders from standard input until its end, then ends every process
/// and removes every folder still on the list.
pub fn main_loop() -> ExitCode {
    // Whoever ends deadheat politely may well ask all its processes; the guard must be the last.
    let polite = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    let _ = polite.into_iter().collect::<SigSet>().thread_block();
    clear(listed(std::io::stdin().lock()));
    ExitCode::SUCCESS
}

/// What is on the list when the orders end. An order that was cut off is none.
fn listed(orders: impl BufRead) -> Vec<What> {
    let mut list = BTreeMap::new();
    for line in orders.split(b'\n').map_while(Result::ok) {
        match serde_json::from_slice(&line) {
            Ok(Order::Track { id, what }) => drop(list.insert(id, what)),
            Ok(Order::Untrack { id }) => drop(list.remove(&id)),
            Err(_) => {}
        }
    }
    list.into_values().collect()
}

fn clear(list: Vec<What>) {
    let (mut victims, mut folders) = (Vec::new(), Vec::new());
    for what in list {
        match what {
            What::Process { pid, started, how } => {
                victims.extend(procfs::id(pid).map(|id| Victim {
                    pid: id,
                    started,
                    how,
                }));
            }
            What::Folder(path) => folders.push(PathBuf::from(path)),
        }
    }
    let none_lives = || !victims.iter().any(Victim::lives);
    for victim in &victims {
        victim.signal(victim.first_signal());
    }
    if !wait_until(QUIT_WITHIN, none_lives) {
        for victim in &victims {
            victim.signal(Signal::SIGKILL);
        }
        wait_until(DEAD_WITHIN, none_lives);
    }
    for folder in folders.iter().filter(|folder| removable(folder)) {
        // More than once: a process just killed may have added a file meanwhile.
        wait_until(REMOVED_WITHIN, || {
            std::fs::remove_dir_all(folder).is_ok() || !folder.exists()
        });
    }
}

/// Whether the guard may remove the folder: it lies beneath the system's temporary folder, however
/// its path is written, and bears deadheat's prefix.
pub(super) fn removable(folder: &Path) -> bool {
    let is_ours = folder.file_name().is_some_and(|name| {
        name.as_encoded_bytes()
            .starts_with(FOLDER_PREFIX.as_bytes())
    });
    let parent = folder
        .parent()
        .and_then(|parent| parent.canonicalize().ok());
    let temporary = std::env::temp_dir().canonicalize().ok();
    is_ours
        && parent
            .zip(temporary)
            .is_some_and(|(parent, temp)| parent.starts_with(temp))
}

struct Victim {
    pid: Pid,
    started: Option<u64>,
    how: Kill,
}

impl Victim {
    fn first_signal(&self) -> Signal {
        match self.how {
            Kill::Group => Signal::SIGKILL,
            Kill::ProcessQuit => Signal::SIGQUIT,
        }
    }

    fn signal(&self, signal: Signal) {
        if self.is_the_same() {
            // The one failure there is means that it has just ended.
            let _: Result<(), Errno> = match self.how {
                Kill::Group => killpg(self.pid, signal),
                Kill::ProcessQuit => kill(self.pid, signal),
            };
        }
    }

    fn lives(&self) -> bool {
        self.is_the_same()
            && match self.how {
                Kill::Group => procfs::group_lives(self.pid),
                Kill::ProcessQuit => procfs::lives(self.pid),
            }
    }

    /// Whether the number still means what was tracked, and not a later process.
    fn is_the_same(&self) -> bool {
        let Some(then) = self.started else {
            return true;
        };
        match (procfs::started(self.pid.as_raw().unsigned_abs()), self.how) {
            (Some(now), _) => now == then,
            // The leader is gone, its group may not be: as long as a group bears the number, the
            // system gives it to no new process.
            (None, Kill::Group) => true,
            (None, Kill::ProcessQuit) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_folders_beneath_the_temporary_one_are_removable() {
        let temp = std::env::temp_dir();
        assert!(removable(&temp.join("deadheat-x")));
        assert!(!removable(&temp.join("other-x")));
        assert!(!removable(&temp));
        assert!(!removable(&temp.join("deadheat-x/..")));
        assert!(!removable(&temp.join("../deadheat-x")));
        assert!(!removable(Path::new("/deadheat-x")));
        assert!(!removable(Path::new("deadheat-x")));
    }

    #[test]
    fn the_list_is_what_was_tracked_and_not_untracked() {
        let orders = r#"
            {"track":{"id":1,"what":{"process":{"pid":5,"started":9,"how":"group"}}}}
            {"track":{"id":2,"what":{"process":{"pid":6,"started":null,"how":"process_quit"}}}}
            {"untrack":{"id":1}}
            {"track":{"id":3,"what":{"proc"#;
        let list = listed(orders.as_bytes());
        assert!(
            matches!(
                list[..],
                [What::Process {
                    pid: 6,
                    started: None,
                    how: Kill::ProcessQuit
                }]
            ),
            "{list:?}"
        );
    }

    #[test]
    fn an_order_survives_the_pipe_whatever_the_path() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::ffi::OsString::from_vec(b"/tmp/deadheat-\n\xff".to_vec());
        let order = Order::Track {
            id: 4,
            what: What::Folder(path.clone()),
        };
        let line = serde_json::to_vec(&order).unwrap();
        assert!(matches!(&listed(&line[..])[..], [What::Folder(read)] if *read == path));
    }
}
