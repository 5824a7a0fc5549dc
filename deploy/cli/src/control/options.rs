//! The options of the commands that control rollouts.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use manifold_core::time::Span;

use super::drift::options::Drift;
use crate::args::{Output, prefix};

/// How a run is named.
const RUN: &str = "The run: its id, the beginning of it, or an app's name for the app's newest run";

/// What the help of the commands that give an order says after the options.
const PLAN_HELP: &str = "\
Nothing is started. With --change-sets the hub's function deploy has a change set made of each
stack that is there already, shows what it would do, and deletes it; it is never executed. You
need lambda:InvokeFunction on that function.

Examples:
  manifold plan web --fleet fleet.yaml
  manifold plan web --fleet fleet.yaml --revision 2d4e6f --change-sets

Exit status:
  0  it was planned
  1  a change set would not be executed, or could not be made
  2  the command was not understood, or what it needs could not be read or used
  7  what a change set would do was not known in time";

const ORDER_HELP: &str = "\
Exit status:
  0  it was done
  1  it was refused: the reason is told
  2  the command was not understood, or what it needs could not be read or used
  7  it was sent, and nothing is known of it yet";

const VERDICT_HELP: &str = "\
Exit status: that of the run's verdict, as \"manifold help simulate\" lists them; 7 while there is none.";

const STATS_HELP: &str = "\
Examples:
  manifold stats web
  manifold stats --since 12w --fleet fleet.yaml --output json

Counted are runs that were opened in the period, up to the newest 1,000 of an app. A deployment is a release, or one that
somebody started, that ended good or failed; it failed if something failed in it, tolerated or not, or if it was rolled
back later. Another try, a rollback and what follows drift are none, and nor is what ended short of all targets with no
failure.

  Lead time        from the commit's author date to the last target, of what got everywhere; where no commit's time was
                   told, from the release pipeline instead
  Feedback time    from the release pipeline's start, or else its end, to the first target that failed, or the verdict
  Time to restore  from a failure to the next good verdict of the app, also of another try or a rollback

What is not known is said to be, and is never zero. Of several times the median and the nine of ten are one of them.

Exit status:
  0  it was told, also that nothing is known
  2  the command was not understood, or what it needs could not be read";

const REPLAY_HELP: &str = "\
What is stored of the run is read, and nothing is called or sent: its plan is carried out in an embedded world in virtual
time, in which every target is started, refused and heard of as it was recorded, and operators command what they did.

Exit status:
  0  the same came out: verdict, counts, and how each target ended
  1  something else came out: what differs is told
  2  the run or the file could not be read or played";

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// See what a release would do, before it does: waves, targets, what changes, how long, how much.
    #[command(after_help = PLAN_HELP)]
    Plan(Plan),
    /// Roll a release out: one that was refused, one from before, or the newest once more.
    #[command(after_help = ORDER_HELP)]
    Start(Start),
    /// See what is going on: open runs, and each app's newest.
    Status(Status),
    /// Follow a run until its verdict.
    #[command(after_help = VERDICT_HELP)]
    Watch(Watch),
    /// List an app's runs, newest first.
    History(History),
    /// See how often, how fast and how safely releases go out.
    #[command(after_help = STATS_HELP)]
    Stats(Stats),
    /// See all of a run, and every decision about it.
    Show(Show),
    /// See what a run waits for, or why a target failed.
    Why(Why),
    /// Play a run's recorded events again, offline, and see whether the same comes out.
    #[command(after_help = REPLAY_HELP)]
    Replay(Replay),
    /// Let a wave begin that waits for approval.
    #[command(after_help = ORDER_HELP)]
    Approve(Approve),
    /// Do not let a wave begin, and end the run.
    #[command(after_help = ORDER_HELP)]
    Reject(Reject),
    /// Start nothing more for now; what runs goes on.
    #[command(after_help = ORDER_HELP)]
    Pause(Pause),
    /// Go on with a paused run.
    #[command(after_help = ORDER_HELP)]
    Resume(Resume),
    /// End a run: nothing more is started. With --stop, what runs is stopped as well.
    #[command(after_help = ORDER_HELP)]
    Abort(Abort),
    /// Roll a run's release out again where it is missing.
    #[command(after_help = ORDER_HELP)]
    Retry(Retry),
    /// Bring targets back to the release that they had before a run.
    #[command(after_help = ORDER_HELP)]
    Rollback(Rollback),
    /// See whether what runs in every target is what should run there; accept, ignore or revert what differs.
    #[command(after_help = super::drift::options::HELP)]
    Drift(Box<Drift>),
}

/// Where Manifold runs, and how the answer is printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) place: Place,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What a plan is made of.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["execution", "revision"]).multiple(false))]
pub(crate) struct Plan {
    /// The app
    #[arg(value_name = "APP")]
    pub(crate) app: String,
    /// An execution of the app's release pipeline that succeeded [default: the newest run's]
    #[arg(long, value_name = "ID")]
    pub(crate) execution: Option<String>,
    /// A revision that has not been released yet
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// A parameter's value for every target. May be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Have CloudFormation say what would become of stacks: change sets are made, shown, and deleted again
    #[arg(long)]
    pub(crate) change_sets: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is started.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The app
    #[arg(value_name = "APP")]
    pub(crate) app: String,
    /// An execution of the app's release pipeline that succeeded [default: the newest run's]
    #[arg(long, value_name = "ID")]
    pub(crate) execution: Option<String>,
    /// The release pipeline, if the app has several
    #[arg(long, value_name = "NAME")]
    pub(crate) pipeline: Option<String>,
    /// A parameter's value for every target. May be given more than once. What has choices and is not set is asked for on a
    /// terminal
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Also if the release has its run already, and where the release is already
    #[arg(long)]
    pub(crate) force: bool,
    /// Follow the new run until its verdict
    #[arg(long)]
    pub(crate) watch: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Whose state is shown.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this app
    #[arg(value_name = "APP")]
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is followed.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Whose runs are listed.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The app
    #[arg(value_name = "APP")]
    pub(crate) app: String,
    /// How many runs
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Whose figures are shown, and of which period.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The app [default: all of the fleet file, and those that have an open run]
    #[arg(value_name = "APP")]
    pub(crate) app: Option<String>,
    /// The runs that were opened in so many minutes, hours, days or weeks: 90m, 12h, 30d, 12w
    #[arg(long, value_name = "PERIOD", default_value = "30d", value_parser = period)]
    pub(crate) since: Span,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How a run is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowOutput {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// The decisions, each a line of JSON.
    Jsonl,
}

/// What is shown.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Every decision about it as well: who, what, when, why
    #[arg(long)]
    pub(crate) decisions: bool,
    #[command(flatten)]
    pub(crate) place: Place,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = ShowOutput::Text)]
    pub(crate) output: ShowOutput,
}

/// Where Manifold runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The fleet file; '-' reads standard input. Names the hub's account and Region
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: Option<PathBuf>,
    /// The hub's Region [default: the fleet file's, else as the AWS CLI finds it]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The AWS profile of the hub account
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// What the names of the hub's resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "manifold", value_parser = prefix)]
    pub(crate) prefix: String,
}

/// What is explained.
#[derive(Debug, Args)]
pub(crate) struct Why {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// One target of it, as ACCOUNT/REGION, the account by its name or its id
    #[arg(value_name = "ACCOUNT/REGION")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is played again.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("record").args(["run", "from"]).required(true).multiple(false))]
pub(crate) struct Replay {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: Option<String>,
    /// Play what an earlier --save wrote; '-' reads standard input. No hub is needed
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Write what is stored of the run, to be played elsewhere. It names accounts, roles and people, and holds no secret
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is approved.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// The wave [default: the one that waits]
    #[arg(value_name = "WAVE")]
    pub(crate) wave: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is rejected.
#[derive(Debug, Args)]
pub(crate) struct Reject {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// The wave [default: the one that waits]
    #[arg(value_name = "WAVE")]
    pub(crate) wave: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is paused.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What goes on.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is ended.
#[derive(Debug, Args)]
pub(crate) struct Abort {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Stop what runs as well. A stopped pipeline may leave its target half changed
    #[arg(long)]
    pub(crate) stop: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is rolled out again.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["failed", "all", "targets"]).multiple(false))]
pub(crate) struct Retry {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Where the release is missing. This is what happens when nothing is said
    #[arg(long)]
    pub(crate) failed: bool,
    /// Everywhere
    #[arg(long)]
    pub(crate) all: bool,
    /// Only here, the account by its name or its id. May be given more than once
    #[arg(long = "target", value_name = "ACCOUNT/REGION")]
    pub(crate) targets: Vec<String>,
    /// Follow the new run until its verdict
    #[arg(long)]
    pub(crate) watch: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is brought back.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[arg(value_name = "RUN", help = RUN)]
    pub(crate) run: String,
    /// Only here, the account by its name or its id. May be given more than once [default: wherever the run got]
    #[arg(long = "target", value_name = "ACCOUNT/REGION")]
    pub(crate) targets: Vec<String>,
    /// Follow the new run until its verdict
    #[arg(long)]
    pub(crate) watch: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE, such as LOG_LEVEL=debug".to_owned()),
    }
}

/// What is stored of a run is kept for 400 days.
const LONGEST_PERIOD: Span = Span::from_minutes(60 * 24 * 400);

fn period(text: &str) -> Result<Span, String> {
    let minutes = |unit| match unit {
        'm' => Some(1),
        'h' => Some(60),
        'd' => Some(60 * 24),
        'w' => Some(60 * 24 * 7),
        _ => None,
    };
    let split = text.char_indices().next_back();
    let number = split.and_then(|(at, unit)| Some(text[..at].parse::<u32>().ok().map(i64::from)? * minutes(unit)?));
    let span = number.filter(|number| *number > 0).map(Span::from_minutes).filter(|span| *span <= LONGEST_PERIOD);
    span.ok_or_else(|| "expected a period of at most 400 days, such as 12h, 30d or 8w".to_owned())
}

#[cfg(feature = "aws")]
impl Verb {
    /// Where Manifold runs.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Plan(Plan { common, .. })
            | Self::Start(Start { common, .. })
            | Self::Status(Status { common, .. })
            | Self::Watch(Watch { common, .. })
            | Self::History(History { common, .. })
            | Self::Stats(Stats { common, .. })
            | Self::Why(Why { common, .. })
            | Self::Replay(Replay { common, .. })
            | Self::Approve(Approve { common, .. })
            | Self::Reject(Reject { common, .. })
            | Self::Pause(Pause { common, .. })
            | Self::Resume(Resume { common, .. })
            | Self::Abort(Abort { common, .. })
            | Self::Retry(Retry { common, .. })
            | Self::Rollback(Rollback { common, .. }) => common.place.clone(),
            Self::Show(Show { place, .. }) => place.clone(),
            Self::Drift(drift) => drift.common.place(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit_and_no_longer_than_runs_are_kept() {
        let minutes = |text: &str| period(text).ok().map(|span| span.as_millis() / 60_000);
        assert_eq!(minutes("90m"), Some(90));
        assert_eq!(minutes("12h"), Some(720));
        assert_eq!(minutes("30d"), Some(43_200));
        assert_eq!(minutes("12w"), Some(120_960));
        assert_eq!(minutes("400d"), Some(576_000));
        for other in ["", "d", "0d", "401d", "-1d", "30", "1.5d", "30 d", "30y", "99999999999w", "3é"] {
            let error = period(other).unwrap_err();
            assert!(error.contains("such as 12h, 30d or 8w"), "{other}: {error}");
        }
    }
}
