//! One queue of dead letters: looked at, and taken from.
//!
//! There is one way for every queue and every choice: receive, send, delete. SQS's own `StartMessageMoveTask` is not it.
//! It moves a whole queue, what would only come back included; and only of queues that are the dead-letter queue of
//! another *queue* (SQS API reference, `StartMessageMoveTask`), which that for undelivered events is not.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName,
};
use futures::stream::{self, StreamExt};
use manifold_core::deadletter::{Place, Undelivered};
use manifold_core::time::Timestamp;

use crate::aws::Refusal;
use crate::say;

/// "Valid values: 1 to 10" (`ReceiveMessage`, `MaxNumberOfMessages`); batches have as many entries at most.
const MOST_AT_ONCE: usize = 10;
/// How long a letter that is looked at stays hidden if the command dies, at least.
const HIDDEN_SECONDS: usize = 30;
/// As many letters are received in a second, at the least.
const RECEIVED_A_SECOND: usize = 100;
/// A long poll asks all of SQS's servers: an empty answer means that there is nothing more to receive. A short one asks
/// some of them (SQS Developer Guide, "Amazon SQS short and long polling").
const WAIT_SECONDS: i32 = 1;
/// How many letters are moved at the same time.
const MOVED_AT_ONCE: usize = 8;

/// A queue in which letters lie.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// What it holds.
    pub(crate) place: Place,
    /// Its name, with the account and Region if it is not the hub's.
    pub(crate) name: String,
    client: Client,
    url: String,
}

/// A letter as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// SQS's id of it. A letter keeps the id that it had in the queue that gave it up.
    pub(crate) id: String,
    /// The body.
    pub(crate) body: String,
    /// When it was first sent; a dead letter keeps that, too.
    pub(crate) sent_at: Option<Timestamp>,
    /// How often it was received, by functions and by looks.
    pub(crate) received: u32,
    /// What EventBridge noted with it.
    pub(crate) undelivered: Option<Undelivered>,
    attributes: Option<HashMap<String, MessageAttributeValue>>,
    receipt: String,
}

/// What a look saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The letters.
    pub(crate) letters: Vec<Found>,
    /// How many more there are, about.
    pub(crate) more: usize,
    /// How many somebody else is looking at just now, about.
    pub(crate) hidden: usize,
}

/// What is to become of a letter that is taken.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// Sent to the queue with this URL, then deleted.
    Sent { client: Client, url: String },
    /// Deleted.
    Dropped,
}

/// What became of a letter that was to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It is where it should be, and nowhere else.
    Done,
    /// It was not found any more: somebody else took it, or is looking at it.
    Gone,
    /// Not all of it could be done.
    Failed(String),
}

impl Shelf {
    pub(crate) fn new(place: Place, name: String, client: Client, url: String) -> Self {
        Self { place, name, client, url }
    }

    /// Looks at no more than `most` letters. They can be received again at once.
    ///
    /// # Errors
    /// SQS does not let them be received or counted.
    pub(crate) async fn look(&self, most: usize) -> Result<Seen, Refusal> {
        let [visible, hidden] = Box::pin(self.count()).await?;
        let letters = Box::pin(self.receive(most)).await?;
        Box::pin(self.release(&letters.iter().collect::<Vec<_>>())).await;
        // The count lags behind by up to a minute; what was received is there for certain.
        let more = if letters.len() < most { 0 } else { visible.saturating_sub(letters.len()) };
        Ok(Seen { letters, more, hidden })
    }

    /// Has each chosen letter meet its fate, and lets go of all others. What is sent on is deleted afterwards: whoever dies
    /// in between leaves a letter twice, and never not at all. Messages may come twice (law 1).
    ///
    /// # Errors
    /// SQS does not let them be received.
    pub(crate) async fn take(
        &self,
        chosen: &BTreeMap<&str, Fate>,
        most: usize,
    ) -> Result<BTreeMap<String, Moved>, Refusal> {
        let letters = Box::pin(self.receive(most)).await?;
        let left: Vec<&Found> = letters.iter().filter(|letter| !chosen.contains_key(letter.id.as_str())).collect();
        Box::pin(self.release(&left)).await;
        let taken = letters.iter().filter_map(|letter| Some((letter, chosen.get(letter.id.as_str())?)));
        let moves =
            taken.map(|(letter, fate)| async move { (letter.id.clone(), Box::pin(self.move_one(letter, fate)).await) });
        let mut moved: BTreeMap<String, Moved> = chosen.keys().map(|id| ((*id).to_owned(), Moved::Gone)).collect();
        moved.extend(stream::iter(moves).buffer_unordered(MOVED_AT_ONCE).collect::<Vec<_>>().await);
        let failed: Vec<&Found> =
            letters.iter().filter(|letter| matches!(moved.get(&letter.id), Some(Moved::Failed(_)))).collect();
        Box::pin(self.release(&failed)).await;
        Ok(moved)
    }

    async fn move_one(&self, letter: &Found, fate: &Fate) -> Moved {
        if let Fate::Sent { client, url } = fate {
            // What EventBridge noted tells of a failure that is over.
            let attributes = letter.attributes.clone().filter(|_| letter.undelivered.is_none());
            let send = client.send_message().queue_url(url).message_body(&letter.body);
            if let Err(error) = send.set_message_attributes(attributes).send().await {
                return Moved::Failed(Refusal::of(&error).to_string());
            }
        }
        match self.client.delete_message().queue_url(&self.url).receipt_handle(&letter.receipt).send().await {
            Ok(_) => Moved::Done,
            Err(error) => Moved::Failed(match fate {
                Fate::Sent { .. } => format!("it was redriven, and could not be deleted here: {}", Refusal::of(&error)),
                Fate::Dropped => Refusal::of(&error).to_string(),
            }),
        }
    }

    async fn count(&self) -> Result<[usize; 2], Refusal> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let asked = asked.set_attribute_names(Some(names.to_vec())).send().await;
        let counts = asked.map_err(|error| Refusal::of(&error))?.attributes.unwrap_or_default();
        Ok(names.map(|name| counts.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0)))
    }

    /// Receives letters until there are no more, or `most`. They stay hidden meanwhile, or each call would have the same.
    async fn receive(&self, most: usize) -> Result<Vec<Found>, Refusal> {
        let mut letters: Vec<Found> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let hidden = i32::try_from(HIDDEN_SECONDS + most / RECEIVED_A_SECOND).unwrap_or(i32::MAX);
        while letters.len() < most {
            let count = (most - letters.len()).min(MOST_AT_ONCE);
            let call = self.client.receive_message().queue_url(&self.url).visibility_timeout(hidden);
            let call = call
                .wait_time_seconds(WAIT_SECONDS)
                .max_number_of_messages(i32::try_from(count).unwrap_or(1))
                .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
                .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
                .message_attribute_names("All");
            let received = match call.send().await {
                Ok(output) => output.messages.unwrap_or_default(),
                Err(error) => {
                    Box::pin(self.release(&letters.iter().collect::<Vec<_>>())).await;
                    return Err(Refusal::of(&error));
                }
            };
            let before = letters.len();
            for letter in received.into_iter().filter_map(Found::of) {
                match known.get(&letter.id).and_then(|index| letters.get_mut(*index)) {
                    // The newest receipt counts.
                    Some(older) => *older = letter,
                    None => {
                        known.insert(letter.id.clone(), letters.len());
                        letters.push(letter);
                    }
                }
            }
            // Nothing, or only what was received before and has come back.
            if letters.len() == before {
                break;
            }
        }
        Ok(letters)
    }

    /// Lets others receive letters at once. Those for which that fails come back by themselves.
    async fn release(&self, letters: &[&Found]) {
        let calls = letters.chunks(MOST_AT_ONCE).map(|letters| async move {
            let entries = letters.iter().enumerate().map(|(index, letter)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&letter.receipt)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            });
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            let done = call.set_entries(entries.collect()).send().await;
            match done {
                Ok(output) => output.failed.into_iter().next().map(|failed| failed.code),
                Err(error) => Some(Refusal::of(&error).to_string()),
            }
        });
        let failed: Vec<_> = stream::iter(calls).buffer_unordered(MOVED_AT_ONCE).collect().await;
        if let Some(reason) = failed.into_iter().flatten().next() {
            say(&format!("warning: letters of {} stay hidden for some seconds: {reason}", self.name));
        }
    }
}

impl Found {
    fn of(message: Message) -> Option<Self> {
        let system = message.attributes.unwrap_or_default();
        let sent = system.get(&MessageSystemAttributeName::SentTimestamp).and_then(|millis| millis.parse().ok());
        let received = system.get(&MessageSystemAttributeName::ApproximateReceiveCount);
        let attributes = message.message_attributes;
        Some(Self {
            id: message.message_id?,
            body: message.body.unwrap_or_default(),
            sent_at: sent.map(Timestamp::from_millis),
            received: received.and_then(|count| count.parse().ok()).unwrap_or(0),
            undelivered: attributes.as_ref().and_then(noted),
            attributes,
            receipt: message.receipt_handle?,
        })
    }
}

/// What EventBridge noted with an event that it could not deliver.
fn noted(attributes: &HashMap<String, MessageAttributeValue>) -> Option<Undelivered> {
    let text = |name: &str| attributes.get(name).and_then(MessageAttributeValue::string_value).map(str::to_owned);
    let noted = Undelivered {
        rule: text("RULE_ARN"),
        target: text("TARGET_ARN"),
        code: text("ERROR_CODE"),
        message: text("ERROR_MESSAGE"),
        exhausted: text("EXHAUSTED_RETRY_CONDITION"),
    };
    (noted != Undelivered::default()).then_some(noted)
}
