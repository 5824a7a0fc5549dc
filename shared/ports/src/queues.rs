//! The queues between the functions.

use std::future::Future;

use manifold_core::message::Outgoing;

/// Some messages were not accepted. Nothing is lost: what they say follows from the ledger, and the message that
/// caused them is redelivered.
#[derive(Debug, thiserror::Error)]
#[error("failed to send {unsent} of {total} messages: {reason}")]
pub struct SendError {
    /// How many were not accepted.
    pub unsent: usize,
    /// Of how many.
    pub total: usize,
    /// The first reason.
    pub reason: String,
}

/// Sends messages.
pub trait Queues: Send + Sync {
    /// Sends all of them; their order does not matter.
    fn send(&self, messages: Vec<Outgoing>) -> impl Future<Output = Result<(), SendError>> + Send;
}

impl<T: Queues> Queues for &T {
    fn send(&self, messages: Vec<Outgoing>) -> impl Future<Output = Result<(), SendError>> + Send {
        (**self).send(messages)
    }
}
