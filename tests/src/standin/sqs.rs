//! SQS: five queues that accept batches. What was accepted is handed out by the driver, not by `ReceiveMessage`:
//! on AWS, Lambda does that.

use std::collections::BTreeSet;

use manifold_core::message::Queue;
use manifold_core::time::Span;
use manifold_ports::clock::Clock;
use serde_json::{Value, json};

use super::{Answered, HUB_ACCOUNT, Mail, State, fields, list, ok, text, uuid};

/// "The maximum allowed individual message size and the maximum total payload size" (`SendMessageBatch`).
const MAX_BYTES: usize = 1_048_576;

#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    pub(crate) mail: Vec<Mail>,
    accepted: u64,
}

pub(crate) fn url(base: &str, queue: Queue) -> String {
    let name = match queue {
        Queue::Dispatch => "dispatch",
        Queue::Deploy => "deploy",
        Queue::Collect => "collect",
        Queue::Summarize => "summarize",
        Queue::Inspect => "inspect",
    };
    format!("{base}/{HUB_ACCOUNT}/manifold-{name}")
}

impl State {
    pub(super) fn sqs(&mut self, operation: &str, body: &Value) -> Answered {
        if operation != "SendMessageBatch" {
            return Err(format!("the queues are not asked for {operation}"));
        }
        let body = fields(body, &["QueueUrl", "Entries"])?;
        let asked = text(body, "QueueUrl")?;
        let queue = Queue::ALL.into_iter().find(|queue| url(&self.uri, *queue) == asked);
        let queue = queue.ok_or_else(|| format!("there is no queue {asked}"))?;
        let entries = list(body, "Entries")?;
        let (mut ids, mut bytes, mut accepted, mut answers) = (BTreeSet::new(), 0, Vec::new(), Vec::new());
        for entry in entries {
            let entry = fields(entry, &["Id", "MessageBody", "DelaySeconds"])?;
            let (id, message) = (text(entry, "Id")?, text(entry, "MessageBody")?);
            let delay = entry.get("DelaySeconds").map_or(Some(0), Value::as_i64);
            let delay = delay.filter(|delay| (0..=900).contains(delay)).ok_or("a delay is beyond 0 to 900 seconds")?;
            if !ids.insert(id) || id.len() > 80 {
                return Err(format!("the id {id} is not distinct, or too long"));
            }
            bytes += message.len();
            // "#x9 | #xA | #xD | #x20 to #xD7FF | …" (`SendMessageBatch`, characters that a message may have).
            if message.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
                return Err("a message has characters that SQS does not take".to_owned());
            }
            self.queues.accepted += 1;
            let message_id = uuid(0x5b5, self.queues.accepted);
            // The adapters do not check the digest, so that there is no MD5 in this workspace.
            answers.push(json!({"Id": id, "MessageId": message_id, "MD5OfMessageBody": "0".repeat(32)}));
            let due = self.clock.now().plus(Span::from_seconds(delay));
            accepted.push(Mail { queue, id: message_id, body: message.to_owned(), due });
        }
        if !(1..=10).contains(&entries.len()) || bytes > MAX_BYTES {
            return Err(format!("{} messages of {bytes} bytes in one batch", entries.len()));
        }
        self.queues.mail.extend(accepted);
        Ok(ok(&json!({"Successful": answers, "Failed": []})))
    }
}
