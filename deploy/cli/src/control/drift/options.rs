//! The options of `manifold drift`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use manifold_core::drift::Aspect;
use manifold_core::time::{Span, Timestamp};

#[cfg(feature = "aws")]
use super::super::options::Place;
use crate::args::{Output, prefix};

/// What the help says after the options.
pub(crate) const HELP: &str = "\
Without a verb, all targets of all apps of the fleet file are looked at now, or those that are chosen. Nothing is changed.

Examples:
  manifold drift --fleet fleet.yaml
  manifold drift --fleet fleet.yaml --app web --account prod --region eu-west-1
  manifold drift show web
  manifold drift diff prod/eu-west-1 --app web
  manifold drift accept prod/eu-west-1 --app web --check definition --why \"The new project is meant\"
  manifold drift ignore 'dev/*' --app web --check stack --path '/svc-web/Jobs*' --owner sre --until 2026-12-31 \\
    --why \"Load tests\"

Exit status (of several apps, the worst counts):
  0   in sync: all of it was seen, and is as it should be
  1   refused: the reason is told
  2   the command was not understood, or what it needs could not be read or used
  7   sent, and how it ended is not known in time
  11  drift: something is not as it should be
  12  unknown: nothing was found to differ, and not everything could be seen";

/// What the help of the verbs that look says after the options.
const LOOK_HELP: &str = "\
Exit status:
  0   in sync: all of it was seen, and is as it should be
  2   the command was not understood, or what it needs could not be read or used
  7   the check has not ended
  11  drift: something is not as it should be
  12  unknown: nothing was found to differ, and not everything could be seen";

/// What the help of the verbs that give an order says after the options.
const ORDER_HELP: &str = "\
It is about what the app's last check found.

Exit status:
  0  it was done
  1  it was refused: the reason is told
  2  the command was not understood, or what it needs could not be read or used
  3  nobody agreed
  7  it was sent, and nothing is known of it yet";

/// What is looked at, or what is done with what was found.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Drift {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is done with what was found.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// See what an app's last check found, or another one.
    #[command(after_help = LOOK_HELP)]
    Show(Show),
    /// List an app's checks, newest first.
    List(List),
    /// See how a target differs from what should be there.
    #[command(after_help = LOOK_HELP)]
    Diff(Diff),
    /// What was found is what should be there, from now on.
    #[command(after_help = ORDER_HELP)]
    Accept(Accept),
    /// What differs is known and meant, for a while.
    #[command(after_help = ORDER_HELP)]
    Ignore(Ignore),
    /// Have a change set prepared that takes a stack back to its template. A person executes it.
    #[command(after_help = ORDER_HELP)]
    Revert(Revert),
}

/// Where Manifold runs, and how the answer is printed. `--region` is the targets' here.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The fleet file; '-' reads standard input. Names the hub's account and Region, the apps and their targets
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) fleet: Option<PathBuf>,
    /// The hub's Region [default: the fleet file's, else as the AWS CLI finds it]
    #[arg(long, value_name = "REGION", global = true)]
    pub(crate) hub_region: Option<String>,
    /// The AWS profile of the hub account
    #[arg(long, value_name = "PROFILE", global = true)]
    pub(crate) profile: Option<String>,
    /// What the names of the hub's resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "manifold", value_parser = prefix, global = true)]
    pub(crate) prefix: String,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
}

#[cfg(feature = "aws")]
impl Common {
    /// Where Manifold runs.
    pub(crate) fn place(&self) -> Place {
        Place {
            fleet: self.fleet.clone(),
            region: self.hub_region.clone(),
            profile: self.profile.clone(),
            prefix: self.prefix.clone(),
        }
    }
}

/// What is looked at now.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Only this app. May be given more than once [default: all apps of the fleet file]
    #[arg(long = "app", value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Only this account, by its name or its id. May be given more than once
    #[arg(long = "account", value_name = "ACCOUNT")]
    pub(crate) accounts: Vec<String>,
    /// Only this Region. May be given more than once
    #[arg(long = "region", value_name = "REGION")]
    pub(crate) regions: Vec<String>,
    /// Do not wait until it has ended
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

/// What is shown.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The check: its id, the beginning of it, or an app's name for the app's last check
    #[arg(value_name = "CHECK")]
    pub(crate) check: Option<String>,
    /// The app whose last check is meant [default: the only one of the fleet file]
    #[arg(long, value_name = "APP", conflicts_with = "check")]
    pub(crate) app: Option<String>,
    /// Every decision about it as well: who, what, when, why
    #[arg(long)]
    pub(crate) decisions: bool,
}

/// Whose checks are listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The app [default: the only one of the fleet file]
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// How many checks
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// What is compared.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The target, the account by its name or its id
    #[arg(value_name = "ACCOUNT/REGION")]
    pub(crate) target: String,
    /// The app whose last check is meant [default: the only one of the fleet file]
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Another check: its id, or the beginning of it
    #[arg(long, value_name = "CHECK", conflicts_with = "app")]
    pub(crate) of: Option<String>,
}

/// What is accepted.
#[derive(Debug, Args)]
pub(crate) struct Accept {
    /// The targets, the account by its name or its id [default: every one that drifted]
    #[arg(value_name = "ACCOUNT/REGION")]
    pub(crate) targets: Vec<String>,
    /// Only this comparison. May be given more than once
    #[arg(long = "check", value_name = "ASPECT", value_parser = aspect())]
    pub(crate) aspects: Vec<Aspect>,
    /// The app [default: the only one of the fleet file]
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What is ignored.
#[derive(Debug, Args)]
pub(crate) struct Ignore {
    /// Which targets: a pattern of ACCOUNT/REGION, the account by its name or its id; '*' stands for any text
    #[arg(value_name = "PATTERN")]
    pub(crate) target: String,
    /// Only this comparison
    #[arg(long = "check", value_name = "ASPECT", value_parser = aspect())]
    pub(crate) aspect: Option<Aspect>,
    /// Only what is found at these paths, as "manifold drift diff" shows them; '*' stands for any text
    #[arg(long, value_name = "PATTERN")]
    pub(crate) path: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// Until when: a day, to its end in UTC, such as 2026-12-31, or a time, such as 2026-12-31T18:00:00Z
    #[arg(long, value_name = "DATE", value_parser = time)]
    pub(crate) until: Timestamp,
    /// The app [default: the only one of the fleet file]
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
}

/// What is taken back.
#[derive(Debug, Args)]
pub(crate) struct Revert {
    /// The target, the account by its name or its id
    #[arg(value_name = "ACCOUNT/REGION")]
    pub(crate) target: String,
    /// The stack's name
    #[arg(value_name = "STACK")]
    pub(crate) stack: String,
    /// The app [default: the only one of the fleet file]
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

fn aspect() -> impl TypedValueParser<Value = Aspect> {
    PossibleValuesParser::new(Aspect::ALL.map(Aspect::name))
        .try_map(|name| Aspect::of_name(&name).ok_or("expected the name of a comparison"))
}

/// A day counts to its end in UTC, as in the fleet file.
fn time(text: &str) -> Result<Timestamp, String> {
    let day = || Some(Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))?.plus(Span::from_minutes(60 * 24)));
    Timestamp::parse_rfc3339(text)
        .or_else(day)
        .ok_or_else(|| "expected a day, such as 2026-12-31, or a time, such as 2026-12-31T18:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_to_its_end_and_a_time_is_itself() {
        assert_eq!(time("2026-12-31").unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(time("2026-12-31T18:00:00+01:00").unwrap().to_string(), "2026-12-31T17:00:00Z");
        for wrong in ["", "soon", "31.12.2026", "2026-13-01", "2026-12-31T18:00"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
