//! Jobs of a release pipeline that waits for a run.

use std::future::Future;

use manifold_core::invoke::Told;

use crate::releases::ReleaseError;

/// Tells CodePipeline what became of a job.
pub trait Jobs: Send + Sync {
    /// Tells it. A job that is over, or was told of already, is left as it is.
    fn tell(&self, job: &str, told: &Told) -> impl Future<Output = Result<(), ReleaseError>> + Send;
}

impl<T: Jobs> Jobs for &T {
    fn tell(&self, job: &str, told: &Told) -> impl Future<Output = Result<(), ReleaseError>> + Send {
        (**self).tell(job, told)
    }
}
