//! The command line: what can be asked for, and what the exit status means.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use manifold_core::run::Verdict;
use manifold_local::behaviour::{Behaviour, Chosen, InvalidChoice, NAMES};

/// A day is later than anything that AWS delivers on its own.
const MOST_DISORDER: u32 = 86_400;
/// More calls a second than Manifold ever makes.
const MOST_CALLS: u32 = 1000;

/// The command was not understood, or something it needs could not be read.
pub(crate) const EXIT_USAGE: u8 = 2;

/// A drift check found that something is not as it should be. No verdict has it.
pub(crate) const EXIT_DRIFT: u8 = 11;
/// A drift check found nothing to differ, and could not see everything. No verdict has it.
pub(crate) const EXIT_UNSEEN: u8 = 12;

/// The exit status of a verdict.
pub(crate) const fn exit_status(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Succeeded) => 0,
        Some(Verdict::Failed) => 1,
        Some(Verdict::CompletedWithFailures) => 3,
        Some(Verdict::Incomplete) => 4,
        Some(Verdict::TimedOut) => 5,
        Some(Verdict::Overtaken) => 6,
        Some(Verdict::Aborted) => 8,
        Some(Verdict::NotApproved) => 9,
        Some(Verdict::Refused) => 10,
        None => 7,
    }
}

/// What is worst comes last.
const fn badness(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Succeeded) => 0,
        Some(Verdict::Overtaken) => 1,
        Some(Verdict::Refused) => 2,
        Some(Verdict::NotApproved) => 3,
        Some(Verdict::Aborted) => 4,
        Some(Verdict::Incomplete) => 5,
        Some(Verdict::CompletedWithFailures) => 6,
        Some(Verdict::TimedOut) => 7,
        Some(Verdict::Failed) => 8,
        None => 9,
    }
}

/// The verdict that speaks for all runs: the worst one.
pub(crate) fn worst(verdicts: impl IntoIterator<Item = Option<Verdict>>) -> Option<Verdict> {
    verdicts.into_iter().max_by_key(|verdict| badness(*verdict)).flatten()
}

const EXIT_HELP: &str = "Exit status (of several apps, the worst verdict counts):
  0  succeeded: every target has the release
  1  failed: a wave failed beyond its tolerance
  2  the command was not understood, or a file could not be read or used
  3  completed with failures, within tolerance
  4  incomplete: nothing failed, yet some targets do not have the release
  5  timed out
  6  overtaken by a newer release
  7  no verdict
  8  aborted by an operator
  9  not approved: a wave was rejected, or nobody approved it in time
  10  refused, as another run of the app was under way";

const VALIDATE_EXIT_HELP: &str = "Exit status:
  0  no problem found
  1  there are problems
  2  the command was not understood, or the file could not be read";

const DEMO_HELP: &str = "Examples:
  manifold demo
  manifold demo --fail dev/eu-west-1=JobFailed
  manifold demo --fail 'prod/*=AccessDenied' --output json";

const SIMULATE_HELP: &str = "Examples:
  manifold simulate --fleet fleet.yaml --event release-event.json
  manifold simulate --fleet fleet.yaml --event release-event.json --fail 'prod/*=Superseded'

deploy/examples has a fleet file and an event to start from.";

/// One pipeline in, every account and region out, one answer back.
#[derive(Debug, Parser)]
#[command(
    name = "manifold",
    version,
    about,
    after_help = "\
Begin with \"manifold demo\", then rehearse your own fleet with \"manifold simulate\".
\"manifold help <COMMAND>\" tells each command's options and exit statuses."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See a release go out: a built-in fleet of 2 accounts × 5 regions, the real handlers, simulated targets.
    #[command(after_help = format!("{DEMO_HELP}\n\n{EXIT_HELP}"))]
    Demo(Demo),
    /// Rehearse a release event on your own fleet file, with failures of your choice.
    #[command(after_help = format!("{SIMULATE_HELP}\n\n{EXIT_HELP}"))]
    Simulate(Simulate),
    /// Check a fleet file: every problem at once, each with its line, column and remedy.
    #[command(after_help = VALIDATE_EXIT_HELP)]
    Validate(Validate),
    /// Print the JSON Schema of the fleet file, for editors.
    Schema,
    /// Run scenarios of releases and operators, in virtual time: commands in, transcript out.
    #[command(after_help = crate::play::HELP)]
    Play(crate::play::Play),
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(Completions),
    #[command(flatten)]
    Control(crate::control::options::Verb),
    /// Deploy or update Manifold itself: the hub, every member account and every Region of a fleet file.
    #[cfg(feature = "aws")]
    #[command(after_help = crate::install::options::HELP)]
    Install(Box<crate::install::options::Install>),
    /// Deploy or update Manifold itself (not in this build: it needs the feature "aws").
    #[cfg(not(feature = "aws"))]
    #[command(after_help = WITHOUT_AWS)]
    Install(WithoutAws),
    /// Look whether a rollout would go through: roles, Regions, pipelines, forwarding and Slack, for every target.
    #[cfg(feature = "aws")]
    #[command(after_help = crate::doctor::options::HELP)]
    Doctor(crate::doctor::options::Doctor),
    /// Look whether a rollout would go through (not in this build: it needs the feature "aws").
    #[cfg(not(feature = "aws"))]
    #[command(after_help = WITHOUT_AWS)]
    Doctor(WithoutAws),
    /// What the hub gave up on: lists, explains and redrives dead letters and undelivered events.
    #[cfg(feature = "aws")]
    #[command(after_help = crate::dead_letters::options::HELP)]
    DeadLetters(crate::dead_letters::options::DeadLetters),
    /// What the hub gave up on (not in this build: it needs the feature "aws").
    #[cfg(not(feature = "aws"))]
    #[command(after_help = WITHOUT_AWS)]
    DeadLetters(WithoutAws),
}

const COMPLETIONS_HELP: &str = "\
Examples:
  manifold completions bash > /etc/bash_completion.d/manifold
  manifold completions zsh > \"${fpath[1]}/_manifold\"
  manifold completions fish > ~/.config/fish/completions/manifold.fish";

/// Which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// How to get the commands that talk to AWS.
#[cfg(not(feature = "aws"))]
pub(crate) const WITHOUT_AWS: &str = "\
This command talks to AWS, and this build of manifold does not have the AWS SDK, which takes minutes to compile.
From the repository: cargo install --path deploy/cli --features aws";

/// Whatever is given: the answer is the same.
#[cfg(not(feature = "aws"))]
#[derive(Debug, clap::Args)]
pub(crate) struct WithoutAws {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<std::ffi::OsString>,
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
    #[arg(long = "fail", value_name = "ACCOUNT/REGION=WHAT", long_help = fail_help(), value_parser = chosen)]
    pub(crate) chosen: Vec<Chosen>,
    /// Everything random comes from this number; the same seed repeats the same run
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// The chance, 0 to 1, that a message or event is delivered twice
    #[arg(long, default_value_t = 0.0, value_name = "CHANCE", value_parser = chance, allow_negative_numbers = true)]
    pub(crate) duplicates: f64,
    /// Messages and events are late by up to this many seconds (at most 86400), so that their order is lost
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) disorder: u32,
    /// The share, 0 to 1, of the targets' events that never arrive: their results are asked for, minutes later
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = chance, allow_negative_numbers = true)]
    pub(crate) lose: f64,
    /// So many calls a second each API of an account and Region takes, as AWS limits them; 1 to 1000 [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = calls, allow_negative_numbers = true)]
    pub(crate) calls_per_second: Option<u32>,
    /// How many simulated seconds pass in one second of yours; 0 does not wait at all [default: a few seconds for the
    /// whole run on a terminal, else 0]
    #[arg(long, value_name = "FACTOR", value_parser = whole::<u32>, allow_negative_numbers = true)]
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
    /// The fleet file; '-' reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: PathBuf,
    /// A release event as EventBridge delivers it: CodePipeline, SUCCEEDED, of an app's release pipeline; '-'
    /// reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) event: PathBuf,
    /// Events that engines sent in a rollout of yours, as EventBridge delivers them: one JSON object or a list. The
    /// targets that they are from tell them again, under the names and at the times of the rehearsal, instead of just
    /// succeeding. May be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) recorded: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) rehearsal: Rehearsal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// The fleet file; '-' reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) fleet: PathBuf,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// As the hub's template demands it of its parameter `Prefix`.
pub(crate) fn prefix(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (2..=31).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(inner);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected 2-31 characters of a-z, 0-9 and -, beginning with a letter".to_owned())
    }
}

fn chance(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|chance| (0.0..=1.0).contains(chance))
        .ok_or_else(|| "expected a number from 0 to 1, such as 0.2".to_owned())
}

trait Whole: FromStr + Display {
    const MOST: Self;
}

impl Whole for u64 {
    const MOST: Self = Self::MAX;
}

impl Whole for u32 {
    const MOST: Self = Self::MAX;
}

fn whole<N: Whole>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", N::MOST))
}

fn seconds(text: &str) -> Result<u32, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MOST_DISORDER);
    seconds.ok_or_else(|| format!("expected whole seconds from 0 to {MOST_DISORDER}"))
}

fn calls(text: &str) -> Result<u32, String> {
    let calls = text.parse().ok().filter(|calls| (1..=MOST_CALLS).contains(calls));
    calls.ok_or_else(|| format!("expected a whole number from 1 to {MOST_CALLS}"))
}

/// Any word is an error code, so a slip in a known name would quietly mean something else.
fn chosen(text: &str) -> Result<Chosen, String> {
    let chosen: Chosen = text.parse().map_err(|error: InvalidChoice| error.to_string())?;
    let Behaviour::Fails(code) = &chosen.behaviour else { return Ok(chosen) };
    let names = NAMES.iter().map(|(name, _)| *name).filter(|name| name != code);
    let near = names
        .map(|name| (strsim::damerau_levenshtein(&code.to_lowercase(), &name.to_lowercase()), name))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match near {
        Some((_, name)) => Err(format!("did you mean {chosen}={name}?")),
        None => Ok(chosen),
    }
}

fn fail_help() -> String {
    let mut help = "Have a target not just succeed, such as dev/eu-west-1=JobFailed; '*' stands for all accounts or \
                    regions. May be given more than once; where two name the same target, the last one counts.\n\n\
                    What may happen:"
        .to_owned();
    for (name, meaning) in NAMES {
        help.push_str(&format!("\n  {name:<17} {meaning}"));
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_speaks_for_all() {
        let (failed, tolerated) = (Some(Verdict::Failed), Some(Verdict::CompletedWithFailures));
        assert_eq!(worst([Some(Verdict::Succeeded), failed, tolerated]), failed);
        assert_eq!(worst([failed, None]), None);
        assert_eq!(worst([]), None);
    }

    #[test]
    fn a_slip_in_a_known_name_is_told_and_any_other_code_is_taken() {
        assert_eq!(chosen("dev/*=Superseeded").unwrap_err(), "did you mean dev/*=Superseded?");
        assert_eq!(chosen("dev/*=silent").unwrap_err(), "did you mean dev/*=Silent?");
        for code in ["JobFailed", "AccessDeniedException", "ConfigurationError", "Succeeded"] {
            assert!(chosen(&format!("dev/*={code}")).is_ok(), "{code}");
        }
    }
}
