//! Ten thousand targets.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test, whose output is a measurement"
)]

mod support;

use std::time::Instant;

use manifold_fleet::Fleet;
use support::{large, release, run};

fn load(name: &str, every_target: bool) {
    let text = large(500, 20, every_target);
    let start = Instant::now();
    let fleet = Fleet::parse("fleet.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let parsed = start.elapsed();
    let web = fleet.app("web").unwrap();
    let release = release();
    let start = Instant::now();
    let plan = web.plan(&run(web, &release), &release).unwrap();
    let planned = start.elapsed();
    println!("{name}: {} bytes, parse {parsed:?}, plan {planned:?}", text.len());
    assert_eq!(plan.targets.len(), 10_000);
    assert_eq!(plan.waves.iter().map(|wave| wave.size).collect::<Vec<_>>(), [1_000, 9_000]);
    assert_eq!(plan.targets[9_999].variables["NOTE"], "1d4f5a6b to account-499");
    // Far more than an idle machine needs even without optimisation; a quadratic step would still exceed it.
    assert!(parsed.as_secs() < 20 && planned.as_secs() < 20, "parse {parsed:?}, plan {planned:?}");
}

#[test]
fn ten_thousand_targets_load_and_plan_quickly() {
    load("values by level", false);
}

#[test]
fn ten_thousand_targets_with_a_value_each_load_and_plan_quickly() {
    load("a value for every target", true);
}
