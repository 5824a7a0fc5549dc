//! One look of a checkup: tried again while it is throttled, and ended by the function's deadline.

use std::future::Future;
use std::time::Duration;

use manifold_core::checkup::Tried;
use manifold_core::time::Timestamp;
use manifold_ports::checkup::{ANSWER_MARGIN, out_of_time};
use manifold_ports::clock::Clock;

use crate::backoff::Backoff;
use crate::failure::{Failure, Kind};

/// How long and how often a look is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a, C> {
    pub(crate) clock: &'a C,
    /// When Lambda ends the invocation.
    pub(crate) deadline: Timestamp,
    pub(crate) backoff: Backoff,
}

impl<C: Clock> Patience<'_, C> {
    /// What a call saw.
    pub(crate) async fn look<T, F, Answer>(&self, call: F) -> Tried<T>
    where
        F: Fn() -> Answer,
        Answer: Future<Output = Result<T, Failure>>,
    {
        let tries = async {
            let mut failed = 0;
            loop {
                let failure = match Box::pin(call()).await {
                    Ok(seen) => return Tried::Done(seen),
                    Err(failure) => failure,
                };
                failed += 1;
                if failure.kind != Kind::Throttled || !self.backoff.again(failed).await {
                    return tried(failure);
                }
            }
        };
        self.within(tries).await.unwrap_or_else(out_of_time)
    }

    /// What comes of it, if that comes while there is time to tell. It is not even begun when nothing is left.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let left = self.deadline.since(self.clock.now().plus(ANSWER_MARGIN));
        let left = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(0));
        if left.is_zero() { None } else { tokio::time::timeout(left, work).await.ok() }
    }
}

/// A failed call as a look.
pub(crate) fn tried<T>(failure: Failure) -> Tried<T> {
    match failure.kind {
        Kind::Throttled | Kind::Unreached => Tried::Unanswered { reason: failure.words() },
        Kind::Refused => Tried::Refused { code: failure.code, message: failure.message },
    }
}
