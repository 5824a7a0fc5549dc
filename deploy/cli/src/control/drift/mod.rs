//! The commands of drift checks: `drift`, and its `show`, `list`, `diff`, `accept`, `ignore`, `revert`.

mod ask;
mod diff;
mod find;
mod look;
pub(crate) mod options;
mod orders;

use anyhow::Result;
use manifold_core::drift::report::Report;

use super::Desk;
use super::site::Site;
use crate::args::{EXIT_DRIFT, EXIT_UNSEEN};
use options::{Drift, Verb};

/// How much of somebody's words is shown.
const WORDS: usize = 300;

/// Does what is asked for. Returns the exit status.
pub(super) async fn drift<S: Site>(options: &Drift, desk: &mut Desk<'_, S>) -> Result<u8> {
    let output = options.common.output;
    match &options.verb {
        None => ask::ask(&options.look, output, desk).await,
        Some(Verb::Show(options)) => look::show(options, output, desk).await,
        Some(Verb::List(options)) => look::list(options, output, desk).await,
        Some(Verb::Diff(options)) => diff::diff(options, output, desk).await,
        Some(Verb::Accept(options)) => orders::accept(options, output, desk).await,
        Some(Verb::Ignore(options)) => orders::ignore(options, output, desk).await,
        Some(Verb::Revert(options)) => orders::revert(options, output, desk).await,
    }
}

/// The exit status of a check.
fn status(report: &Report) -> u8 {
    match (report.is_closed(), report.has_drift(), report.has_unknown()) {
        (false, _, _) => super::EXIT_UNKNOWN,
        (true, true, _) => EXIT_DRIFT,
        (true, false, true) => EXIT_UNSEEN,
        (true, false, false) => 0,
    }
}

/// The exit status that speaks for all: what is worst comes last.
fn worst(statuses: impl IntoIterator<Item = u8>) -> u8 {
    const BADNESS: [u8; 5] = [0, EXIT_UNSEEN, EXIT_DRIFT, super::EXIT_UNKNOWN, super::EXIT_REFUSED];
    let badness = |status: &u8| BADNESS.iter().position(|known| known == status);
    statuses.into_iter().max_by_key(badness).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_status_speaks_for_all_apps() {
        assert_eq!(worst([]), 0);
        assert_eq!(worst([0, EXIT_UNSEEN, 0]), EXIT_UNSEEN);
        assert_eq!(worst([EXIT_DRIFT, EXIT_UNSEEN, 0]), EXIT_DRIFT);
        assert_eq!(worst([EXIT_DRIFT, 7]), 7);
        assert_eq!(worst([1, 7, EXIT_DRIFT]), 1);
    }
}
