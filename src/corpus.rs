//! Findings on disk: one readable JSON file each, in a folder a target.

use std::path::{Path, PathBuf};

use crate::files;
use crate::model::finding::{FORMAT, Finding};

/// Why a finding cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file or folder cannot be read.
    #[error("cannot read the finding {path}: {source}")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no finding, or only half of one.
    #[error(
        "{path} is no finding that deadheat wrote: {source}\n\
         If it was cut off, take it from version control again; `deadheat run` finds and writes it anew."
    )]
    Malformed {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file is of another version's shape.
    #[error(
        "{path} has format {found}, and this deadheat reads format {FORMAT}: \
         replay it with the version that wrote it ({by})"
    )]
    OtherFormat {
        /// Where.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The version that wrote it.
        by: String,
    },
    /// The finding cannot be written.
    #[error("cannot keep the finding as {path}: {source}")]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The findings of one target.
#[derive(Clone, Debug)]
pub struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    /// The corpus of a target, in a folder of that name beneath `root`.
    pub fn new(root: &Path, target: &str) -> Corpus {
        Corpus {
            folder: root.join(file_name(target)),
        }
    }

    /// The files of the findings kept, by name. None if there is no folder.
    pub fn files(&self) -> Result<Vec<PathBuf>, CorpusError> {
        let unreadable = |source| CorpusError::Unreadable {
            path: self.folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Keeps a finding; one of the same rule, operations, faults and migration is
    /// replaced.
    /// Returns its file.
    pub fn keep(&self, finding: &Finding) -> Result<PathBuf, CorpusError> {
        let operations: Vec<&str> = finding.scenario.operations().into_iter().collect();
        let mut name = format!(
            "{}-{}-{}",
            finding.oracle,
            finding.name,
            operations.join("-")
        );
        for fault in &finding.scenario.faults {
            name = format!("{name}-{}", fault.kind);
        }
        let mut calls = finding.scenario.race.iter();
        let kinds = [
            ("spoiled", calls.clone().any(|call| call.spoil.is_some())),
            ("page-by-page", calls.any(|call| call.walk)),
            ("on-larger-fixtures", finding.scenario.grown),
        ];
        for (kind, _) in kinds.iter().filter(|(_, is_it)| *is_it) {
            name = format!("{name}-{kind}");
        }
        if let Some(migration) = &finding.scenario.migration {
            name = format!("{name}-during-{migration}");
        }
        let path = self
            .folder
            .join(format!("{}-{}.json", file_name(&name), finding.engine));
        let unwritable = |source| CorpusError::Unwritable {
            path: path.clone(),
            source,
        };
        let kept = Finding {
            file: None,
            known: false,
            ..finding.clone()
        };
        files::write_json(&path, &kept).map_err(unwritable)?;
        Ok(path)
    }
}

/// Reads a kept finding.
pub fn read(path: &Path) -> Result<Finding, CorpusError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
        #[serde(default)]
        deadheat: String,
    }
    let text = std::fs::read_to_string(path).map_err(|source| CorpusError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let malformed = |source| CorpusError::Malformed {
        path: path.to_owned(),
        source,
    };
    let head: Head = serde_json::from_str(&text).map_err(malformed)?;
    if head.format != FORMAT {
        let (found, by) = (head.format, head.deadheat);
        return Err(CorpusError::OtherFormat {
            path: path.to_owned(),
            found,
            by,
        });
    }
    let mut finding: Finding = serde_json::from_str(&text).map_err(malformed)?;
    finding.file = Some(path.display().to_string());
    Ok(finding)
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    let dashed: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    // Well below the 255 bytes that file systems allow.
    parts.join("-").chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::engine::Engine;
    use crate::model::finding::Rate;
    use crate::model::history::History;
    use crate::model::scenario::Role;
    use crate::shrink::testing::scenario;

    fn finding() -> Finding {
        Finding {
            format: FORMAT,
            deadheat: "0.0.0".to_owned(),
            target: "My Shop".to_owned(),
            target_folder: "targets/shop".to_owned(),
            engine: Engine::Sqlite,
            env: Vec::new(),
            oracle: "invariant".to_owned(),
            name: "no oversold stock".to_owned(),
            says: "Stock is never sold twice.".to_owned(),
            seed: u64::MAX.to_string(),
            calls: (2, 8),
            scenario: scenario(&[
                ("order", Role::Original),
                ("order", Role::Duplicate { of: 0 }),
            ]),
            schedule: None,
            violations: Vec::new(),
            history: History::default(),
            rate: Rate { hits: 1, tries: 2 },
            diverged: None,
            found_after_rounds: 3,
            found_after_s: 0.5,
            calls_before_shrinking: 5,
            known: false,
            file: None,
        }
    }

    #[test]
    fn what_is_kept_is_what_is_read() {
        let root = tempfile::tempdir().unwrap();
        let corpus = Corpus::new(root.path(), "My Shop");
        assert!(corpus.files().unwrap().is_empty());
        let path = corpus.keep(&finding()).unwrap();
        assert!(
            path.ends_with("my-shop/invariant-no-oversold-stock-order-sqlite.json"),
            "{path:?}"
        );
        assert_eq!(
            corpus.keep(&finding()).unwrap(),
            path,
            "one cause, one file"
        );
        assert_eq!(corpus.files().unwrap(), std::slice::from_ref(&path));
        let read = read(&path).unwrap();
        assert_eq!(Finding { file: None, ..read }, finding());
    }

    #[test]
    fn half_a_file_is_told_from_another_version() {
        let root = tempfile::tempdir().unwrap();
        let path = Corpus::new(root.path(), "t").keep(&finding()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(read(&path), Err(CorpusError::Malformed { .. })));
        std::fs::write(&path, r#"{"format": 99, "deadheat": "9.0.0"}"#).unwrap();
        assert!(matches!(
            read(&path),
            Err(CorpusError::OtherFormat { found: 99, .. })
        ));
    }
}
