//! The queues between the functions, on SQS.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::stream::{self, StreamExt};
use manifold_core::message::{Message, Outgoing, Queue};
use manifold_ports::queues::{Queues, SendError};

use crate::backoff::Backoff;
use crate::env::{self, EnvError};
use crate::failure::Failure;

/// "The maximum allowed individual message size and the maximum total payload size are both 1 MiB" and "up to 10
/// messages" (`SendMessageBatch`).
const MAX_BATCH_BYTES: usize = 1_048_576;
const MAX_BATCH: usize = 10;
/// How many batches are on their way at the same time, over all queues.
const CONCURRENT_BATCHES: usize = 8;

/// Sends to SQS.
#[derive(Debug, Clone)]
pub struct SqsQueues {
    client: Client,
    urls: BTreeMap<Queue, String>,
    backoff: Backoff,
}

/// A message, encoded.
#[derive(Debug, Clone)]
struct Encoded {
    body: String,
    delay: i32,
}

/// Messages of one call.
struct Batch<'a> {
    url: &'a str,
    messages: Vec<Encoded>,
}

/// What was not accepted.
#[derive(Debug, Default)]
struct Unsent {
    count: usize,
    reason: Option<String>,
}

impl SqsQueues {
    /// To the queues with these URLs. A message to any other queue is an error when it is sent.
    #[must_use]
    pub fn new(client: Client, urls: BTreeMap<Queue, String>) -> Self {
        Self { client, urls, backoff: Backoff::default() }
    }

    /// To the queues that a function sends to, with their URLs from the environment.
    ///
    /// # Errors
    /// A URL is not set.
    pub fn from_env(client: Client, queues: &[Queue]) -> Result<Self, EnvError> {
        let urls: Result<_, EnvError> =
            queues.iter().map(|queue| Ok((*queue, env::queue_url(*queue).required()?))).collect();
        Ok(Self::new(client, urls?))
    }

    /// With other waits between tries.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Sends one batch, and again what SQS did not accept for reasons of its own.
    async fn send_batch(&self, batch: Batch<'_>) -> Unsent {
        let Batch { url, messages: mut left } = batch;
        let mut unsent = Unsent::default();
        let mut tries = 0;
        loop {
            tries += 1;
            let output = self.client.send_message_batch().queue_url(url).set_entries(entries(&left)).send().await;
            let failed = match output {
                Ok(output) => output.failed,
                Err(error) => {
                    unsent.add(left.len(), Failure::of(&error).words());
                    return unsent;
                }
            };
            let mut again = Vec::new();
            let mut reason = String::new();
            for entry in failed {
                let words = format!("{}: {}", entry.code, entry.message.as_deref().unwrap_or("no message"));
                let index = entry.id.parse::<usize>().ok();
                match index.and_then(|index| left.get(index)) {
                    Some(message) if !entry.sender_fault => {
                        again.push(message.clone());
                        reason = words;
                    }
                    Some(_) | None => unsent.add(1, words),
                }
            }
            if again.is_empty() {
                return unsent;
            }
            if !self.backoff.again(tries).await {
                unsent.add(again.len(), reason);
                return unsent;
            }
            left = again;
        }
    }
}

impl Unsent {
    fn add(&mut self, count: usize, reason: String) {
        self.count += count;
        self.reason.get_or_insert(reason);
    }
}

impl Queues for SqsQueues {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), SendError> {
        let total = messages.len();
        let mut unsent = Unsent::default();
        let mut by_queue: BTreeMap<&str, Vec<Encoded>> = BTreeMap::new();
        for message in messages {
            let seconds = message.delay_seconds();
            let Outgoing { queue, payload, .. } = message;
            let Some(url) = self.urls.get(&queue) else {
                unsent.add(1, format!("{} is not set", env::queue_url(queue).name));
                continue;
            };
            match (Message::new(payload).encode(), i32::try_from(seconds)) {
                (Ok(body), Ok(delay)) => by_queue.entry(url).or_default().push(Encoded { body, delay }),
                (Err(error), _) => unsent.add(1, error.to_string()),
                (_, Err(error)) => unsent.add(1, error.to_string()),
            }
        }
        let mut calls = Vec::new();
        for (url, messages) in by_queue {
            for messages in batches(messages) {
                calls.push(Box::pin(self.send_batch(Batch { url, messages })));
            }
        }
        let mut results = stream::iter(calls).buffer_unordered(CONCURRENT_BATCHES);
        while let Some(Unsent { count, reason }) = results.next().await {
            if let Some(reason) = reason {
                unsent.add(count, reason);
            }
        }
        match unsent.reason {
            None => Ok(()),
            Some(reason) => Err(SendError { unsent: unsent.count, total, reason }),
        }
    }
}

/// Cuts messages into calls. A message that is too large for any call goes alone, and SQS says so.
fn batches(messages: Vec<Encoded>) -> Vec<Vec<Encoded>> {
    let mut batches: Vec<Vec<Encoded>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH && bytes + message.body.len() <= MAX_BATCH_BYTES => {
                bytes += message.body.len();
                batch.push(message);
            }
            Some(_) | None => {
                bytes = message.body.len();
                batches.push(vec![message]);
            }
        }
    }
    batches
}

/// The entries of one call; a message's id is its position. A message that lacks what the SDK demands is left out by
/// `None`, which SQS refuses by name.
fn entries(messages: &[Encoded]) -> Option<Vec<SendMessageBatchRequestEntry>> {
    let entry = |(index, message): (usize, &Encoded)| {
        SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(&message.body)
            .set_delay_seconds((message.delay > 0).then_some(message.delay))
            .build()
            .ok()
    };
    messages.iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: usize) -> Encoded {
        Encoded { body: "x".repeat(bytes), delay: 0 }
    }

    fn sizes(batches: &[Vec<Encoded>]) -> Vec<usize> {
        batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_holds_at_most_ten_messages_and_one_mebibyte() {
        assert_eq!(sizes(&batches((0..23).map(|_| sized(200)).collect())), [10, 10, 3]);
        assert_eq!(sizes(&batches((0..5).map(|_| sized(400_000)).collect())), [2, 2, 1]);
        assert_eq!(sizes(&batches(vec![sized(1), sized(2_000_000), sized(1)])), [1, 1, 1]);
        assert_eq!(sizes(&batches(vec![sized(524_288), sized(524_288), sized(1)])), [2, 1]);
        assert!(batches(Vec::new()).is_empty());
    }
}
