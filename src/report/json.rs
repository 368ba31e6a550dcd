//! The whole run as one JSON file, for machines.

use std::path::{Path, PathBuf};

use crate::files;
use crate::model::event::{Event, Listener};

/// Writes the summary when the run ends.
#[derive(Debug)]
pub struct Json {
    path: PathBuf,
    /// Why it could not be written, for whoever asks afterwards.
    failed: Option<std::io::Error>,
}

impl Json {
    /// A report that will be written to `path`. Sees at once that it can be: a
    /// night's run should not end with a file that nobody may write.
    pub fn new(path: &Path) -> Result<Json, std::io::Error> {
        files::try_writing(path)?;
        Ok(Json {
            path: path.to_owned(),
            failed: None,
        })
    }

    /// Whether it was written.
    pub fn written(self) -> Result<(), std::io::Error> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl Listener for Json {
    fn on(&mut self, event: &Event) {
        match event {
            Event::RunEnded(summary) => {
                self.failed = files::write_json(&self.path, summary).err();
            }
            Event::Preparing(_)
            | Event::RunStarted { .. }
            | Event::CorpusTried { .. }
            | Event::RoundDone { .. }
            | Event::Violated { .. }
            | Event::Shrinking { .. }
            | Event::Found(_)
            | Event::Warning(_) => {}
        }
    }
}
