//! The options of `manifold dead-letters`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::args::{Output, prefix};
use crate::install::options::pair;

/// What the help says after the options.
pub(crate) const HELP: &str = "\
Looking changes nothing but the letters' receive counts: they are hidden from other readers for
seconds, and shown again. No queue of dead letters gives anything up in turn.

Events that a member account's rules could not forward are in the queue
PREFIX-forward-undelivered of that account and Region; --members looks there, too.

Examples:
  manifold dead-letters --fleet fleet.yaml
  manifold dead-letters --fleet fleet.yaml --members
  manifold dead-letters redrive --fleet fleet.yaml --queue deploy-dead
  manifold dead-letters redrive --fleet fleet.yaml --all --yes
  manifold dead-letters drop --fleet fleet.yaml --id 68cc8a00-e455-f946-43e4-e2926a15d894

Exit status:
  0  there are no dead letters, or all that were chosen were redriven or dropped
  1  there are dead letters, or some that were chosen are still there
  2  the command was not understood, or what it needs could not be read or used
  3  nobody agreed: nothing was redriven or dropped";

/// Whose letters, and what to do with them.
#[derive(Debug, Args)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
    /// The fleet file; '-' reads standard input. Needed
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) fleet: Option<PathBuf>,
    /// What the names of the hub's resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "manifold", value_parser = prefix, global = true)]
    pub(crate) prefix: String,
    /// Only these queues, such as deploy-dead or undelivered. May be given more than once
    #[arg(long = "queue", value_name = "NAME", global = true)]
    pub(crate) queues: Vec<String>,
    /// How many letters of each queue are looked at [default: 100; to redrive or drop, 10000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000), global = true)]
    pub(crate) most: Option<u32>,
    /// Look into the member accounts, too, for events that their rules could not forward
    #[arg(long, global = true)]
    pub(crate) members: bool,
    /// With --members, only this Region. May be given more than once
    #[arg(long = "region", value_name = "REGION", global = true)]
    pub(crate) regions: Vec<String>,
    /// With --members, what the names of the forwarding rules and their queues begin with [default: as --prefix]
    #[arg(long, value_name = "PREFIX", global = true)]
    pub(crate) rule_prefix: Option<String>,
    /// The role to assume in the member accounts, with its path if it has one
    #[arg(long, value_name = "NAME", default_value = "OrganizationAccountAccessRole", global = true)]
    pub(crate) member_role: String,
    /// A profile for one member account, by its name or id, in place of --member-role. May be given more than once
    #[arg(long = "member-profile", value_name = "ACCOUNT=PROFILE", value_parser = pair, global = true)]
    pub(crate) member_profiles: Vec<(String, String)>,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    /// The AWS profile of the hub account
    #[arg(long, value_name = "PROFILE", global = true)]
    pub(crate) profile: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Show what there is, why, and what would help. This is what happens when nothing is said.
    List,
    /// Put letters back where they came from; undelivered events go where they were to go.
    Redrive(Redrive),
    /// Delete letters for good.
    Drop(Drop),
}

/// What to redrive.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["all", "ids"]).multiple(false))]
pub(crate) struct Redrive {
    /// All of them, in all queues or in those of --queue
    #[arg(long)]
    pub(crate) all: bool,
    /// Only this one. May be given more than once
    #[arg(long = "id", value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Also what is known to come back, such as what can't be read
    #[arg(long)]
    pub(crate) force: bool,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to drop.
#[derive(Debug, Args)]
pub(crate) struct Drop {
    /// This one. May be given more than once
    #[arg(long = "id", value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
    /// Without asking
    #[arg(long)]
    pub(crate) yes: bool,
}
