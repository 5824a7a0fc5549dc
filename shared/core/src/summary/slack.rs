//! The message as Slack takes it.
use super::{Payload, Summary};

/// The summary.
#[must_use]
pub fn message(summary: &Summary) -> Payload {
    Payload { text: summary.app.to_string(), blocks: Vec::new() }
}
/// The thread.
#[must_use]
pub fn thread(summary: &Summary) -> Option<Payload> {
    let _ = summary;
    None
}
