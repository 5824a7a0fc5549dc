//! What is still to be done for a check, from its state alone: whatever a lost message or a dead worker left undone.
//!
//! It is simpler than a run's ([`crate::run::sweep`]), because [`super::settle()`] asks for what is missing by itself: it
//! is enough to have the check settled now and then until it has ended and is told. A scheduled check is kept a while
//! longer: that no other one followed it must be noticed by somebody who does not wait for the schedule.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::message::Note;
use super::{Cause, Last};
use crate::ids::RunId;
use crate::message::{Outgoing, Payload};
use crate::run::posting::Posting;
use crate::time::{Span, Timestamp};

/// After so long a check that goes on is settled for the first time: detections of small stacks have ended by then.
pub const FIRST: Span = Span::from_minutes(1);
/// The longest distance between two times.
pub const LONGEST: Span = Span::from_minutes(2);
/// How long a message that Slack does not take is tried again.
const TELL_FOR: Span = Span::from_minutes(60 * 24);
/// So much later than its turn a check is overdue, besides a whole turn that was left out: schedules are late at times.
const GRACE: Span = Span::from_minutes(15);

/// A check that is looked after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCheck {
    /// Which.
    pub check: RunId,
    /// Nothing is to be done before.
    pub asleep_until: Timestamp,
    /// The distance to the next time.
    pub pause: Span,
}

/// What a look at a check yields.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Watch {
    /// It need not be looked after any more.
    Done {
        /// Whether Slack has not been told how it ended, and nobody will try again.
        untold: bool,
    },
    /// It goes on.
    Open {
        /// To be stored once the messages are sent.
        open: OpenCheck,
        /// To be sent.
        messages: Vec<Outgoing>,
    },
}

impl OpenCheck {
    /// A check that was just opened.
    #[must_use]
    pub fn new(check: &Check) -> Self {
        Self { check: check.run.clone(), asleep_until: check.opened_at.plus(FIRST), pause: FIRST }
    }

    /// Looks at the check. `version` is its item's, `posting` where its message stands, `last` the app's last check.
    pub fn look(
        mut self,
        check: &Check,
        version: u64,
        posting: Option<&Posting>,
        last: Option<&Last>,
        now: Timestamp,
    ) -> Watch {
        let Some(closed) = check.closed() else {
            let settle = Outgoing::from(Payload::from(Note::Settle { check: check.run.clone() }));
            if now < check.due_at {
                // What is asked for just before the end must not keep the end waiting.
                self.asleep_until = now.plus(self.pause).min(check.due_at);
                self.pause = self.pause.plus(self.pause).min(LONGEST);
            } else {
                // Until it is done, at nearly every tick: the message may be lost again.
                self.asleep_until = now.plus(FIRST);
            }
            return Watch::Open { open: self, messages: vec![settle] };
        };
        let is_shown = posting.is_some_and(|posting| posting.refused.is_some() || posting.shown == Some(version));
        if check.is_told() && !is_shown {
            if now.since(check.overdue_at.unwrap_or(closed.at)) >= TELL_FOR {
                return Watch::Done { untold: true };
            }
            let tell = Outgoing::from(Payload::from(Note::Tell { check: check.run.clone() }));
            self.asleep_until = now.plus(LONGEST);
            return Watch::Open { open: self, messages: vec![tell] };
        }
        match overdue_from(check).filter(|_| last.is_some_and(|last| last.is_turn_of(&check.run))) {
            None => Watch::Done { untold: false },
            Some(_) if check.overdue_at.is_some() => Watch::Done { untold: false },
            Some(from) if now < from => {
                // Until the next one is there; it ends the same way.
                self.asleep_until = from;
                Watch::Open { open: self, messages: Vec::new() }
            }
            Some(_) => {
                self.asleep_until = now.plus(LONGEST);
                let settle = Outgoing::from(Payload::from(Note::Settle { check: check.run.clone() }));
                Watch::Open { open: self, messages: vec![settle] }
            }
        }
    }
}

/// From when on the check after a scheduled one is overdue.
#[must_use]
pub fn overdue_from(check: &Check) -> Option<Timestamp> {
    match &check.cause {
        Cause::Scheduled { slot, every } => Some(slot.plus(*every).plus(*every).plus(GRACE)),
        Cause::Asked { .. } => None,
    }
}
