//! What will happen to a build, a deployment or a stack, in order.

use std::collections::VecDeque;

use manifold_core::time::{Span, Timestamp};

/// Steps, each with the time at which it is due.
#[derive(Debug, Clone)]
pub(super) struct Timeline<S>(VecDeque<(Timestamp, S)>);

impl<S> Default for Timeline<S> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<S> Timeline<S> {
    /// Spreads steps evenly: the last one is due at `start` and `span`.
    pub(super) fn spread(start: Timestamp, span: Span, steps: Vec<S>) -> Self {
        let count = i64::try_from(steps.len()).unwrap_or(1).max(1);
        let due = |number: i64| start.plus(Span::from_millis(span.as_millis() * number / count));
        Self((1_i64..).map(due).zip(steps).collect())
    }

    /// When the next step is due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.front().map(|(at, _)| *at)
    }

    /// Takes the next step, if it is due by then.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<S> {
        if self.next_at()? > now {
            return None;
        }
        self.next()
    }

    /// Takes the next step, whenever it is due.
    pub(super) fn next(&mut self) -> Option<S> {
        self.0.pop_front().map(|(_, step)| step)
    }
}
