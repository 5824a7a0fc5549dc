//! Where releases come from: the release pipelines of the hub account.

use std::future::Future;

use manifold_core::ids::{ExecutionRef, PipelineName};
use manifold_core::release::{Revision, Stage, Trigger};

/// What the release pipeline's execution tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Its source revisions; a pipeline may have several sources.
    pub revisions: Vec<Revision>,
    /// Who or what started it.
    pub trigger: Trigger,
    /// The stages that it has gone through, in their order; none where its actions can't be read.
    pub stages: Vec<Stage>,
}

/// Why the details could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Throttled, timed out or not reached: try again.
    #[error("failed to read the release's details: {0}")]
    Unavailable(String),
    /// The execution does not exist, or may not be read: trying again would not help.
    #[error("the release's details can't be read: {0}")]
    Refused(String),
}

/// Reads the details of *that* execution, never of the pipeline's latest.
pub trait Releases: Send + Sync {
    /// The details of one execution.
    fn describe(
        &self,
        pipeline: &PipelineName,
        source: &ExecutionRef,
    ) -> impl Future<Output = Result<Details, ReleaseError>> + Send;
}

impl<T: Releases> Releases for &T {
    fn describe(
        &self,
        pipeline: &PipelineName,
        source: &ExecutionRef,
    ) -> impl Future<Output = Result<Details, ReleaseError>> + Send {
        (**self).describe(pipeline, source)
    }
}
