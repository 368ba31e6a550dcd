//! Sees to it that nothing outlives deadheat: no process it started, no temporary folder it made.
//!
//! While deadheat runs, its own destructors clean up. They do not run when it is killed or runs
//! out of memory, so a second, tiny process holds a list of what must go. The two are joined by a
//! pipe: the kernel closes it however deadheat ends, and on its end the guard process clears the
//! list. Anything written to the pipe is read even if the writer dies right after.
//!
//! It knows neither services nor databases, only process ids and paths.

mod held;
pub(crate) mod procfs;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use held::main_loop;

/// The hidden first argument that makes the deadheat binary a guard: see [`main_loop`].
pub const ARGUMENT: &str = "__guard";

/// How long the last [`Guard`] waits for its process to end, so that it leaves no zombie.
const REAP_WITHIN: Duration = Duration::from_secs(1);

/// How often a condition is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The hold on the guard process. It ends with the last clone and the last [`Tracked`].
///
/// The default is [`Guard::disabled`].
#[derive(Clone, Debug, Default)]
pub struct Guard {
    link: Option<Arc<Link>>,
}

/// How a process is ended if deadheat dies before it could do so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kill {
    /// SIGKILL to every process of the group that the process leads.
    Group,
    /// SIGQUIT to the process alone, and SIGKILL if it is still there a little later: a database
    /// server then takes its own children and shared memory with it.
    ProcessQuit,
}

/// Something on the guard's list. Dropping it takes it off the list.
#[derive(Debug)]
#[must_use = "dropped at once, it is no longer guarded"]
pub struct Tracked {
    entry: Option<(Arc<Link>, u64)>,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The path of the running program is unknown.
    #[error(
        "cannot start the guard process, which cleans up should deadheat be killed: \
         the path of the running program is unknown ({source})\n\
         Run deadheat from a file that still exists, with /proc mounted."
    )]
    NoProgram {
        /// What the system said.
        source: io::Error,
    },
    /// The process does not start.
    #[error(
        "cannot start the guard process, which cleans up should deadheat be killed: \
         running {program:?} failed ({source})\n\
         See that the file may be executed and that the limit on processes (`ulimit -u`) is not reached."
    )]
    Spawn {
        /// The program that was to run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What deadheat tells the guard process: one order a line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Track { id: u64, what: What },
    Untrack { id: u64 },
}

/// Something that must go.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Process {
        pid: u32,
        /// When the process started, which tells it from a later one of the same number.
        /// None where the system does not say.
        started: Option<u64>,
        how: Kill,
    },
    Folder(OsString),
}

impl Guard {
    /// Starts the guard process: this very program with [`ARGUMENT`].
    pub fn start() -> Result<Self, GuardError> {
        let program = std::env::current_exe().map_err(|source| GuardError::NoProgram { source })?;
        Self::start_from(&program)
    }

    /// Starts the guard process from `program`, which must call [`main_loop`] on [`ARGUMENT`]:
    /// for callers that are not deadheat's own binary.
    pub fn start_from(program: &Path) -> Result<Self, GuardError> {
        let failed = |source| GuardError::Spawn {
            program: program.to_owned(),
            source,
        };
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the terminal's foreground group: Ctrl-C is for deadheat, not for its guard.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take();
        let link = Link {
            orders: Mutex::new(orders),
            child: Mutex::new(child),
            next: AtomicU64::new(0),
        };
        Ok(Self {
            link: Some(Arc::new(link)),
        })
    }

    /// A guard that tracks nothing: for unit tests.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// Lists a process that must not outlive deadheat. Call it before the process is waited for:
    /// until then its number cannot belong to another.
    pub fn process(&self, pid: u32, how: Kill) -> Tracked {
        let started = procfs::started(pid);
        if cfg!(target_os = "linux") && started.is_none() {
            return Tracked { entry: None }; // It is gone already.
        }
        self.track(What::Process { pid, started, how })
    }

    /// Lists a folder that is removed, after all processes are dead, if deadheat dies.
    ///
    /// The guard removes only folders beneath the system's temporary one whose name starts with
    /// `deadheat-`; listing another is a mistake in deadheat.
    pub fn folder(&self, path: &Path) -> Tracked {
        debug_assert!(
            held::removable(path),
            "{} is not the guard's to remove",
            path.display()
        );
        self.track(What::Folder(path.into()))
    }

    fn track(&self, what: What) -> Tracked {
        let entry = self.link.as_ref().map(|link| {
            let id = link.next.fetch_add(1, Ordering::Relaxed);
            link.send(&Order::Track { id, what });
            (Arc::clone(link), id)
        });
        Tracked { entry }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some((link, id)) = self.entry.take() {
            link.send(&Order::Untrack { id });
        }
    }
}

/// Deadheat's end of the pipe.
#[derive(Debug)]
struct Link {
    orders: Mutex<Option<ChildStdin>>,
    child: Mutex<Child>,
    next: AtomicU64,
}

impl Link {
    fn send(&self, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else {
            return;
        };
        line.push(b'\n');
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = orders.as_mut() {
            // If someone killed the guard, deadheat's own destructors still clean up: no reason
            // to end a run.
            let _ = pipe.write_all(&line);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let orders = self
            .orders
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        drop(orders.take());
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        wait_until(REAP_WITHIN, || !matches!(child.try_wait(), Ok(None)));
    }
}

/// Blocks until `done` or until `limit` has passed, and tells whether it came to be done.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if done() {
            return true;
        }
        if begun.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
