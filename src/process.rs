//! A shell command as a process group of its own, with the last lines that it
//! printed. Knows nothing of what the command is for.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::guard::{self, Guard, Kill, Tracked};

/// How many lines of its output are kept: enough for a panic with its trace.
const LAST_LINES: usize = 40;

/// How long a process that was asked to end may take before it is killed. Short,
/// for its work is thrown away, and Ctrl-C has to be over within a second.
const END_WITHIN: Duration = Duration::from_millis(300);

/// How long the output of a process that has ended is waited for: a child of
/// its own may hold the pipe open.
const DRAIN_WITHIN: Duration = Duration::from_millis(200);

/// What `cargo run` tells deadheat of itself. A command that builds the service with
/// cargo takes it for a change in its own environment, and builds much anew.
const OF_CARGO: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("`{command}` cannot be started: {source}")]
    Spawn {
        /// The command.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed with {status}{}", said(output))]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
}

/// The last lines of a process as part of a message.
pub fn said(output: &str) -> String {
    if output.is_empty() {
        "; it printed nothing".to_owned()
    } else {
        let indented: Vec<String> = output.lines().map(|line| format!("  | {line}")).collect();
        format!("; the last that it printed:\n{}", indented.join("\n"))
    }
}

/// A running command. Dropping it kills the whole group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The number of the process and of its group.
    pid: u32,
    output: LastLines,
    readers: Vec<JoinHandle<()>>,
    _tracked: Tracked,
}

impl Process {
    /// Starts a shell command.
    pub fn spawn(
        command: &str,
        folder: &Path,
        env: &[(String, String)],
        guard: &Guard,
    ) -> Result<Process, ProcessError> {
        let failed = |source| ProcessError::Spawn {
            command: command.to_owned(),
            source,
        };
        let of_cargo = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            OF_CARGO
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
        });
        let mut shell = Command::new("/bin/sh");
        for name in of_cargo {
            shell.env_remove(name);
        }
        let mut child = shell
            .args(["-c", command])
            .current_dir(folder)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let tracked = guard.process(pid, Kill::Group);
        let output = LastLines::default();
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|pipe| output.follow(pipe)));
        readers.extend(child.stderr.take().map(|pipe| output.follow(pipe)));
        Ok(Process {
            child,
            pid,
            output,
            readers,
            _tracked: tracked,
        })
    }

    /// Runs a shell command to its end.
    pub async fn run(
        command: &str,
        folder: &Path,
        env: &[(String, String)],
        guard: &Guard,
    ) -> Result<(), ProcessError> {
        let mut process = Process::spawn(command, folder, env, guard)?;
        let status = process
            .child
            .wait()
            .await
            .map_err(|source| ProcessError::Spawn {
                command: command.to_owned(),
                source,
            })?;
        if status.success() {
            return Ok(());
        }
        Err(ProcessError::Failed {
            command: command.to_owned(),
            status,
            output: process.last_words().await,
        })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, for so long.
    pub async fn ends_within(&mut self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.child.wait()).await;
    }

    /// The last lines that it has printed so far.
    pub fn last_lines(&self) -> String {
        self.output.text()
    }

    /// The last lines of one that has ended.
    pub async fn last_words(&mut self) -> String {
        for reader in &mut self.readers {
            let _ = tokio::time::timeout(DRAIN_WITHIN, reader).await;
        }
        self.readers.clear();
        self.output.text()
    }

    /// Asks the group to end, and kills what does not.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        self.ends_within(END_WITHIN).await;
        // Dropping it kills the rest of the group.
    }

    /// Kills the group, and waits for the end of its first process.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ends_within(END_WITHIN).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = guard::procfs::id(self.pid) {
            // The one failure there is means that all of it has ended.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        for reader in &self.readers {
            reader.abort();
        }
    }
}

/// The last lines of a stream, or of several.
#[derive(Clone, Debug, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.lines().iter().cloned().collect();
        lines.join("\n")
    }

    fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let kept = self.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                let mut lines = kept.lines();
                if lines.len() == LAST_LINES {
                    lines.pop_front();
                }
                lines.push_back(text);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &str) -> Result<(), ProcessError> {
        Process::run(command, Path::new("/"), &[], &Guard::disabled()).await
    }

    #[tokio::test]
    async fn a_failing_command_shows_its_last_words() {
        assert!(run("true").await.is_ok());
        let error = run("seq 100; echo oh no >&2; exit 3").await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("  | oh no"),
            "{text}"
        );
        assert!(
            text.contains("  | 100") && !text.contains("  | 50\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn what_cargo_tells_of_deadheat_is_not_passed_on() {
        assert!(
            std::env::var("CARGO_PKG_NAME").is_ok(),
            "cargo runs this test"
        );
        run("test -z \"$CARGO_PKG_NAME$CARGO_MANIFEST_DIR\"")
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn dropping_it_kills_the_whole_group() {
        let command = "sleep 600 & sleep 600";
        let process = Process::spawn(command, Path::new("/"), &[], &Guard::disabled()).unwrap();
        let group = guard::procfs::id(process.pid).unwrap();
        assert!(guard::procfs::group_lives(group));
        drop(process);
        let gone = guard::wait_until(Duration::from_secs(5), || {
            !guard::procfs::group_lives(group)
        });
        assert!(gone, "the kernel ends what was killed");
    }
}
