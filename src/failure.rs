//! Why a command could not do its work, and whose affair that is.

use crate::corpus::CorpusError;
use crate::database::DatabaseError;
use crate::drive::DriveError;
use crate::exit::Exit;
use crate::gate::GateError;
use crate::guard::GuardError;
use crate::process::ProcessError;
use crate::service::ServiceError;
use crate::stub::StubError;
use crate::target::error::TargetError;

/// Why a command could not do its work. A finding is none of these.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The target file is wrong.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The arguments are wrong.
    #[error("{0}")]
    Arguments(String),
    /// A kept finding cannot be used.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The guard process does not start.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// No engine of the target can be served here.
    #[error("no engine that the target names can be served on this machine:\n{0}")]
    NoEngine(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A command that prepares the database failed.
    #[error("the database cannot be prepared: {0}")]
    Prepare(ProcessError),
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service cannot be reached.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A stand-in cannot be put up.
    #[error(transparent)]
    Stub(#[from] StubError),
    /// The gate cannot be put up.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Round after round could not be judged.
    #[error(
        "{rounds} rounds in a row could not be judged, the last because {why}\n\
         Nothing is known of the service before that is mended."
    )]
    NothingJudged {
        /// How many rounds.
        rounds: u64,
        /// Why the last could not.
        why: String,
    },
    /// A report cannot be written.
    #[error("cannot write the report {path}: {source}")]
    Report {
        /// Where.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// deadheat itself is at fault.
    #[error("this is a mistake in deadheat, please report it: {0}")]
    Internal(String),
}

impl Failure {
    /// The exit code that tells whose affair it is.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Target(_)
            | Failure::Arguments(_)
            | Failure::Corpus(
                CorpusError::Malformed { .. }
                | CorpusError::OtherFormat { .. }
                | CorpusError::Unreadable { .. },
            )
            | Failure::Stub(StubError::Target(_))
            | Failure::Service(ServiceError::Target(_) | ServiceError::Url(_)) => Exit::Usage,
            Failure::Database(error) if error.is_users() => Exit::Usage,
            Failure::Database(_)
            | Failure::Corpus(CorpusError::Unwritable { .. })
            | Failure::Guard(_)
            | Failure::NoEngine(_)
            | Failure::Prepare(_)
            | Failure::Service(_)
            | Failure::Drive(_)
            | Failure::Gate(_)
            | Failure::Stub(StubError::Listen { .. } | StubError::Client(_))
            | Failure::NothingJudged { .. }
            | Failure::Report { .. } => Exit::Environment,
            Failure::Internal(_) => Exit::Internal,
        }
    }
}
