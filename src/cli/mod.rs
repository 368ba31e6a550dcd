//! The command line, a file a command. No logic beyond arguments, what is shown,
//! and which outcome is which exit code.

mod arguments;
mod replay;
mod run;
mod schema;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard;
use crate::hunt::Stop;
use crate::target::error::TargetError;

/// How long work on other threads is waited for once all is said: a server that
/// was just being started. What is left then is the guard's to end.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Finds race conditions in HTTP APIs on SQL databases.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    nothing found
  1    findings
  2    the target file or the arguments are wrong
  3    the environment failed: the service, the database, a port
  4    nothing found, and something that --require names is not covered
  70   a mistake in deadheat itself
  130  stopped by Ctrl-C with nothing found";

#[derive(Debug, Subcommand)]
enum Command {
    /// Race a target's operations, and judge what the database holds afterwards
    Run(run::Run),
    /// Make a kept finding, or a seed's scenario, again and again
    Replay(replay::Replay),
    /// Print the JSON Schema of the target file, for editors
    Schema,
}

/// Runs the command line to its end.
pub fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(guard::ARGUMENT) {
        return guard::main_loop();
    }
    let arguments = Arguments::parse();
    // A panic unwinds through everything that is standing, which takes it down.
    let ended = std::panic::catch_unwind(|| ended(arguments.command));
    let exit = ended.unwrap_or(Exit::Internal);
    ExitCode::from(exit.code())
}

fn ended(command: Command) -> Exit {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return told(&Failure::Internal(error.to_string())),
    };
    let exit = runtime.block_on(async {
        let stop = Stop::default();
        tokio::spawn(listen(stop.clone()));
        let ended = match command {
            Command::Run(run) => Box::pin(run.run(&stop)).await,
            Command::Replay(replay) => replay.run(&stop).await,
            Command::Schema => schema::run(),
        };
        ended.unwrap_or_else(|failure| told(&failure))
    });
    runtime.shutdown_timeout(LAST_WAIT);
    exit
}

fn told(failure: &Failure) -> Exit {
    if let Failure::Target(TargetError::Invalid(drawn)) = failure {
        // Each problem is drawn with a title of its own.
        eprintln!("{}", drawn.draw());
    } else {
        eprintln!("{} {failure}", console::style("error:").red().bold());
    }
    failure.exit()
}

/// Asks for an end at the first Ctrl-C or SIGTERM, and ends at once at the second.
async fn listen(stop: Stop) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.asked() {
            // The guard ends and removes what is left.
            std::process::exit(Exit::Interrupted.code().into());
        }
        stop.ask();
    }
}
