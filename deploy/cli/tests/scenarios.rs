//! Scenarios: each file in `scenarios/` is played, and must tell what it says. `UPDATE_SCENARIOS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "whether files are written anew is for whoever runs the tests to say")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn play(args: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manifold"));
    command.arg("play").args(args).args(files).stdin(Stdio::null()).env_remove("CLICOLOR_FORCE");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    files.sort();
    files
}

#[test]
fn every_scenario_tells_what_its_file_says() {
    let files = scenarios();
    assert!(!files.is_empty());
    let how = if std::env::var_os("UPDATE_SCENARIOS").is_some() { "--write" } else { "--check" };
    let output = play(&[how], &files);
    let (told, problems) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "UPDATE_SCENARIOS=1 writes them anew, if this is meant:\n{told}{problems}");
}

/// A copy of a scenario, in which something else is said.
fn changed(name: &str, from: &str, to: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fleet.yaml");
    let text = text.replace(from, to).replace("../../../examples/fleet.yaml", examples.to_str().unwrap());
    // Tests run side by side.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", to.replace(' ', "-")));
    std::fs::write(&copy, text).unwrap();
    copy
}

#[test]
fn what_differs_is_shown_and_written_on_request() {
    let copy = changed("abort.md", "✔ paused", "✔ payed");
    let output = play(&["--check"], std::slice::from_ref(&copy));
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(told.contains("\n-✔ payed") && told.contains("\n+✔ paused"), "{told}");

    assert!(play(&["--write"], std::slice::from_ref(&copy)).status.success());
    assert_eq!(play(&["--check"], std::slice::from_ref(&copy)).status.code(), Some(0));
    std::fs::remove_file(copy).unwrap();
}

#[test]
fn what_is_no_command_is_told_with_its_place() {
    let copy = changed("abort.md", "$ wait 30s", "$ sleep 30s");
    let output = play(&["--check"], std::slice::from_ref(&copy));
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("\"sleep 30s\" is no command of a scenario"), "{told}");
    assert!(told.contains(&format!("{}:", copy.display())), "{told}");
    std::fs::remove_file(copy).unwrap();
}

/// The parts of a text between two marks, each time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    text.split(from).skip(1).map(|part| part.split_once(to).unwrap().0).collect()
}

#[test]
fn what_the_readme_shows_of_control_figures_and_drift_is_told_by_a_scenario() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let chapter = |title: &str| between(&readme, &format!("\n## {title}\n"), "\n## ")[0];
    let control = between(chapter("Control a rollout"), "```console\n", "```");
    let drift = between(chapter("Drift checks"), "```console\n", "```");
    let figures = between(chapter("Pipeline figures"), "```console\n", "```");
    assert!(control.len() >= 4 && !drift.is_empty() && !figures.is_empty());
    let shown = control.into_iter().chain(drift).chain(figures);
    let scenarios: Vec<String> = scenarios().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for block in shown {
        assert!(scenarios.iter().any(|scenario| scenario.contains(block)), "no scenario tells:\n{block}");
    }
}
