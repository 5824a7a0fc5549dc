//! The command as its users meet it: the real binary, what it prints, and how it exits.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

const FLEET: &str = "../../../examples/fleet.yaml";
const EVENT: &str = "../../../examples/release-event.json";

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manifold"));
    command.args(args).current_dir(inputs()).stdin(Stdio::null());
    // What a test reads must not depend on who runs it.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A command line, all that it printed, and its exit status.
fn transcript(args: &[&str]) -> String {
    transcript_in(&inputs(), args).0
}

/// The same in a folder, with the exit status once more.
fn transcript_in(folder: &Path, args: &[&str]) -> (String, i32) {
    let output = command(args).current_dir(folder).output().unwrap();
    let mut transcript = format!("$ manifold {}\n", args.join(" "));
    for (name, bytes) in [("standard error", &output.stderr), ("standard output", &output.stdout)] {
        if !bytes.is_empty() {
            writeln!(transcript, "--- {name}\n{}", text(bytes).trim_end_matches('\n')).unwrap();
        }
    }
    writeln!(transcript, "--- exit status {}", status(&output)).unwrap();
    (transcript, status(&output))
}

fn simulated<'a>(event: &'a str, fleet: &'a str) -> [&'a str; 5] {
    ["simulate", "--fleet", fleet, "--event", event]
}

/// A demo's document, and its exit status.
fn demo_json(args: &[&str]) -> (Value, i32) {
    let output = run(&[&["demo", "--output", "json"], args].concat());
    assert_eq!(text(&output.stderr), "", "a script's log stays empty");
    (serde_json::from_slice(&output.stdout).unwrap(), status(&output))
}

fn calls<'a>(report: &'a Value, method: &str) -> Vec<&'a Value> {
    let calls = report["slack"].as_array().unwrap().iter();
    calls.filter(|call| call["method"] == method).map(|call| &call["body"]).collect()
}

#[test]
fn the_demo_tells_what_happens_and_what_slack_was_told() {
    assert_snapshot!("demo", transcript(&["demo"]));
}

#[test]
fn chosen_failures_are_told_by_cause() {
    let fails = ["--fail", "*/eu-west-1=AccessDenied", "--fail", "dev/us-east-1=Retried"];
    let args = [&simulated(EVENT, FLEET)[..], &fails].concat();
    assert_snapshot!("simulate_failures", transcript(&args));
}

/// The commands for `manifold` in a chapter of an example's page.
fn of_page(page: &str, chapter: &str) -> Vec<String> {
    let chapter = page.split_once(&format!("\n## {chapter}\n")).unwrap().1;
    let chapter = chapter.split("\n## ").next().unwrap();
    let blocks = chapter.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.flat_map(str::lines).filter_map(|line| Some(line.strip_prefix("manifold ")?.to_owned())).collect()
}

/// What an example's page says to try is what comes of it: in its folder, with its files, told by its engine's own events.
#[test]
fn the_examples_run_as_their_pages_say() {
    for name in ["ansible-ec2", "serverless", "container"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
        let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let validated = of_page(&page, "Install").into_iter().filter(|line| line.starts_with("validate "));
        let lines: Vec<String> = validated.chain(of_page(&page, "Try it first")).collect();
        let told: Vec<(String, i32)> =
            lines.iter().map(|line| transcript_in(&folder, &line.split(' ').collect::<Vec<_>>())).collect();
        // Valid; as it is; with the recorded success and the recorded failure; with a failure that was asked for.
        assert_eq!(told.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [0, 0, 0, 1, 1], "{name}: {lines:#?}");
        let told: Vec<String> = told.into_iter().map(|(told, _)| told).collect();
        assert_snapshot!(format!("example_{name}"), told.join("\n"));
    }
}

#[test]
fn what_was_recorded_elsewhere_or_is_no_recording_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/serverless");
    let mut all = String::new();
    for recorded in ["../container/events/failure.json", "events/release.json", "fleet.yaml", "missing.json"] {
        let args = ["simulate", "--fleet", "fleet.yaml", "--event", "events/release.json", "--recorded", recorded];
        let (told, status) = transcript_in(&folder, &args);
        assert_eq!(status, 2, "{told}");
        all.push_str(&told);
        all.push('\n');
    }
    assert_snapshot!("unusable_recordings", all);
}

#[test]
fn every_app_of_a_release_pipeline_is_told_of() {
    let args = [&simulated(EVENT, "apps.yaml")[..], &["--fail", "prod/eu-west-1=JobFailed"]].concat();
    assert_snapshot!("simulate_apps", transcript(&args));
}

#[test]
fn the_worst_verdict_of_several_apps_is_the_exit_status() {
    // dev/eu-west-1 is within the tolerance of web (3) and beyond that of worker (1).
    let args =
        [&simulated(EVENT, "apps.yaml")[..], &["--fail", "dev/eu-west-1=JobFailed", "--output", "json"]].concat();
    let output = run(&args);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<&Value> = report["runs"].as_array().unwrap().iter().map(|run| &run["verdict"]).collect();
    assert_eq!(verdicts, ["completed_with_failures", "failed"]);
    assert_eq!(status(&output), 1);
}

#[test]
fn the_document_has_run_verdict_targets_and_every_payload() {
    let (report, status) = demo_json(&[]);
    assert_eq!(status, 0);
    let [run] = report["runs"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!(run["run"], "web-ae16d07e5e839fcc");
    assert_eq!(run["verdict"], "succeeded");
    assert_eq!(run["revision"], "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f");
    let targets = run["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 10);
    for target in targets {
        assert_eq!(target["outcome"], "succeeded", "{target:#}");
        assert_eq!(target["attempt"], 1);
        assert_eq!(target["pipeline"], "svc-deploy");
        assert_eq!(target["execution"].as_str().unwrap().len(), 36);
        assert!(target["took_ms"].as_i64().unwrap() > 0);
        for time in ["started_at", "ended_at"] {
            let time = target[time].as_str().unwrap();
            assert!(time.starts_with("2026-10-26T1") && time.ends_with('Z'), "{time}");
        }
        let (execution, link) = (target["execution"].as_str().unwrap(), target["link"].as_str().unwrap());
        assert!(link.starts_with("https://") && link.contains(execution), "{link}");
    }
    assert_eq!(report["dead_letters"], 0);
    assert_eq!(report["calls"]["engine.start"], 10);
}

#[test]
fn one_summary_is_posted_and_edited_within_the_limits_of_slack() {
    for fails in [&[][..], &["--fail", "dev/*=JobFailed"], &["--fail", "prod/*=AccessDenied", "--duplicates", "0.5"]] {
        let (report, _) = demo_json(fails);
        let (posts, edits) = (calls(&report, "chat.postMessage"), calls(&report, "chat.update"));
        let (summaries, replies): (Vec<&Value>, Vec<&Value>) =
            posts.iter().partition(|body| body.get("thread_ts").is_none());
        assert_eq!(summaries.len(), 1, "{fails:?}");
        let ts = report["slack"][0]["ts"].as_str().unwrap();
        assert!(edits.iter().any(|body| body["ts"] == ts), "{fails:?}: the summary is edited in place");
        assert!(replies.iter().all(|body| body["thread_ts"] == ts), "{fails:?}: details are in its thread");
        for body in posts.into_iter().chain(edits) {
            assert_eq!(body["channel"], "C0123456789");
            check_limits(body);
        }
    }
}

/// Slack's limits as its reference gives them, apart from what the renderer goes by.
fn check_limits(body: &Value) {
    let length = |text: &Value| text.as_str().map_or(0, |text| text.encode_utf16().count());
    assert!((1..=4_000).contains(&length(&body["text"])), "{body:#}");
    let blocks = body["blocks"].as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        let most = if block["type"] == "header" { 150 } else { 3_000 };
        assert!(length(&block["text"]["text"]) <= most, "{block:#}");
        let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(fields.len() <= 10 && fields.iter().all(|field| length(&field["text"]) <= 2_000), "{block:#}");
        let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(elements.len() <= 25, "{block:#}");
    }
}

#[test]
fn the_exit_status_tells_the_verdict() {
    for (fail, verdict, expected) in [
        ("dev/eu-west-1=Throttled", "succeeded", 0),
        ("dev/eu-west-1=JobFailed", "failed", 1),
        ("prod/eu-west-1=JobFailed", "completed_with_failures", 3),
        ("dev/eu-west-1=Superseded", "incomplete", 4),
        ("dev/eu-west-1=Silent", "timed_out", 5),
    ] {
        let (report, status) = demo_json(&["--fail", fail]);
        assert_eq!((report["runs"][0]["verdict"].as_str(), status), (Some(verdict), expected), "{fail}");
    }
}

#[test]
fn a_rehearsal_whose_events_are_all_lost_ends_as_one_that_loses_none() {
    let (report, status) = demo_json(&["--lose", "1.0", "--fail", "prod/eu-west-1=JobFailed"]);
    assert_eq!((report["runs"][0]["verdict"].as_str(), status), (Some("completed_with_failures"), 3));
    assert_eq!(report["runs"][0]["asked_for"], 10);
    let all_lost = run(&["demo", "--lose", "1.0"]);
    let shown = text(&all_lost.stdout);
    assert!(shown.contains("10 results were asked for, as their events did not arrive."), "{shown}");
}

#[test]
fn the_same_seed_repeats_the_same_run() {
    let args = ["demo", "--seed", "7", "--duplicates", "0.3", "--disorder", "60", "--fail", "prod/eu-west-1=Retried"];
    let (one, two) = (run(&args), run(&args));
    assert_eq!(text(&one.stdout), text(&two.stdout));
    assert_eq!(text(&one.stderr), text(&two.stderr));
    assert_ne!(text(&one.stdout), text(&run(&["demo", "--seed", "8"]).stdout));
}

#[test]
fn a_fleet_file_is_described_or_refused() {
    assert_snapshot!("validate_good", transcript(&["validate", FLEET]));
    assert_snapshot!("validate_bad", transcript(&["validate", "bad.yaml"]));
    assert_snapshot!("validate_bad_json", transcript(&["validate", "bad.yaml", "--output", "json"]));
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let output = run(&["schema"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fleet/fleet.schema.json");
    assert_eq!(text(&output.stdout), std::fs::read_to_string(path).unwrap());
    assert_eq!(status(&output), 0);
}

#[test]
fn files_that_cannot_be_used_are_told_with_a_remedy() {
    let mut all = String::new();
    for args in [
        &["validate", "missing.yaml"][..],
        &["validate", "."],
        &["validate", "binary.yaml"],
        &["validate", "empty.yaml"],
        &["validate", "broken.yaml"],
        &simulated("missing.json", FLEET),
        &simulated(".", FLEET),
        &simulated("empty.json", FLEET),
        &simulated("cut.json", FLEET),
        &simulated("other.json", FLEET),
        &simulated(FLEET, FLEET),
        &simulated("other-pipeline.json", FLEET),
        &simulated("failed.json", FLEET),
        &simulated(EVENT, "broken.yaml"),
        &simulated(EVENT, "bad.yaml"),
    ] {
        all.push_str(&transcript(args));
        all.push('\n');
    }
    assert_snapshot!("unusable_files", all);
}

#[test]
fn options_that_cannot_be_meant_are_told_with_a_remedy() {
    let mut all = String::new();
    for args in [
        &["demo", "--fail", "qa/eu-west-1=JobFailed"][..],
        &["demo", "--fail", "dev/mars-1=JobFailed"],
        &["demo", "--fail", "dev=JobFailed"],
        &["demo", "--fail", "dev/eu-west-1"],
        &["demo", "--fail", "dev/eu-west-1=<b>"],
        &["demo", "--fail", "dev/eu-west-1=Superseeded"],
        &["demo", "--seed", "x"],
        &["demo", "--seed", "-1"],
        &["demo", "--pace", "fast"],
        &["demo", "--duplicates", "2"],
        &["demo", "--lose", "-0.1"],
        &["demo", "--disorder", "86401"],
        &["demo", "--output", "yaml"],
        &["simulate"],
        &["dmeo"],
    ] {
        all.push_str(&transcript(args));
        all.push('\n');
    }
    assert_snapshot!("unusable_options", all);
}

#[test]
fn a_reader_that_has_seen_enough_changes_no_answer() {
    for (args, expected) in [
        (&["demo", "--fail", "dev/eu-west-1=JobFailed", "--output", "json"][..], 1),
        (&["demo", "--fail", "dev/eu-west-1=JobFailed"], 1),
        (&["validate", "bad.yaml"], 1),
        (&["schema"], 0),
    ] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(status(&output), expected, "{args:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("error"), "{args:?}: {}", text(&output.stderr));
    }
    // Progress is for onlookers: that nobody looks is no failure either.
    let mut child = command(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(status(&output), 0);
    assert!(text(&output.stdout).starts_with("✔ web"));
}

#[test]
fn an_event_may_come_from_standard_input() {
    let event = std::fs::read(inputs().join(EVENT)).unwrap();
    let mut command = command(&simulated("-", FLEET));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&event).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(status(&output), 0);
    assert!(text(&output.stdout).starts_with("✔ web"));
}

#[test]
fn no_colour_reaches_a_pipe() {
    let output = run(&["demo", "--fail", "dev/*=JobFailed"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}

#[test]
fn every_shell_gets_a_completion_script_with_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(status(&output), 0);
        for verb in ["approve", "rollback", "dead-letters", "drift", "accept", "hub-region"] {
            assert!(text(&output.stdout).contains(verb), "{shell} has no {verb}");
        }
    }
    assert_eq!(status(&run(&["completions", "cmd"])), 2);
}

#[test]
fn options_of_the_verbs_that_cannot_be_meant_are_told() {
    let mut all = String::new();
    for args in [
        &["approve"][..],
        &["retry", "web", "--all", "--failed"],
        &["start", "web", "--set", "LOG_LEVEL"],
        &["history", "web", "--limit", "0"],
        &["show", "web", "--output", "yaml"],
        &["plan", "web", "--execution", "x", "--revision", "y"],
        &["play", "--check", "--write", "a.md"],
        &["play", "missing.md"],
        &["play", "empty.yaml"],
    ] {
        all.push_str(&transcript(args));
        all.push('\n');
    }
    assert_snapshot!("unusable_verbs", all);
}

#[test]
fn options_of_drift_that_cannot_be_meant_are_told() {
    let mut all = String::new();
    let ignore = ["drift", "ignore", "dev/*", "--owner", "sre", "--why", "Load tests"];
    for args in [
        &["drift", "--app", "web", "show"][..],
        &["drift", "shwo"],
        &["drift", "show", "web", "--app", "web"],
        &["drift", "list", "--limit", "0"],
        &["drift", "diff"],
        &["drift", "diff", "dev/eu-west-1", "--app", "web", "--of", "web-0ec813e6510259b9"],
        &["drift", "accept", "dev/eu-west-1"],
        &["drift", "accept", "--check", "definitions", "--why", "It is meant"],
        &ignore,
        &[&ignore[..], &["--until", "soon"]].concat(),
        &[&ignore[..], &["--until", "2026-12-31", "--check", "all"]].concat(),
        &["drift", "revert", "dev/eu-west-1", "--why", "It is not meant"],
    ] {
        all.push_str(&transcript(args));
        all.push('\n');
    }
    assert_snapshot!("unusable_drift", all);
}

#[test]
fn the_help_of_drift_tells_every_exit_status() {
    let help = run(&["help", "drift"]);
    for expected in ["  0   in sync", "  1   refused", "  7   sent", "  11  drift", "  12  unknown", "--hub-region"] {
        assert!(text(&help.stdout).contains(expected), "{expected:?} in {}", text(&help.stdout));
    }
}

/// `install`, `doctor` and `dead-letters` are in every build's list; what they say depends on whether the AWS SDK is in the build.
#[test]
#[cfg(not(feature = "aws"))]
fn a_build_without_the_aws_sdk_says_how_to_get_the_commands_that_need_it() {
    for args in [
        &["install"][..],
        &["install", "--fleet", FLEET, "--yes"],
        &["doctor", "--fleet", FLEET],
        &["dead-letters", "redrive", "--all"],
        &["status"],
        &["approve", "web", "prod"],
        &["rollback", "web", "--yes"],
        &["drift", "--fleet", FLEET, "--region", "eu-west-1"],
        &["drift", "show", "web", "--output", "json"],
    ] {
        let output = run(args);
        assert_eq!(status(&output), 2);
        assert!(text(&output.stderr).contains("cargo install --path deploy/cli --features aws"), "{output:?}");
    }
    assert!(text(&run(&["help"]).stdout).contains("install"));
}

/// What needs no AWS is refused before AWS is asked.
#[test]
#[cfg(feature = "aws")]
fn install_refuses_what_it_can_not_use_before_it_asks_aws() {
    let nowhere = ["install", "--fleet", FLEET, "--package", "nowhere"];
    let refused = |args: &[&str]| {
        let output = run(args);
        assert_eq!((status(&output), text(&output.stdout)), (2, ""), "{output:?}");
        text(&output.stderr).to_owned()
    };
    assert!(refused(&nowhere).contains("help: make the zips of this fleet file: deploy/package FLEET.yaml nowhere"));
    assert!(refused(&["install", "--fleet", "bad.yaml", "--package", "nowhere"]).contains("nothing was deployed"));
    assert!(refused(&[&nowhere[..], &["--set", "LogLevel=debug"]].concat()).contains("such as hub:LogLevel=debug"));
    assert!(refused(&[&nowhere[..], &["--plan", "--yes"]].concat()).contains("cannot be used with"));
}
