//! Looking at targets for a drift check, with a role that can only read.

use std::future::Future;

use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::{Detection, Look};
use manifold_core::drift::sight::StackSight;
use manifold_core::drift::{Looks, Sight};
use manifold_core::ids::RunId;
use manifold_core::plan::PlannedTarget;
use manifold_core::time::Timestamp;

/// One target to look at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// For which check.
    pub check: &'a RunId,
    /// The target, as planned.
    pub planned: &'a PlannedTarget,
    /// What is looked at.
    pub looks: &'a Looks,
    /// Which look it is. At the second one CloudTrail is asked as well, if the plan says so.
    pub look: Look,
}

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The facts.
    pub sight: Sight,
    /// The pipeline's definition whose digest is among them.
    pub definition: Option<Normal>,
}

/// Looks at targets. Every look ends by its deadline; what was not seen by then is unanswered, never in sync.
pub trait Watch: Send + Sync {
    /// Looks at all that the plan names. Drift detections of stacks are started, and not waited for.
    fn look(&self, asked: Asked<'_>, deadline: Timestamp) -> impl Future<Output = Seen> + Send;

    /// Asks what became of drift detections. Those that are under way are told as such.
    fn detected(
        &self,
        asked: Asked<'_>,
        detections: &[Detection],
        deadline: Timestamp,
    ) -> impl Future<Output = Vec<StackSight>> + Send;
}

impl<T: Watch> Watch for &T {
    fn look(&self, asked: Asked<'_>, deadline: Timestamp) -> impl Future<Output = Seen> + Send {
        (**self).look(asked, deadline)
    }
    fn detected(
        &self,
        asked: Asked<'_>,
        detections: &[Detection],
        deadline: Timestamp,
    ) -> impl Future<Output = Vec<StackSight>> + Send {
        (**self).detected(asked, detections, deadline)
    }
}
