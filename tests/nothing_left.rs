//! However it ends, deadheat leaves no process, no server and no folder behind,
//! and keeps what it found.

#![allow(clippy::unwrap_used)] // A test that cannot go on may stop.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::time::{Duration, Instant};

use common::{Ended, Place, ends_within, eventually, shop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A hunt that has no end of its own, once it is under way.
fn hunting(place: &Place, target: &str, engine: &str) -> Child {
    let child = place
        .command(&[
            "run",
            target,
            "--engine",
            engine,
            "--for",
            "10m",
            "--env",
            "SHOP_BUGS=",
        ])
        .spawn()
        .unwrap();
    let replicas = || {
        let processes = place.processes();
        processes
            .iter()
            .filter(|line| line.ends_with("shop "))
            .count()
    };
    assert!(
        eventually(Duration::from_secs(30), || replicas() == 2),
        "it never began"
    );
    child
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn ctrl_c_ends_within_a_second() {
    let (place, target) = shop();
    for engine in ["sqlite", "postgres"] {
        let mut child = hunting(&place, &target, engine);
        // Rounds are being made when the seed has been told; here it is enough
        // that everything stands.
        let asked = Instant::now();
        signal(&child, Signal::SIGINT);
        let status = ends_within(&mut child, Duration::from_secs(5));
        let took = asked.elapsed();
        assert_eq!(status.and_then(|status| status.code()), Some(130));
        assert!(took < Duration::from_secs(1), "{engine}: {took:?}");
        place.nothing_is_left();
    }
}

#[test]
fn a_killed_deadheat_is_cleaned_up_after() {
    let (place, target) = shop();
    for engine in ["sqlite", "postgres"] {
        let mut child = hunting(&place, &target, engine);
        signal(&child, Signal::SIGKILL);
        child.wait().unwrap();
        place.nothing_is_left();
    }
}

#[test]
fn a_service_that_is_killed_at_the_gate_is_the_environments_failure() {
    let (place, target) = shop();
    let mut child = hunting(&place, &target, "postgres");
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("racing") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it never raced");
    }
    let replica = Pid::from_raw(place.process(|line| line.ends_with("shop ")));
    kill(replica, Signal::SIGKILL).unwrap();
    let mut ended = Ended::of(&child.wait_with_output().unwrap());
    said.read_to_string(&mut ended.err).unwrap();
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.err.contains("the service died"), "{ended:#?}");
    place.nothing_is_left();
}

#[test]
fn a_killed_database_is_the_environments_failure() {
    let (place, target) = shop();
    let child = hunting(&place, &target, "postgres");
    let postmaster = Pid::from_raw(place.process(|line| line.contains("/data")));
    kill(postmaster, Signal::SIGQUIT).unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.err.contains("error: the"), "{ended:#?}");
    place.nothing_is_left();
}

#[test]
fn stopped_in_the_middle_it_keeps_what_it_found() {
    let (place, target) = shop();
    let child = place
        .command(&[
            "run",
            &target,
            "--engine",
            "sqlite",
            "--seed",
            "1",
            "--for",
            "10m",
            "--keep-going",
        ])
        .spawn()
        .unwrap();
    let kept = || {
        std::fs::read_dir(place.path().join("corpus/shop")).is_ok_and(|mut f| f.next().is_some())
    };
    assert!(
        eventually(Duration::from_mins(1), kept),
        "nothing was found"
    );
    signal(&child, Signal::SIGTERM);
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(
        ended.out.contains("stopped before its budget was used"),
        "{ended:#?}"
    );
    place.nothing_is_left();
}
