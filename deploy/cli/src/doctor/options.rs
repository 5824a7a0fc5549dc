//! The options of `manifold doctor`.

use std::path::PathBuf;

use clap::Args;

use crate::args::Output;

/// What the help says after the options.
pub(crate) const HELP: &str = "\
Nothing is started, changed or posted. The hub's own functions look, as only they may: you need
lambda:InvokeFunction on them, and nothing in the member accounts.

Examples:
  manifold doctor --fleet fleet.yaml
  manifold doctor --fleet fleet.yaml --app web --account prod --region eu-west-1
  manifold doctor --fleet fleet.yaml --output json

Exit status:
  0  all is well
  1  a rollout would fail somewhere
  2  the command was not understood, or what it needs could not be read or used
  3  nothing is known to fail, yet something could not be looked at";

/// What is to be looked at, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The fleet file; '-' reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: PathBuf,
    /// Only the targets of this app. May be given more than once, as the next two
    #[arg(long = "app", value_name = "NAME")]
    pub(crate) apps: Vec<String>,
    /// Only the targets in this account, by its name or id
    #[arg(long = "account", value_name = "ACCOUNT")]
    pub(crate) accounts: Vec<String>,
    /// Only the targets in this Region
    #[arg(long = "region", value_name = "REGION")]
    pub(crate) regions: Vec<String>,
    /// What the names of the hub's resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "manifold")]
    pub(crate) prefix: String,
    /// What the names of the forwarding rules in the member Regions begin with [default: as --prefix]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) rule_prefix: Option<String>,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// The AWS profile of the hub account
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
}
