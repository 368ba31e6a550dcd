//! The binary: see [`deadheat::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    deadheat::cli::main()
}
