//! The ports on AWS.
//!
//! | module | implements | on |
//! |---|---|---|
//! | [`ledger`] | [`manifold_ports::ledger::Ledger`] | DynamoDB |
//! | [`open_runs`] | [`manifold_ports::ledger::OpenRuns`] | DynamoDB |
//! | [`pace`] | [`manifold_ports::pace::Paces`] | DynamoDB |
//! | [`queues`] | [`manifold_ports::queues::Queues`] | SQS |
//! | `engine` (a Cargo feature, `engines`) | [`manifold_ports::engine::Engine`], [`manifold_ports::checkup::Access`] | CodePipeline, CodeBuild, CloudFormation and CodeDeploy in the target accounts |
//! | `engine` (of the same feature) | [`manifold_ports::drift::Revert`] | CloudFormation in the target accounts |
//! | [`releases`] | [`manifold_ports::releases::Releases`] | CodePipeline in the hub account |
//! | [`slack`] | [`manifold_ports::slack::Slack`], [`manifold_ports::checkup::LookAtSlack`] | Slack's Web API and incoming webhooks |
//! | `inspect` (a Cargo feature of that name) | [`manifold_ports::checkup::Inspect`] | EventBridge, CodePipeline and IAM |
//! | `watch` (of the same feature) | [`manifold_ports::drift::Watch`] | CodePipeline, CloudFormation and CloudTrail |
//! | [`secrets`] | [`manifold_ports::signing::Signing`] | Secrets Manager and Parameter Store |
//! | [`clock`] | [`manifold_ports::clock::Clock`] | the host |
//!
//! What they share: [`clients`] builds the SDK's clients, [`credentials`] assumes the roles of target accounts,
//! [`secrets`] reads secrets, [`env`](mod@env) names every environment variable, [`telemetry`] writes the log and
//! [`lambda`] serves a function.
//!
//! **Invariant:** nothing here decides about runs. An adapter does what it is told and tells what happened, in the
//! words of its port; which failure means what for a target is written down in one table per service.
//!
//! Calls to the SDK are boxed: their futures are kilobytes large and nest a hundred types deep, which a caller would
//! otherwise carry in its own.

mod backoff;
pub mod clients;
pub mod clock;
pub mod credentials;
#[cfg(feature = "engines")]
pub mod engine;
pub mod env;
mod failure;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod jobs;
pub mod lambda;
pub mod ledger;
mod look;
pub mod open_runs;
pub mod pace;
pub mod queues;
mod random;
pub mod releases;
pub mod secrets;
pub mod slack;
pub mod telemetry;
#[cfg(feature = "inspect")]
pub mod watch;

pub use backoff::Backoff;
