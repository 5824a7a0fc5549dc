//! Slack, as `summarize` needs it.

use std::future::Future;

use manifold_core::plan::Channel;
use manifold_core::summary::Payload;
use manifold_core::time::Span;

/// Why Slack did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// HTTP 429: come back after `Retry-After`.
    #[error("slack asks to wait {retry_after}")]
    RateLimited {
        /// How long.
        retry_after: Span,
    },
    /// Slack refused for good until a human acts: a revoked token or hook, an archived or unknown channel, or a
    /// message that it will never take. Slack's own code.
    #[error("slack refused: {code}")]
    Refused {
        /// Such as `channel_is_archived`.
        code: String,
    },
    /// A server error, a timeout, or a secret that could not be read: try again.
    #[error("slack is not available: {reason}")]
    Unavailable {
        /// In its own words, without the secret.
        reason: String,
    },
}

/// Where Slack put a message. Both are `None` for a webhook, which returns nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageRef {
    /// Slack's channel id.
    pub channel: Option<String>,
    /// Slack's `ts`.
    pub ts: Option<String>,
}

/// Posts and edits messages.
pub trait Slack: Send + Sync {
    /// Posts a message, in the thread of `thread` if given.
    fn post(
        &self,
        channel: &Channel,
        thread: Option<&MessageRef>,
        payload: &Payload,
    ) -> impl Future<Output = Result<MessageRef, SlackError>> + Send;

    /// Edits a message in place. Only a bot token can.
    fn edit(
        &self,
        channel: &Channel,
        message: &MessageRef,
        payload: &Payload,
    ) -> impl Future<Output = Result<(), SlackError>> + Send;
}

impl<T: Slack> Slack for &T {
    fn post(
        &self,
        channel: &Channel,
        thread: Option<&MessageRef>,
        payload: &Payload,
    ) -> impl Future<Output = Result<MessageRef, SlackError>> + Send {
        (**self).post(channel, thread, payload)
    }
    fn edit(
        &self,
        channel: &Channel,
        message: &MessageRef,
        payload: &Payload,
    ) -> impl Future<Output = Result<(), SlackError>> + Send {
        (**self).edit(channel, message, payload)
    }
}
