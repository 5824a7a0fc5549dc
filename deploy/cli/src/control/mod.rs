//! The commands that control rollouts: `plan`, `start`, `status`, `watch`, `history`, `stats`, `show`, `why`, `replay`, `approve`,
//! `reject`, `pause`, `resume`, `abort`, `retry`, `rollback`; and those of [drift checks](drift).
//!
//! Each is written once, over a [`Site`]: AWS, or the embedded world in which `manifold play` runs scenarios.

#[cfg(feature = "aws")]
mod aws;
pub(crate) mod drift;
pub(crate) mod embedded;
mod find;
mod look;
pub(crate) mod options;
mod orders;
mod plan;
mod preview;
mod replay;
mod requests;
pub(crate) mod site;
mod stats;
mod watch;

use anyhow::Result;
use manifold_fleet::Fleet;

use options::Verb;
use site::Site;

#[cfg(feature = "aws")]
pub(crate) use aws::control;
pub(crate) use replay::offline;

/// It was refused.
pub(crate) const EXIT_REFUSED: u8 = 1;
/// Nobody agreed.
pub(crate) const EXIT_DECLINED: u8 = 3;
/// Nothing is known of it yet.
pub(crate) const EXIT_UNKNOWN: u8 = 7;

/// Where a command is given, and where its answer goes.
pub(crate) struct Desk<'a, S> {
    /// The place where Manifold runs.
    pub(crate) site: &'a S,
    /// The fleet file, if one was named.
    pub(crate) fleet: Option<&'a Fleet>,
    /// Takes the answer, line by line or all of it.
    pub(crate) tell: &'a mut dyn FnMut(&str) -> Result<()>,
    /// Whether progress is redrawn on standard error.
    pub(crate) live: bool,
}

/// Does what is asked for. Returns the exit status.
///
/// # Errors
/// What is named is not there, or what is needed could not be read.
pub(crate) async fn run<S: Site>(verb: &Verb, desk: &mut Desk<'_, S>) -> Result<u8> {
    match verb {
        Verb::Plan(options) => plan::plan(options, desk).await,
        Verb::Start(options) => requests::start(options, desk).await,
        Verb::Status(options) => look::status(options, desk).await,
        Verb::Watch(options) => watch::watch(options, desk).await,
        Verb::History(options) => look::history(options, desk).await,
        Verb::Stats(options) => stats::stats(options, desk).await,
        Verb::Show(options) => look::show(options, desk).await,
        Verb::Why(options) => look::why(options, desk).await,
        Verb::Replay(options) => replay::replay(options, desk).await,
        Verb::Approve(options) => orders::approve(options, desk).await,
        Verb::Reject(options) => orders::reject(options, desk).await,
        Verb::Pause(options) => orders::pause(options, desk).await,
        Verb::Resume(options) => orders::resume(options, desk).await,
        Verb::Abort(options) => orders::abort(options, desk).await,
        Verb::Retry(options) => requests::retry(options, desk).await,
        Verb::Rollback(options) => requests::rollback(options, desk).await,
        Verb::Drift(options) => drift::drift(options, desk).await,
    }
}
