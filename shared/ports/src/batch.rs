//! One SQS batch: each message stands alone, and one line at the end says what was done.

use std::collections::BTreeMap;

use manifold_core::event::BatchResponse;
use manifold_core::figures::{Figure, Unit};
use manifold_core::ids::AppName;
use manifold_core::time::{Span, Timestamp};

use crate::clock::Clock;

/// A message is not begun when less than this is left of the invocation: it would be killed halfway, and hold its
/// claim until the lease runs out.
pub const MARGIN: Span = Span::from_seconds(15);

/// What became of a batch: counted for the log, and which messages are to come again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    failed: Vec<String>,
    counts: BTreeMap<&'static str, u32>,
}

impl Report {
    /// Counts one more of something.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How many of something were counted.
    #[must_use]
    pub fn counted(&self, what: &str) -> u32 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Has a message come again, and says why in the log: after `maxReceiveCount` receives it is moved to the
    /// dead-letter queue, so nothing is lost.
    pub fn fail(&mut self, message_id: &str, receive_count: u32, error: &dyn std::error::Error) {
        self.count("failed");
        tracing::warn!(message_id, receive_count, error = %Chain(error), "message failed, it will come again");
        self.failed.push(message_id.to_owned());
    }

    /// The messages that are to come again.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.failed.iter().map(String::as_str)
    }

    /// Writes the one line that says what the invocation did, and answers Lambda.
    #[must_use]
    pub fn close(&self, function: &'static str, messages: usize) -> BatchResponse {
        let counts = self.counts.iter().map(|(what, count)| format!("{what}={count}")).collect::<Vec<_>>().join(" ");
        tracing::info!(function, messages, failed = self.failed.len(), counts, "batch done");
        BatchResponse::failing(self.failed.iter().cloned())
    }
}

/// The name under which [`metric`] is logged; the log makes a metric of such a line.
pub const METRIC: &str = "manifold::metric";

/// Counts something for CloudWatch. On Lambda it becomes a log line in the embedded metric format; nothing is called.
pub fn metric(function: &'static str, name: &'static str, count: u32) {
    tracing::info!(target: METRIC, function, metric = name, unit = Unit::Count.name(), value = count, "metric");
}

/// Measures an app's pipeline figures for CloudWatch, in the same way. Whoever committed what they tell of calls it, once.
pub fn figures(app: &AppName, figures: &[Figure]) {
    for figure in figures {
        let Figure { measure, stage, target, .. } = figure;
        let (value, target) = (figure.value(), target.as_ref().map(tracing::field::display));
        tracing::info!(
            target: METRIC,
            metric = measure.name(), unit = measure.unit().name(), value, App = %app, Stage = stage, target, "figure"
        );
    }
}

/// An error with all that caused it, for one line in a log: `failed to read: not found`. A cause that its effect
/// already quotes is not repeated.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !next.is_empty() && !words.contains(&next) {
                words.push_str(": ");
                words.push_str(&next);
            }
            cause = error.source();
        }
        f.write_str(&words)
    }
}

/// Whether there is time to begin another message.
#[must_use]
pub fn has_time(clock: &impl Clock, deadline: Timestamp) -> bool {
    clock.now().plus(MARGIN) < deadline
}

/// The invocation ends too soon to begin this message.
#[derive(Debug, thiserror::Error)]
#[error("too little time is left in this invocation")]
pub struct OutOfTime;
