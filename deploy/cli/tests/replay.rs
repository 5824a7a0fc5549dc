//! `manifold replay --from`: runs in files, as `--save` wrote them, tampered with, or no runs at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn manifold(args: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manifold"));
    command.args(args).arg(file).stdin(Stdio::null()).env_remove("CLICOLOR_FORCE").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A place for a file of one test; tests run side by side.
fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The run of the scenario `replay.md`, saved.
fn saved(test: &str) -> (PathBuf, Value) {
    let file = place(&format!("{test}.json"));
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/replay.md");
    let scenario = std::fs::read_to_string(scenario).unwrap();
    let last = "$ manifold replay shop\n";
    assert!(scenario.contains(last));
    let copy = place(&format!("{test}.md"));
    let save = format!("$ manifold replay web --save '{}'\n", file.display());
    std::fs::write(&copy, scenario.replace(last, &save)).unwrap();
    let output = manifold(&["play"], &copy);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    (file, run)
}

/// What `replay --from` tells of a changed file: its exit status, and what is on standard output and standard error.
fn replayed(test: &str, change: impl FnOnce(&mut Value)) -> (Option<i32>, String, String) {
    let (file, mut run) = saved(test);
    change(&mut run);
    std::fs::write(&file, run.to_string()).unwrap();
    let output = manifold(&["replay", "--from"], &file);
    (output.status.code(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
}

/// What was recorded of a target, by the account's name and its Region.
fn target<'a>(run: &'a mut Value, account: &str, region: &str) -> &'a mut Value {
    let targets = run["run"]["targets"].as_array_mut().unwrap();
    let is_it = |target: &&mut Value| target["account_name"] == account && target["key"]["region"] == region;
    targets.iter_mut().find(is_it).unwrap()
}

#[test]
fn a_saved_run_is_played_without_a_hub_and_the_same_comes_out() {
    let (status, told, problems) = replayed("same", |_| {});
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    let expected = "✔ the same comes out of web-0ec813e6510259b9, by 15 recorded events and 2 commands\n\
                    ! web: completed with failures on 1 of 4 targets\n";
    assert_eq!(told, expected);
}

#[test]
fn an_event_that_was_tampered_with_makes_a_difference() {
    let (status, told, _) = replayed("tampered", |run| {
        let heard = target(run, "prod", "us-east-1")["heard"].as_array_mut().unwrap();
        let last = heard.last_mut().unwrap();
        assert_eq!(last["what"]["state"], "SUCCEEDED");
        last["what"]["state"] = json!("CANCELED");
    });
    assert_eq!(status, Some(1));
    assert!(told.starts_with("✖ something else comes out of web-0ec813e6510259b9"), "{told}");
    assert!(told.contains("\n  prod/us-east-1  recorded: succeeded; played: canceled\n"), "{told}");
    assert!(told.contains("recorded: 3 succeeded, 1 unreachable; played: 2 succeeded, 1 canceled, 1 unreachable\n"));
    assert!(!told.contains("dev/"), "nothing else differs: {told}");
}

#[test]
fn a_command_that_was_left_out_makes_a_difference() {
    let (status, told, _) = replayed("left-out", |run| {
        let decisions = run["run"]["decisions"].as_array_mut().unwrap();
        let before = decisions.len();
        decisions.retain(|decision| decision["what"] != "approve prod" || decision["answer"]["answer"] != "done");
        assert_eq!(decisions.len(), before - 1);
    });
    assert_eq!(status, Some(1));
    assert!(told.contains("verdict         recorded: completed with failures; played: not approved\n"), "{told}");
    assert!(
        told.contains("prod/eu-west-1  recorded: succeeded in attempt 2; played: its turn has not come\n"),
        "{told}"
    );
}

#[test]
fn what_is_different_is_told_to_scripts_as_well() {
    let (file, mut run) = saved("json");
    target(&mut run, "prod", "us-east-1")["heard"].as_array_mut().unwrap().pop();
    std::fs::write(&file, run.to_string()).unwrap();
    let output = manifold(&["replay", "--output", "json", "--from"], &file);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["same"], false);
    assert_eq!(
        told["differences"].as_array().unwrap().last().unwrap(),
        &json!({ "what": "prod/us-east-1", "recorded": "succeeded", "played": "timed out" })
    );
}

#[test]
fn what_can_not_be_played_is_told_with_its_reason() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 6] = [
        ("newer", |run| run["schema"] = json!(2), "is of schema 2, and this version reads 1 and earlier ones"),
        ("other", |run| run["format"] = json!("fleet"), "holds no recorded run"),
        ("damaged", |run| run["run"]["head"] = json!({}), "is a damaged record of a run: missing field"),
        (
            "older",
            |run| target(run, "dev", "us-east-1")["heard"] = json!([]),
            "what was heard of 444455556666/us-east-1 is not recorded: web-0ec813e6510259b9 is from before",
        ),
        (
            "open",
            |run| run["run"]["head"]["phase"] = json!({ "phase": "active", "since": 1_793_005_200_000_i64 }),
            "web-0ec813e6510259b9 has no verdict yet",
        ),
        (
            "short",
            |run| drop(run["run"]["plan"].as_array_mut().unwrap().pop()),
            "the waves of web-0ec813e6510259b9 have other targets than its plan",
        ),
    ];
    for (name, change, expected) in cases {
        let (status, told, problems) = replayed(name, change);
        assert_eq!((status, told.as_str()), (Some(2), ""), "{name}: {problems}");
        assert!(problems.contains(expected), "{name}: {problems}");
    }
}

#[test]
fn what_is_no_record_at_all_is_told_what_one_is() {
    let file = place("no-record.json");
    for (content, expected) in [("version: 1\n", "is not JSON: expected value"), ("[]", "holds no recorded run")] {
        std::fs::write(&file, content).unwrap();
        let output = manifold(&["replay", "--from"], &file);
        let problems = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{problems}");
        assert!(problems.contains(expected), "{problems}");
        assert!(
            problems.contains("help: expected a file that \"manifold replay RUN --save FILE\" wrote"),
            "{problems}"
        );
    }
    let output = manifold(&["replay", "--from"], &place("nowhere.json"));
    assert!(text(&output.stderr).contains("failed to read"), "{}", text(&output.stderr));
}
