//! The life of the one Slack message of a run (law 3): posted once, edited in place.
//!
//! ```text
//!  nothing ── lease ──► sending ── Slack answered ──► posted ── lease ──► sending ──► posted …
//!                          │ worker died: the lease runs out, another worker takes over
//!                          └ permanent error: recorded, never tried again
//! ```
//!
//! An edit is due when the message that would be posted differs from the one that was. Edits keep a distance,
//! because `chat.update` is a Tier 3 method (50 a minute for a workspace); what is skipped is not lost, for the
//! next edit shows the state as it is then. A final message does not wait.

use serde::{Deserialize, Serialize};

use crate::ids::Nonce;
use crate::time::{Span, Timestamp};

/// The least time between two edits of a message that is not final.
const EDIT_EVERY: Span = Span::from_seconds(10);
/// The same for a run of more than [`LARGE`] targets: every edit reads all of them.
const EDIT_LARGE_EVERY: Span = Span::from_seconds(30);
/// More targets than this are many.
const LARGE: u32 = 500;
/// How long a worker may take to talk to Slack before another one takes over.
pub const LEASE: Span = Span::from_seconds(120);
/// How long a final webhook message waits for the reasons of its failures: it can't be edited.
pub const WAIT_FOR_REASONS: Span = Span::from_seconds(120);

/// The least time between two edits of the message of a run of this size, while it is not final.
#[must_use]
pub const fn edit_every(targets: u32) -> Span {
    if targets > LARGE { EDIT_LARGE_EVERY } else { EDIT_EVERY }
}

/// A message that Slack accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Slack's channel id; `chat.update` needs it. `None` for a webhook, which returns nothing.
    pub channel: Option<String>,
    /// Slack's `ts`, the message's id. `None` for a webhook.
    pub ts: Option<String>,
    /// A digest of what was posted.
    pub digest: String,
    /// When.
    pub at: Timestamp,
}

/// Where the message stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Posting {
    /// The summary, as last posted.
    pub message: Option<Posted>,
    /// The failures' details in its thread, as last posted.
    pub thread: Option<Posted>,
    /// Who is talking to Slack.
    pub lease: Option<Lease>,
    /// Somebody has promised to look again at this time.
    pub promised_at: Option<Timestamp>,
    /// Slack refused for good: a revoked hook, an archived channel. Never tried again.
    pub refused: Option<String>,
}

/// Who is talking to Slack, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub nonce: Nonce,
    /// From then on another worker may take over.
    pub until: Timestamp,
}

/// What is known of a run before its targets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// How many targets the run has.
    pub targets: u32,
    /// Whether nothing more is expected to change.
    pub is_final: bool,
    /// Whether Slack lets the message be edited: a webhook's can't be.
    pub can_edit: bool,
}

/// What could be posted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// A digest of the message.
    pub digest: &'a str,
    /// A digest of the thread's message, if the run has anything to put there.
    pub thread_digest: Option<&'a str>,
    /// Since when the message only waits for the reasons of failures; `None` when it does not.
    pub unexplained_since: Option<Timestamp>,
}

/// What to do about a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Talk to Slack. Commit this first: it holds the lease.
    Send {
        /// With the lease.
        posting: Posting,
    },
    /// Look again after this time. Commit this first, so that only one worker comes back.
    Later {
        /// With the promise.
        posting: Posting,
        /// How long.
        delay: Span,
    },
    /// Nothing to do, and why.
    Nothing(&'static str),
}

impl Posting {
    /// Decides without a draft, where it can: nearly every message finds that it is too early for an edit, and
    /// then the targets of the run need not be read.
    #[must_use]
    pub fn decide_early(&self, occasion: Occasion, nonce: &Nonce, now: Timestamp) -> Option<Decision> {
        if self.refused.is_some() {
            return Some(Decision::Nothing("Slack refused this run's summary for good"));
        }
        if !occasion.can_edit && !occasion.is_final {
            return Some(Decision::Nothing("a webhook's message can't be edited: it is posted at the end"));
        }
        if !occasion.can_edit && self.message.is_some() {
            return Some(Decision::Nothing("a webhook's message can't be edited: it was posted"));
        }
        if let Some(lease) = self.lease.as_ref().filter(|lease| lease.until > now && lease.nonce != *nonce) {
            return Some(self.look_again(lease.until, occasion, now));
        }
        let due = self.message.as_ref().filter(|_| !occasion.is_final)?.at.plus(edit_every(occasion.targets));
        (due > now).then(|| self.look_again(due, occasion, now))
    }

    /// Decides about a draft.
    #[must_use]
    pub fn decide(&self, occasion: Occasion, draft: Draft<'_>, nonce: &Nonce, now: Timestamp) -> Decision {
        if let Some(early) = self.decide_early(occasion, nonce, now) {
            return early;
        }
        let shown = |posted: &Option<Posted>, digest: &str| posted.as_ref().is_some_and(|p| p.digest == digest);
        let thread_shown = draft.thread_digest.is_none_or(|digest| shown(&self.thread, digest));
        if shown(&self.message, draft.digest) && thread_shown {
            return Decision::Nothing("the summary is up to date");
        }
        let waits_for_reasons = draft.unexplained_since.filter(|_| !occasion.can_edit);
        if let Some(due) = waits_for_reasons.map(|since| since.plus(WAIT_FOR_REASONS)).filter(|due| *due > now) {
            return self.look_again(due, occasion, now);
        }
        let lease = Lease { nonce: nonce.clone(), until: now.plus(LEASE) };
        Decision::Send { posting: Self { lease: Some(lease), promised_at: None, ..self.clone() } }
    }

    fn look_again(&self, at: Timestamp, occasion: Occasion, now: Timestamp) -> Decision {
        let in_time = at.plus(edit_every(occasion.targets));
        if self.promised_at.is_some_and(|promised| promised > now && promised <= in_time) {
            return Decision::Nothing("another worker has promised to look again");
        }
        Decision::Later { posting: Self { promised_at: Some(at), ..self.clone() }, delay: at.since(now) }
    }

    /// Without the lease: Slack was talked to, or can't be just now.
    #[must_use]
    pub fn released(&self) -> Self {
        Self { lease: None, ..self.clone() }
    }
}
