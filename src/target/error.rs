//! What is wrong in a target file, drawn under the very characters.

use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is no target file where one was expected.
    #[error(
        "cannot read the target file {path}: {source}\n\
         Name a folder that holds a `deadheat.toml`, or the file itself."
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is there and says something that it must not.
    #[error("{}", .0.draw())]
    Invalid(Box<Invalid>),
}

/// A target file with the problems found in it.
#[derive(Debug)]
pub struct Invalid {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What is wrong, at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong in a target file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The characters that are wrong, as bytes of the file.
    pub span: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl TargetError {
    /// What is wrong first, in a line.
    pub fn first(&self) -> String {
        match self {
            TargetError::Unreadable { source, .. } => source.to_string(),
            TargetError::Invalid(invalid) => {
                let first = invalid.problems.first();
                first.map_or_else(String::new, |problem| problem.message.clone())
            }
        }
    }
}

impl Problem {
    /// A problem at these bytes.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Problem {
            span,
            message: message.into(),
            help: None,
        }
    }

    /// At these bytes, if it is at none of its own.
    #[must_use]
    pub fn at_least(mut self, span: Range<usize>) -> Self {
        if self.span.is_empty() {
            self.span = span;
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A name that is none of the known ones, with the nearest of them.
    pub fn unknown(span: Range<usize>, kind: &str, name: &str, known: &[&str]) -> Self {
        let problem = Problem::new(span, format!("there is no {kind} `{name}`"));
        match nearest(name, known) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem.help(format!("the file names no {kind}")),
            None => problem.help(format!("the file names these: {}", known.join(", "))),
        }
    }
}

/// The known name that a misspelt one most likely stands for.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= name.len().max(candidate.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

impl Invalid {
    /// The problems, each with its line, its column and its characters marked.
    pub fn draw(&self) -> String {
        let path = self.path.display().to_string();
        let renderer = if console::colors_enabled_stderr() {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let drawn: Vec<String> = self
            .problems
            .iter()
            .map(|problem| {
                let end = problem.span.end.min(self.text.len());
                let start = problem.span.start.min(end);
                let mut group = Level::ERROR.primary_title(&problem.message).element(
                    Snippet::source(&self.text)
                        .path(&path)
                        .annotation(AnnotationKind::Primary.span(start..end)),
                );
                if let Some(help) = &problem.help {
                    group = group.element(Level::HELP.message(help));
                }
                renderer.render(&[group]).clone()
            })
            .collect();
        drawn.join("\n\n")
    }
}

/// What serde says of an unknown field names the known ones; the nearest of
/// them is the help.
pub fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> TargetError {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().to_owned();
    let mut problem = Problem::new(span.clone(), &message);
    if message.starts_with("unknown field") {
        let mut quoted = message.split('`').skip(1).step_by(2);
        let name = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        if let Some(near) = nearest(name, &known) {
            problem = Problem::new(span, format!("unknown field `{name}`")).help(format!(
                "did you mean `{near}`? Known here: {}",
                known.join(", ")
            ));
        }
    }
    TargetError::Invalid(Box::new(Invalid {
        path: path.to_owned(),
        text: text.to_owned(),
        problems: vec![problem],
    }))
}
