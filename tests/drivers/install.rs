//! Installs the drivers of other languages, once, in the folder that cargo keeps for
//! tests. What is installed is what the lock files name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers");

/// What runs the programs, and where they are.
#[derive(Debug, Default)]
pub struct Installed {
    pub interpreter: PathBuf,
    pub folder: PathBuf,
}

/// Python with the packages of `requirements.txt`.
pub fn python() -> Installed {
    let folder = install("drivers-python", &["requirements.txt"], |folder| {
        let pip = folder.join("bin/pip");
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(pip)
            .args(["install", "--quiet", "--no-deps", "--requirement"])
            .arg(folder.join("requirements.txt")));
    });
    Installed {
        interpreter: folder.join("bin/python"),
        folder,
    }
}

/// Node, and the programs beside the packages of `package-lock.json`: a program finds
/// only packages that are near it.
pub fn node() -> Installed {
    let locks = ["package.json", "package-lock.json"];
    let folder = install("drivers-node", &locks, |folder| {
        let quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
        let mut npm = Command::new("npm");
        run(npm
            .args(["ci", "--ignore-scripts"])
            .args(quiet)
            .current_dir(folder));
    });
    Installed {
        interpreter: "node".into(),
        folder,
    }
}

/// A folder with all files of this one, in which something was installed with these
/// very locks. Tests that want it at the same time wait for each other.
fn install(name: &str, locks: &[&str], install: impl FnOnce(&Path)) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).unwrap();
    let folder = all.join(name);
    let one_at_a_time = File::create(all.join(format!("{name}.lock"))).unwrap();
    one_at_a_time.lock().unwrap();
    let read = |lock: &&str| fs::read(Path::new(HERE).join(lock)).unwrap();
    let stamp: Vec<u8> = locks.iter().flat_map(read).collect();
    let stamped = folder.join("installed");
    let is_done = fs::read(&stamped).is_ok_and(|installed| installed == stamp);
    if !is_done {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
    }
    let files = fs::read_dir(HERE).unwrap().flatten();
    for file in files.filter(|file| file.path().is_file()) {
        let text = fs::read(file.path()).unwrap();
        let copy = folder.join(file.file_name());
        // Another test may be running it.
        if fs::read(&copy).ok().as_ref() != Some(&text) {
            fs::write(copy, text).unwrap();
        }
    }
    if !is_done {
        install(&folder);
        fs::write(stamped, stamp).unwrap();
    }
    folder
}

fn run(command: &mut Command) {
    let status = command.status();
    let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(done, "{command:?}: {status:?}");
}
