//! Small worlds, whole: see `manifold_tests::simulation::small`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

use manifold_core::time::Span;
use manifold_local::behaviour::Behaviour;
use manifold_local::faults::Faults;
use manifold_tests::simulation::scenario::{Control, Press, Pressed, Release, Scenario, Told};
use manifold_tests::simulation::small::{Budget, explore};

const NOTHING: Budget = Budget { duplicates: 0, crashes: 0, losses: 0, overlaps: 0 };

/// Two targets at once, or one after the other, and an engine that forgets its tokens.
fn world(max_concurrent: u32, told: Told, behaviours: Vec<(usize, Behaviour)>) -> Scenario {
    Scenario {
        seed: 0,
        accounts: 1,
        regions: 2,
        wave_per_account: false,
        max_concurrent,
        failure_tolerance: 0,
        max_attempts: 1,
        deadline: 20,
        control: Control::default(),
        presses: Vec::new(),
        told,
        behaviours,
        engines: None,
        releases: vec![Release { after: Span::from_seconds(0), age: 0 }],
        faults: Faults { tokens_forgotten: true, ..Faults::default() },
    }
}

fn all_of(name: &str, scenario: &Scenario, budget: Budget) {
    match explore(scenario, budget) {
        Ok(explored) => println!("{name}: {explored}"),
        Err(way) => panic!("{name}:\n{way}"),
    }
}

#[test]
fn two_targets_in_every_order() {
    let overlaps = Budget { overlaps: 1, ..NOTHING };
    all_of("two targets, every order", &world(2, Told::Nobody, Vec::new()), NOTHING);
    all_of("two targets, two invocations at once", &world(2, Told::Nobody, Vec::new()), overlaps);
    all_of("one target after the other, two at once", &world(1, Told::Nobody, Vec::new()), overlaps);
    let fails = vec![(0, Behaviour::Fails("JobFailed".to_owned()))];
    all_of("one of two targets fails, two at once", &world(2, Told::Nobody, fails), overlaps);
}

#[test]
fn two_targets_with_a_crash_anywhere() {
    all_of("two targets, one crash", &world(2, Told::Nobody, Vec::new()), Budget { crashes: 1, ..NOTHING });
}

#[test]
fn two_targets_with_a_duplicate_and_a_loss_anywhere() {
    let budget = Budget { duplicates: 1, losses: 1, ..NOTHING };
    all_of("two targets, one duplicate, one loss", &world(2, Told::Nobody, Vec::new()), budget);
}

#[test]
fn two_targets_with_a_duplicate_a_crash_and_a_loss_anywhere() {
    let budget = Budget { duplicates: 1, crashes: 1, losses: 1, overlaps: 0 };
    all_of("two targets, one duplicate, one crash, one loss", &world(2, Told::Nobody, Vec::new()), budget);
}

#[test]
#[ignore = "takes minutes even when it is optimised: cargo test --profile simulation"]
fn two_targets_with_all_of_it_and_two_invocations_at_once() {
    let budget = Budget { duplicates: 1, crashes: 1, losses: 1, overlaps: 1 };
    all_of("two targets, all of it", &world(2, Told::Nobody, Vec::new()), budget);
}

#[test]
fn the_message_of_a_run_with_a_crash_anywhere() {
    let one = Scenario { regions: 1, ..world(1, Told::Bot, Vec::new()) };
    all_of("one target and its message, two at once", &one, Budget { overlaps: 1, ..NOTHING });
    all_of("one target and its message, one crash", &one, Budget { crashes: 1, ..NOTHING });
}

/// One target that waits for approval, which an operator gives while everything goes wrong that can.
#[test]
fn an_approval_with_a_duplicate_and_a_crash_anywhere() {
    let press = |what| Press { after: Span::from_seconds(0), release: 0, what };
    let control = Control { approval: Some("repoint"), ..Control::default() };
    let asks = Scenario { regions: 1, control, ..world(1, Told::Nobody, Vec::new()) };
    let approved = Scenario { presses: vec![press(Pressed::Approve)], ..asks.clone() };
    all_of("an approval, one duplicate, one crash", &approved, Budget { duplicates: 1, crashes: 1, ..NOTHING });
    let torn = Scenario { presses: vec![press(Pressed::Approve), press(Pressed::Reject)], ..asks };
    all_of("approved by one, rejected by another", &torn, Budget { overlaps: 1, crashes: 1, ..NOTHING });
}

/// Two targets one after the other, and somebody ends the run.
#[test]
fn an_abort_with_a_duplicate_and_a_crash_anywhere() {
    for what in [Pressed::Abort, Pressed::Stop] {
        let presses = vec![Press { after: Span::from_seconds(0), release: 0, what }];
        let aborted = Scenario { presses, ..world(1, Told::Nobody, Vec::new()) };
        let name = format!("{what:?}, one duplicate, one crash");
        all_of(&name, &aborted, Budget { duplicates: 1, crashes: 1, ..NOTHING });
    }
}
