//! The command line: what can be asked for, and what the exit status means.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use manifold_core::run::Verdict;
use manifold_local::behaviour::{Chosen, NAMES};

/// The command was not understood, or something it needs could not be read.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The exit status of a verdict.
pub(crate) const fn exit_status(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Succeeded) => 0,
        Some(Verdict::Failed) => 1,
        Some(Verdict::CompletedWithFailures) => 3,
        Some(Verdict::Incomplete) => 4,
        Some(Verdict::TimedOut) => 5,
        Some(Verdict::Overtaken) => 6,
        None => 7,
    }
}

const EXIT_HELP: &str = "Exit status:
  0  succeeded: every target has the release (validate: no problem found)
  1  failed: a wave failed beyond its tolerance (validate: there are problems)
  2  the command was not understood, or a file could not be read
  3  completed with failures, within tolerance
  4  incomplete: nothing failed, yet some targets do not have the release
  5  timed out
  6  overtaken by a newer release
  7  no verdict";

/// One pipeline in, every account and region out, one answer back.
#[derive(Debug, Parser)]
#[command(name = "manifold", version, about, after_help = EXIT_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See a release go out: a built-in fleet of 2 accounts × 5 regions, the real handlers, simulated targets.
    #[command(after_help = EXIT_HELP)]
    Demo(Demo),
    /// Rehearse a release event on your own fleet file, with failures of your choice.
    #[command(after_help = EXIT_HELP)]
    Simulate(Simulate),
    /// Check a fleet file: every problem at once, each with its line, column and remedy.
    Validate(Validate),
    /// Print the JSON Schema of the fleet file, for editors.
    Schema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For scripts: one JSON document on standard output.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rehearsal {
    /// Have a target not just succeed, such as dev/eu-west-1=JobFailed; '*' stands for all accounts or regions. May
    /// be given more than once
    #[arg(long = "fail", value_name = "ACCOUNT/REGION=WHAT", long_help = fail_help())]
    pub(crate) chosen: Vec<Chosen>,
    /// Everything random comes from this number; the same seed repeats the same run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The chance, 0 to 1, that a message or event is delivered twice
    #[arg(long, default_value_t = 0.0, value_parser = chance, value_name = "CHANCE")]
    pub(crate) duplicates: f64,
    /// Messages and events are late by up to this many seconds, so that their order is lost
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) disorder: u32,
    /// How many simulated seconds pass in one second of yours; 0 does not wait at all
    #[arg(long, value_name = "FACTOR")]
    pub(crate) pace: Option<u32>,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) rehearsal: Rehearsal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Simulate {
    /// The fleet file
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: PathBuf,
    /// A release event as EventBridge delivers it: CodePipeline, SUCCEEDED, of an app's release pipeline
    #[arg(long, value_name = "FILE")]
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) rehearsal: Rehearsal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// The fleet file
    pub(crate) fleet: PathBuf,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

fn chance(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|chance| (0.0..=1.0).contains(chance))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn fail_help() -> String {
    let mut help = "Have a target not just succeed, such as dev/eu-west-1=JobFailed; '*' stands for all accounts or \
                    regions. May be given more than once.\n\nWhat may happen:"
        .to_owned();
    for (name, meaning) in NAMES {
        help.push_str(&format!("\n  {name:<17} {meaning}"));
    }
    help
}
