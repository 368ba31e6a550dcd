//! A private, throw-away PostgreSQL server from the binaries of this machine.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{User, geteuid};

use crate::database::{DatabaseError, Folder};
use crate::guard::{self, Guard, Kill, Tracked};

/// The superuser of the throw-away server.
pub(super) const ADMIN: &str = "deadheat";
/// The owner of the database, whom the service connects as: no superuser, so
/// that row-level security holds for it as in production.
pub(super) const OWNER: &str = "app";
/// The service's database.
pub(super) const DATABASE: &str = "deadheat_target";

/// Where Debian and Ubuntu keep the binaries, a folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How long the server may take to accept connections.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end when asked, before it is killed.
const END_WITHIN: Duration = Duration::from_millis(700);
/// How often a port may turn out to be taken in between.
const PORT_TRIES: u32 = 5;

/// Durability is off: nothing here outlives the run. Rows written again and
/// again for ever are vacuumed often. A deadlock is broken after a fifth of a
/// second rather than a whole one.
const SETTINGS: [&str; 12] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=300",
    "autovacuum_naptime=5s",
    "deadlock_timeout=200ms",
    "jit=off",
    "logging_collector=off",
    "log_checkpoints=off",
    "listen_addresses=127.0.0.1",
];

/// The folder with `postgres` and `initdb`: from PATH, else Debian's newest.
pub(super) fn binaries() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| {
        ["postgres", "initdb"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link in PATH may stand for one program of a folder with all of them.
    let in_path = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("postgres").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned));
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    in_path
        .chain(debian.into_iter().map(|(_, folder)| folder))
        .find(complete)
}

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    port: u16,
    password: String,
    // Dropped in this order: the process is dead when its folder goes.
    _tracked: Tracked,
    folder: Folder,
}

impl Server {
    /// Makes a cluster and starts it. Blocks for about a second.
    pub(super) fn start(guard: &Guard) -> Result<Server, DatabaseError> {
        let binaries = binaries().ok_or(DatabaseError::NoServer)?;
        let folder = Folder::new(guard)?;
        let account = account();
        let password = password();
        let unwritable = |source| DatabaseError::Folder {
            path: folder.path().to_owned(),
            source,
        };
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, &password).map_err(unwritable)?;
        // What is listed in the temporary folder is not for other users' eyes.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700))
            .map_err(unwritable)?;
        if let Some((uid, gid)) = account {
            for path in [folder.path(), &password_file] {
                chown(path, Some(uid), Some(gid)).map_err(unwritable)?;
            }
        }
        let data = folder.path().join("data");
        let mut initdb = command(&binaries.join("initdb"), folder.path(), account);
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", ADMIN, "-E", "UTF8", "--locale=C", "--no-sync"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg("--pwfile")
            .arg(&password_file);
        let made = initdb.output().map_err(|error| DatabaseError::Server {
            what: "initdb".to_owned(),
            why: error.to_string(),
            log: String::new(),
        })?;
        if !made.status.success() {
            return Err(DatabaseError::Server {
                what: "initdb".to_owned(),
                why: made.status.to_string(),
                log: String::from_utf8_lossy(&made.stderr).into_owned(),
            });
        }
        let (child, port, tracked) = launch(&binaries, &folder, account, guard)?;
        Ok(Server {
            child,
            port,
            password,
            _tracked: tracked,
            folder,
        })
    }

    /// The URL of a database of this server.
    pub(super) fn url(&self, user: &str, database: &str) -> String {
        let (password, port) = (&self.password, self.port);
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// What the server has logged.
    pub(super) fn log(&self) -> String {
        log(&self.folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(pid) = guard::procfs::id(self.child.id()) else {
            return;
        };
        // At once, with nothing written that nobody will read; then by force.
        for (signal, within) in [
            (Signal::SIGQUIT, END_WITHIN),
            (Signal::SIGKILL, START_WITHIN),
        ] {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            // The one failure there is means that it has just ended.
            let _ = kill(pid, signal);
            guard::wait_until(within, || !matches!(self.child.try_wait(), Ok(None)));
        }
    }
}

fn launch(
    binaries: &Path,
    folder: &Folder,
    account: Option<(u32, u32)>,
    guard: &Guard,
) -> Result<(Child, u16, Tracked), DatabaseError> {
    let failed = |why: String| DatabaseError::Server {
        what: "the throw-away PostgreSQL server".to_owned(),
        why,
        log: log(folder),
    };
    for _ in 0..PORT_TRIES {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| failed(format!("there is no free port: {error}")))?
            .port();
        let output = File::create(folder.path().join("log"))
            .map_err(|error| failed(format!("it has no log file: {error}")))?;
        let errors = output
            .try_clone()
            .map_err(|error| failed(error.to_string()))?;
        let mut postgres = command(&binaries.join("postgres"), folder.path(), account);
        postgres
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &port.to_string()])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let mut child = postgres
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let tracked = guard.process(child.id(), Kill::ProcessQuit);
        let begun = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                if log(folder).contains("Address already in use") {
                    break;
                }
                return Err(failed(format!("it ended with {status}")));
            }
            // It writes this line last when it is ready.
            if log(folder).contains("ready to accept connections") {
                return Ok((child, port, tracked));
            }
            if begun.elapsed() > START_WITHIN {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("it does not get ready".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Err(failed("every port was taken in between".to_owned()))
}

fn command(program: &Path, folder: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    if let Some((uid, gid)) = account {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom the server runs as where deadheat runs as root: PostgreSQL refuses to.
fn account() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let user = User::from_name(name).ok().flatten()?;
        Some((user.uid.as_raw(), user.gid.as_raw()))
    })
}

fn log(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

fn password() -> String {
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rng(), 24)
}
