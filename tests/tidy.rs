//! Holds the code to who may know whom: knowledge runs one way (ARCHITECTURE.md).

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

use std::path::{Path, PathBuf};

/// What each part may use of the others. A part that is not listed is new: say
/// here what it may know.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("target", &["model"]),
    ("guard", &[]),
    ("files", &[]),
    ("exit", &[]),
    ("process", &["guard"]),
    ("contract", &["files", "model", "target"]),
    ("generate", &["model", "target"]),
    ("clock", &[]),
    ("hold", &[]),
    ("roots", &[]),
    ("drive", &["clock", "model", "roots"]),
    ("schedule", &["model"]),
    ("oracle", &["model"]),
    ("shrink", &["model"]),
    ("corpus", &["model", "files"]),
    ("report", &["model", "files"]),
    ("stub", &["hold", "model", "target"]),
    ("database", &["model", "guard"]),
    ("wire", &[]),
    ("gate", &["hold", "model", "roots", "wire"]),
    ("service", &["model", "target", "guard", "process"]),
    (
        "failure",
        &[
            "corpus", "database", "drive", "exit", "gate", "guard", "process", "service", "stub",
            "target",
        ],
    ),
    (
        "stage",
        &[
            "clock", "contract", "database", "drive", "failure", "gate", "generate", "guard",
            "model", "oracle", "process", "service", "stub", "target",
        ],
    ),
    (
        "round",
        &[
            "database", "drive", "failure", "gate", "hold", "model", "oracle", "schedule",
            "service", "stage", "stub", "target",
        ],
    ),
    (
        "hunt",
        &[
            "corpus", "failure", "generate", "model", "oracle", "round", "schedule", "shrink",
            "stage", "target",
        ],
    ),
    (
        "cli",
        &[
            "corpus", "exit", "failure", "generate", "guard", "hunt", "model", "report", "stage",
            "target",
        ],
    ),
    ("main", &["cli"]),
];

/// Beyond this a file is asked whether it is two.
const MOST_LINES: usize = 500;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let part = |path: &Path| {
        let inner = path
            .strip_prefix(&root)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let name = inner.as_os_str().to_str().unwrap();
        name.trim_end_matches(".rs").to_owned()
    };
    found
        .into_iter()
        .map(|path| {
            (
                part(&path),
                path.clone(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn knowledge_runs_one_way() {
    let mut wrong = Vec::new();
    for (part, path, text) in all() {
        if part == "lib" {
            continue;
        }
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(name, _)| *name == part) else {
            wrong.push(format!("{}: what may `{part}` know?", path.display()));
            continue;
        };
        // What only tests use is no knowledge of the part's.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs")
            || path.components().any(|inner| inner.as_os_str() == "tests");
        if is_test {
            continue;
        }
        for used in code.split("crate::").skip(1) {
            let name: String = used
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name != part && !may_know.contains(&name.as_str()) {
                wrong.push(format!(
                    "{}: `{part}` may not know `{name}`",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_is_one() {
    for (_, path, text) in all() {
        assert!(
            text.starts_with("//! "),
            "{} does not open with what it is for",
            path.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= MOST_LINES,
            "{}: {lines} lines, is it two?",
            path.display()
        );
    }
}
