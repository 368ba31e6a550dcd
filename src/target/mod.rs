//! The target: the service under test as its file describes it.
//!
//! [`Target::load`] reads the file, checks all that can be checked without
//! running anything, and answers with spans. Knows `model` alone: nothing here
//! starts a process, opens a database or sends a request.

mod allowance;
mod check;
mod concerns;
pub mod error;
mod extract;
pub mod file;
mod migration;
mod operation;
pub mod request;
pub mod schema;
pub mod template;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::model::allowance::Allowance;
use crate::model::engine::Engine;
use crate::model::scenario::Scenario;
pub use crate::target::concerns::{NextPage, Pages, RowPlace, key_text};
use crate::target::error::{Invalid, Problem, TargetError, from_toml};
use crate::target::file::{NextSection, PrepareStep, TargetFile};
pub use crate::target::migration::Migration;
pub use crate::target::operation::Operation;
pub(crate) use crate::target::operation::request_line;
use crate::target::template::Templates;

/// The name of the target file in a target's folder.
pub const FILE_NAME: &str = "deadheat.toml";

/// A target that has been read and checked.
#[derive(Debug)]
pub struct Target {
    /// The target's name.
    pub name: String,
    /// The folder that commands run in and files are relative to.
    pub folder: PathBuf,
    /// The target file.
    pub path: PathBuf,
    /// Its text, for errors that are found later.
    pub text: String,
    /// What it says.
    pub file: TargetFile,
    /// The operations, ready for use.
    pub operations: IndexMap<String, Operation>,
    /// What may depart from every one-at-a-time order of calls.
    pub allowances: Vec<Allowance>,
    /// The migrations that it names.
    pub migrations: IndexMap<String, Migration>,
    /// The engines it can run on, in order of preference.
    pub engines: Vec<Engine>,
    /// Renders its templates.
    pub templates: Templates,
}

impl Target {
    /// Reads and checks the target in a folder, or of a file.
    pub fn load(at: &Path) -> Result<Target, TargetError> {
        let path = if at.is_dir() {
            at.join(FILE_NAME)
        } else {
            at.to_owned()
        };
        let text = std::fs::read_to_string(&path).map_err(|source| TargetError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let folder = folder
            .canonicalize()
            .map_err(|source| TargetError::Unreadable {
                path: path.clone(),
                source,
            })?;
        Target::parse(&path, &folder, text)
    }

    /// Checks the text of a target file.
    pub fn parse(path: &Path, folder: &Path, text: String) -> Result<Target, TargetError> {
        let mut file: TargetFile =
            toml::from_str(&text).map_err(|error| from_toml(path, &text, &error))?;
        let templates = Templates::default();
        let mut problems = Vec::new();
        check::references(&file, &templates, &mut problems);
        concerns::references(&file, &templates, &mut problems);
        let engines = check::engines(&file, &mut problems);
        let allowances = allowance::allowances(&file, &mut problems);
        let migrations = migration::migrations(&file, folder, &mut problems);
        let sections = std::mem::take(&mut file.operations);
        let operations = sections
            .into_iter()
            .filter_map(|(name, section)| match operation::operation(section) {
                Ok(operation) => Some((name, operation)),
                Err(problem) => {
                    problems.push(problem);
                    None
                }
            })
            .collect();
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.span.start);
            return Err(TargetError::Invalid(Box::new(Invalid {
                path: path.to_owned(),
                text,
                problems,
            })));
        }
        let name = file.name.clone().unwrap_or_else(|| {
            let folder = folder.file_name().unwrap_or_default();
            folder.to_string_lossy().into_owned()
        });
        Ok(Target {
            name,
            folder: folder.to_owned(),
            path: path.to_owned(),
            text,
            file,
            allowances,
            migrations,
            operations,
            engines,
            templates,
        })
    }

    /// An error at these bytes of the target file, found while running.
    pub fn problem(&self, problem: Problem) -> TargetError {
        TargetError::Invalid(Box::new(Invalid {
            path: self.path.clone(),
            text: self.text.clone(),
            problems: vec![problem],
        }))
    }

    /// The endpoints that a race calls: methods and paths as the file has them,
    /// without their queries.
    pub fn endpoints(&self, scenario: &Scenario) -> BTreeSet<(&str, &str)> {
        let operations = scenario.operations().into_iter();
        operations
            .filter_map(|name| self.operations.get(name))
            .map(|operation| {
                let path = operation.path.split('?').next().unwrap_or_default();
                (operation.method.as_str(), path)
            })
            .collect()
    }

    /// How many replicas of the service run.
    pub fn replicas(&self) -> usize {
        let service = &self.file.service;
        if service.urls.is_empty() {
            let default = if service.next.is_some() { 2 } else { 1 };
            let replicas = service.replicas.as_ref();
            replicas.map_or(default, |replicas| *replicas.get_ref())
        } else {
            service.urls.len()
        }
    }

    /// The next version of the service, if a replica is of that: every second one is.
    pub fn next(&self, replica: usize) -> Option<&NextSection> {
        let next = self.file.service.next.as_ref();
        next.filter(|_| replica % 2 == 1)
    }

    /// The command that starts a replica; `None` where the service runs already.
    pub fn start(&self, replica: usize) -> Option<&str> {
        let own = self.next(replica).and_then(|next| next.start.as_ref());
        let start = own.or(self.file.service.start.as_ref());
        start.map(|start| start.get_ref().as_str())
    }

    /// The files and commands that prepare the database, with their templates
    /// rendered, each with its place in the file. The context holds `database`.
    pub fn prepare(&self, context: &Value) -> Result<Vec<(PrepareStep, Problem)>, TargetError> {
        let render = |text: &str, at: &std::ops::Range<usize>| {
            self.templates
                .text(text, context)
                .map_err(|error| self.problem(Problem::new(at.clone(), error.to_string())))
        };
        self.file
            .database
            .prepare
            .iter()
            .map(|step| {
                let span = step.span();
                let rendered = match step.get_ref() {
                    PrepareStep::File(file) => PrepareStep::File(render(file, &span)?),
                    PrepareStep::Command { command } => PrepareStep::Command {
                        command: render(command, &span)?,
                    },
                };
                Ok((rendered, Problem::new(span, "this step failed")))
            })
            .collect()
    }

    /// A replica's environment. What its version says comes over what all have.
    pub fn service_env(
        &self,
        replica: usize,
        context: &Value,
        overrides: &[(String, String)],
    ) -> Result<Vec<(String, String)>, TargetError> {
        let mut env = IndexMap::new();
        let of_version = self.next(replica).into_iter().flat_map(|next| &next.env);
        for (name, template) in self.file.service.env.iter().chain(of_version) {
            let value = self
                .templates
                .text(template.get_ref(), context)
                .map_err(|error| self.problem(Problem::new(template.span(), error.to_string())))?;
            env.insert(name.clone(), value);
        }
        for (name, value) in overrides {
            env.insert(name.clone(), value.clone());
        }
        Ok(env.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scenario::Role;
    use crate::shrink::testing::scenario;

    #[test]
    fn operations_of_one_endpoint_are_one() {
        let text = "[service]\nstart = 'x'\n[database]\nengines = ['sqlite']\n\
            [operations.one]\nrequest = 'POST /orders'\n[operations.two]\nrequest = 'POST /orders?n=2'\n\
            [operations.page]\nrequest = 'GET /orders'\n";
        let target = Target::parse(Path::new("x"), Path::new("/"), text.to_owned()).unwrap();
        let endpoints = |names: &[&str]| {
            let calls: Vec<(&str, Role)> =
                names.iter().map(|name| (*name, Role::Original)).collect();
            let scenario = scenario(&calls);
            let endpoints = target.endpoints(&scenario).into_iter();
            endpoints
                .map(|(method, path)| format!("{method} {path}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(endpoints(&["one", "two"]), ["POST /orders"]);
        assert_eq!(endpoints(&["two", "page"]), ["GET /orders", "POST /orders"]);
    }

    const TWO: &str = "[service]\nstart = 'one'\nenv = { A = '1', B = '1' }\n\
        [service.next]\nstart = 'two'\nenv = { B = '2', PORT_OF = '{{ port }}' }\n\
        [database]\nengines = ['sqlite']\n[operations.one]\nrequest = 'GET /'\n";

    fn parsed(text: &str) -> Result<Target, TargetError> {
        Target::parse(Path::new("x"), Path::new("/"), text.to_owned())
    }

    #[test]
    fn every_second_replica_is_of_the_next_version() {
        let target = parsed(TWO).unwrap();
        assert_eq!(target.replicas(), 2);
        let starts = [0, 1, 2].map(|replica| target.start(replica).unwrap());
        assert_eq!(starts, ["one", "two", "one"]);
        let context = serde_json::json!({"port": 7});
        let env = |replica, overrides: &[(String, String)]| {
            let env = target.service_env(replica, &context, overrides).unwrap();
            let env = env.iter().map(|(name, value)| format!("{name}={value}"));
            env.collect::<Vec<_>>()
        };
        assert_eq!(env(0, &[]), ["A=1", "B=1"]);
        assert_eq!(env(1, &[]), ["A=1", "B=2", "PORT_OF=7"]);
        let given = [("B".to_owned(), "3".to_owned())];
        assert_eq!(env(1, &given)[1], "B=3");
        let inherits = TWO.replace("start = 'two'\n", "");
        assert_eq!(parsed(&inherits).unwrap().start(1), Some("one"));
    }

    #[test]
    fn two_versions_need_two_replicas_of_deadheats_own() {
        let refused = |from: &str, to: &str, says: &str| {
            let error = parsed(&TWO.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        let one = "start = 'one'\n";
        refused(one, "start = 'one'\nreplicas = 1\n", "write replicas = 2");
        refused(one, "start = 'one'\nport = 80\n", "cannot share one port");
        refused(one, "urls = ['http://h']\n", "that deadheat starts");
        refused("{{ port }}", "{{ prt }}", "`prt`");
    }
}
