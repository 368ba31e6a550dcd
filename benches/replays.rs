//! Whether a finding of the gate's is a fact: each of the bundled shop's mistakes is
//! found by `deadheat run`, then made again a hundred times by `deadheat replay`, in
//! two processes, one after the other.
//!
//! `cargo bench --bench replays` prints one table; `-- --bugs oversell,pay_twice` makes
//! it shorter. A finding of a free race (the gate's part of the budget was used, and
//! then luck had it) is told apart: it has no schedule to follow.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::Failure;
use serde_json::Value;

const DEADHEAT: &str = env!("CARGO_BIN_EXE_deadheat");

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let bugs = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => common::SHOP.bugs()?,
        (Some("--bugs"), Some(bugs)) => bugs.split(',').map(str::to_owned).collect(),
        _ => return Err("known is --bugs NAME,NAME".into()),
    };
    println!("| bug | found by | after rounds | calls | choices | first process | second |");
    println!("|---|---|---|---|---|---|---|");
    for bug in bugs {
        println!("{}", row(&bug)?);
    }
    Ok(())
}

fn row(bug: &str) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("run.json");
    let corpus = folder.path().join("corpus");
    let mistake = format!("SHOP_BUGS={bug}");
    let ran = deadheat(
        &["run", "targets/shop", "--seed", "1", "--env", &mistake],
        &[("--json", &json), ("--corpus", &corpus)],
    )?;
    let report: Value = serde_json::from_slice(&std::fs::read(&json).map_err(|_| said(&ran))?)?;
    let finding = &report["findings"][0];
    let Some(file) = finding["file"].as_str() else {
        return Ok(format!(
            "| `{bug}` | not found in {} rounds | | | | | |",
            report["rounds"]
        ));
    };
    let choices = finding["schedule"].as_array().map(Vec::len);
    let mut processes = Vec::new();
    for _ in 0..2 {
        let replayed = deadheat(&["replay", file], &[])?;
        let said = said(&replayed);
        let rate = said.lines().find(|line| line.starts_with("failed "));
        let why = said.lines().find(|line| line.contains("diverged"));
        let told = rate.into_iter().chain(why).collect::<Vec<_>>().join("; ");
        processes.push(told);
    }
    Ok(format!(
        "| `{bug}` | {} | {} | {} | {} | {} |",
        if choices.is_some() {
            "the gate"
        } else {
            "a free race"
        },
        finding["found_after_rounds"],
        finding["scenario"]["race"].as_array().map_or(0, Vec::len),
        choices.map_or("-".to_owned(), |choices| choices.to_string()),
        processes.join(" | "),
    ))
}

fn deadheat(arguments: &[&str], paths: &[(&str, &Path)]) -> Result<Output, Failure> {
    let mut command = Command::new(DEADHEAT);
    command.args(arguments).current_dir(common::root());
    for (name, path) in paths {
        command.arg(name).arg(path);
    }
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
