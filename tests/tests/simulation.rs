//! Deterministic simulation: a few thousand seeds, each a story of its own. `cargo run --profile simulation --bin
//! simulation` plays as many as are asked for.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use manifold_tests::simulation::search;

/// In parts, so that they share the cores.
fn play(first: u64, count: u64) {
    let search = search(first..first + count);
    if let Some(failure) = search.failure {
        panic!("{failure}");
    }
}

#[test]
fn the_laws_hold_in_a_thousand_stories() {
    play(0, 1_000);
}

#[test]
fn the_laws_hold_in_a_second_thousand() {
    play(1_000, 1_000);
}

#[test]
fn the_laws_hold_in_a_third_thousand() {
    play(2_000, 1_000);
}
