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
    /// Slack refused the message for good: a revoked hook, an archived channel. Never tried again.
    pub refused: Option<String>,
    /// Slack refused the details for good. Never tried again; the message itself goes on.
    #[serde(default)]
    pub thread_refused: Option<String>,
    /// The version of the run's head whose state stands in Slack: another one, and the message is behind.
    #[serde(default)]
    pub shown: Option<u64>,
    /// When the final message was last compared with the run's facts, as they were then, and found to show them.
    #[serde(default)]
    pub compared_at: Option<Timestamp>,
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
    /// The version of the run's head.
    pub version: u64,
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
    /// When reading the facts began that it shows.
    pub as_of: Timestamp,
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
    /// What stands in Slack is up to date, and the record does not say so yet. Commit this.
    Record {
        /// With the version that is shown.
        posting: Posting,
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
        let thread_shown =
            self.thread_refused.is_some() || draft.thread_digest.is_none_or(|digest| shown(&self.thread, digest));
        if shown(&self.message, draft.digest) && thread_shown {
            // Whoever held the lease is gone, and left nothing undone.
            let compared_at = if occasion.is_final { Some(draft.as_of) } else { self.compared_at };
            let posting = Self { shown: Some(occasion.version), lease: None, compared_at, ..self.clone() };
            return match posting == *self {
                true => Decision::Nothing("the summary is up to date"),
                false => Decision::Record { posting },
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Occasion = Occasion { targets: 10, is_final: false, can_edit: true, version: 7 };
    const HOOK: Occasion = Occasion { targets: 10, is_final: false, can_edit: false, version: 7 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn nonce(name: &str) -> Nonce {
        name.parse().unwrap()
    }

    fn draft(digest: &str) -> Draft<'_> {
        Draft { digest, thread_digest: None, unexplained_since: None, as_of: at(0) }
    }

    fn is_final(occasion: Occasion) -> Occasion {
        Occasion { is_final: true, ..occasion }
    }

    fn posted(digest: &str, second: i64) -> Option<Posted> {
        Some(Posted { channel: None, ts: None, digest: digest.to_owned(), at: at(second) })
    }

    fn sends(decision: &Decision) -> bool {
        matches!(decision, Decision::Send { .. })
    }

    fn waits(decision: Decision) -> (Posting, Span) {
        match decision {
            Decision::Later { posting, delay } => (posting, delay),
            other @ (Decision::Send { .. } | Decision::Record { .. } | Decision::Nothing(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_message_is_sent_with_a_lease_and_the_same_one_is_not_sent_again() {
        let Decision::Send { posting } = Posting::default().decide(BOT, draft("a"), &nonce("me"), at(0)) else {
            panic!()
        };
        assert_eq!(posting.lease, Some(Lease { nonce: nonce("me"), until: at(0).plus(LEASE) }));
        let stands = Posting { message: posted("a", 0), shown: Some(7), ..Posting::default() };
        assert!(matches!(stands.decide(BOT, draft("a"), &nonce("me"), at(60)), Decision::Nothing(_)));
        assert!(sends(&stands.decide(BOT, draft("b"), &nonce("me"), at(60))));
    }

    #[test]
    fn what_is_found_up_to_date_is_recorded_once_and_a_lease_that_ran_out_goes_with_it() {
        let lease = Some(Lease { nonce: nonce("other"), until: at(120) });
        let stands = Posting { message: posted("a", 0), lease, ..Posting::default() };
        let Decision::Record { posting } = stands.decide(BOT, draft("a"), &nonce("me"), at(120)) else { panic!() };
        assert_eq!((posting.shown, &posting.lease), (Some(7), &None));
        assert!(matches!(posting.decide(BOT, draft("a"), &nonce("me"), at(120)), Decision::Nothing(_)));
    }

    #[test]
    fn a_final_message_that_shows_how_it_is_says_as_of_when() {
        let stands = Posting { message: posted("a", 0), shown: Some(7), ..Posting::default() };
        let draft = Draft { as_of: at(60), ..draft("a") };
        assert!(matches!(stands.decide(BOT, draft, &nonce("me"), at(61)), Decision::Nothing(_)), "not yet final");
        let Decision::Record { posting } = stands.decide(is_final(BOT), draft, &nonce("me"), at(61)) else { panic!() };
        assert_eq!(posting.compared_at, Some(at(60)));
    }

    #[test]
    fn an_edit_that_comes_too_early_is_promised_once() {
        let stands = Posting { message: posted("a", 0), ..Posting::default() };
        let (promised, delay) = waits(stands.decide(BOT, draft("b"), &nonce("me"), at(4)));
        assert_eq!((promised.promised_at, delay), (Some(at(10)), Span::from_seconds(6)));
        assert!(matches!(promised.decide(BOT, draft("c"), &nonce("other"), at(5)), Decision::Nothing(_)));
        assert!(sends(&promised.decide(BOT, draft("c"), &nonce("me"), at(10))), "the promise is kept");
    }

    #[test]
    fn a_final_message_does_not_wait_and_a_large_run_waits_longer() {
        let stands = Posting { message: posted("a", 0), promised_at: Some(at(10)), ..Posting::default() };
        assert!(sends(&stands.decide(is_final(BOT), draft("b"), &nonce("me"), at(1))));
        let large = Occasion { targets: 10_000, ..BOT };
        let (_, delay) = waits(stands.decide(large, draft("b"), &nonce("me"), at(11)));
        assert_eq!(delay, Span::from_seconds(19));
    }

    #[test]
    fn whoever_holds_the_lease_is_waited_for_until_it_runs_out() {
        let lease = Some(Lease { nonce: nonce("other"), until: at(120) });
        let leased = Posting { lease, ..Posting::default() };
        let (promised, delay) = waits(leased.decide(is_final(BOT), draft("a"), &nonce("me"), at(20)));
        assert_eq!((promised.promised_at, delay), (Some(at(120)), Span::from_seconds(100)));
        assert!(sends(&leased.decide(BOT, draft("a"), &nonce("me"), at(120))), "it died");
        assert!(sends(&leased.decide(BOT, draft("a"), &nonce("other"), at(20))), "it is ours");
    }

    #[test]
    fn a_webhook_is_told_once_at_the_end_and_waits_a_while_for_reasons() {
        let fresh = Posting::default();
        assert!(matches!(fresh.decide(HOOK, draft("a"), &nonce("me"), at(0)), Decision::Nothing(_)));
        let unexplained = Draft { unexplained_since: Some(at(100)), ..draft("a") };
        let (_, delay) = waits(fresh.decide(is_final(HOOK), unexplained, &nonce("me"), at(101)));
        assert_eq!(delay, Span::from_seconds(119));
        assert!(sends(&fresh.decide(is_final(HOOK), unexplained, &nonce("me"), at(220))), "the reasons never came");
        assert!(sends(&fresh.decide(is_final(HOOK), draft("a"), &nonce("me"), at(101))));
        let told = Posting { message: posted("a", 101), ..Posting::default() };
        assert!(matches!(told.decide(is_final(HOOK), draft("b"), &nonce("me"), at(999)), Decision::Nothing(_)));
    }

    #[test]
    fn a_refusal_for_good_ends_the_message_and_one_of_the_details_only_the_details() {
        let refused = Posting { refused: Some("channel_is_archived".to_owned()), ..Posting::default() };
        assert!(matches!(refused.decide(is_final(BOT), draft("a"), &nonce("me"), at(0)), Decision::Nothing(_)));
        let without_details = Posting {
            message: posted("a", 0),
            thread_refused: Some("msg_too_long".to_owned()),
            shown: Some(7),
            ..Posting::default()
        };
        let details = |digest| Draft { thread_digest: Some("details"), ..draft(digest) };
        assert!(!sends(&without_details.decide(is_final(BOT), details("a"), &nonce("me"), at(60))));
        assert!(sends(&without_details.decide(is_final(BOT), details("b"), &nonce("me"), at(60))));
    }
}
