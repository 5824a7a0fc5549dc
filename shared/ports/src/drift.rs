//! Looking at targets for a drift check, with a role that can only read; and preparing, on request, what takes a stack back
//! to its template.

use std::future::Future;

use manifold_core::checkup::Tried;
use manifold_core::drift::definition::Normal;
use manifold_core::drift::message::{Detection, Look};
use manifold_core::drift::sight::StackSight;
use manifold_core::drift::{Looks, Sight};
use manifold_core::ids::{Nonce, RunId};
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

/// A stack that somebody wants taken back to its template.
#[derive(Debug, Clone, Copy)]
pub struct ToRevert<'a> {
    /// The check that found it drifted.
    pub check: &'a RunId,
    /// The target, as planned.
    pub planned: &'a PlannedTarget,
    /// The stack's name.
    pub stack: &'a str,
    /// The command that wants it.
    pub command: &'a Nonce,
}

impl ToRevert<'_> {
    /// The name of the change set: the same for every delivery of the command. "`[a-zA-Z][-a-zA-Z0-9]*`", at most 128
    /// characters (`CreateChangeSet`, `ChangeSetName`).
    #[must_use]
    pub fn name(&self) -> String {
        let command = self.command.as_str().chars();
        let plain = command.map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        format!("manifold-{}", plain.collect::<String>())
    }
}

/// A change set that was created, for a person to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// Its page in the console; `None` in a partition without one.
    pub link: Option<String>,
}

/// Prepares change sets that take stacks back to their templates, with a role that is assumed in the target account.
pub trait Revert: Send + Sync {
    /// Creates the change set, and executes nothing. Called again with the same command, it creates nothing more.
    fn prepare(&self, revert: ToRevert<'_>) -> impl Future<Output = Tried<Prepared>> + Send;
}

impl<T: Revert> Revert for &T {
    fn prepare(&self, revert: ToRevert<'_>) -> impl Future<Output = Tried<Prepared>> + Send {
        (**self).prepare(revert)
    }
}
