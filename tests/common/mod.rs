//! A tiny vocabulary for stories about the whole program: a folder of its own to
//! run in, the command, and what is left behind.

#![allow(dead_code)] // Each story uses a part of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder to run deadheat in, with a temporary folder of its own: what is left
/// there, or runs with it, was left behind.
pub struct Place {
    folder: TempDir,
    temporary: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let temporary = tempfile::Builder::new().prefix("dh-").tempdir().unwrap();
        // A database server that root starts runs as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(temporary.path(), open).unwrap();
        Place {
            folder: tempfile::tempdir().unwrap(),
            temporary,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a target file.
    pub fn target(&self, text: &str) -> &Place {
        self.file("deadheat.toml", text)
    }

    pub fn file(&self, name: &str, text: &str) -> &Place {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deadheat"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("TMPDIR", self.temporary.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs deadheat to its end, and sees that it leaves nothing behind.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let ended = Ended::of(&self.command(arguments).output().unwrap());
        self.nothing_is_left();
        ended
    }

    /// Asserts that no process and no folder outlives deadheat.
    pub fn nothing_is_left(&self) {
        let clean = || self.processes().is_empty() && self.folders().is_empty();
        let gone = eventually(Duration::from_secs(8), clean);
        assert!(gone, "left: {:?} {:?}", self.processes(), self.folders());
    }

    pub fn folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.temporary.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Processes that run with this temporary folder, but for the dead ones.
    pub fn processes(&self) -> Vec<String> {
        self.all_processes()
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }

    /// The id of the process of this place with such a command line.
    pub fn process(&self, is: impl Fn(&str) -> bool) -> i32 {
        let all = self.all_processes();
        let found = all.iter().find(|(_, line)| is(line));
        found.unwrap_or_else(|| panic!("not among {all:?}")).0
    }

    fn all_processes(&self) -> Vec<(i32, String)> {
        let mark = format!("TMPDIR={}", self.temporary.path().display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            if environment.split('\0').any(|variable| variable == mark) {
                let id = entry.file_name().into_string().unwrap();
                let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                found.push((id.parse().unwrap(), line));
            }
        }
        found
    }
}

/// How a run ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: &Output) -> Ended {
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, and that standard error says all of these.
    pub fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in says {
            assert!(self.err.contains(text), "no {text:?} in {self:#?}");
        }
    }
}

/// Looks until it is so, or until the time is over.
pub fn eventually(limit: Duration, so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    so()
}

/// Waits for a child's end; `None` if it takes longer.
pub fn ends_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// The bundled shop's target folder; see [`bundled`].
pub fn shop() -> (Place, String) {
    bundled("shop")
}

/// The folder of a bundled target, with a file that starts the service as the tests
/// built it.
pub fn bundled(name: &str) -> (Place, String) {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("targets").join(name);
    let built = Path::new(env!("CARGO_BIN_EXE_deadheat"));
    let program = built.with_file_name(name);
    if !program.exists() {
        // `cargo test -p deadheat` builds no other package.
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--locked", "-p", name])
            .current_dir(root);
        assert!(cargo.status().unwrap().success());
    }
    for folder in ["", "migrations/"] {
        // Most have no migrations.
        let entries = std::fs::read_dir(source.join(folder)).into_iter().flatten();
        for entry in entries.flatten() {
            let wanted = |kind: &std::ffi::OsStr| kind == "sql" || kind == "yaml";
            if entry.path().extension().is_some_and(wanted) {
                let file = entry.file_name();
                let text = std::fs::read_to_string(entry.path()).unwrap();
                let file = format!("{name}/{folder}{}", file.to_str().unwrap());
                place.file(&file, &text);
            }
        }
    }
    let text = std::fs::read_to_string(source.join("deadheat.toml")).unwrap();
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some(("build", _)) => String::new(),
        Some(("start", _)) => format!("start = \"exec {}\"", program.display()),
        _ => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    place.file(&format!("{name}/deadheat.toml"), &lines.join("\n"));
    let folder = place.path().join(name).display().to_string();
    (place, folder)
}
