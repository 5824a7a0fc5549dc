//! What a version of Manifold leaves behind when it is replaced in the middle of a run, and a world that goes on from
//! there: how law 9 is tested.

use manifold_core::ids::Nonce;
use manifold_core::ledger::{Item, Record};
use manifold_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Due, Execution, Inner, Letter, SlackCall, VISIBILITY, World};

/// All that outlives the code: what is stored, what is under way in queues, what runs in target accounts, and what
/// stands in Slack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The moment.
    pub now: Timestamp,
    /// What is stored.
    pub records: Vec<Stored>,
    /// What was sent, and events that will come of what runs.
    pub letters: Vec<Underway>,
    /// What was started.
    pub executions: Vec<Execution>,
    /// The messages that stand in Slack, replies included.
    pub posted: Vec<InSlack>,
}

/// A stored item with its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
    /// Counts the item's writes.
    pub version: u64,
    /// The mark of its last writer.
    pub nonce: Nonce,
    /// The item.
    pub item: Item,
}

/// A message under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// When it arrives.
    pub at: Timestamp,
    /// The message.
    pub letter: Letter,
}

/// A message in Slack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InSlack {
    /// Its `ts`; an incoming webhook tells none.
    pub ts: Option<String>,
    /// Where.
    pub channel: Option<String>,
    /// The `ts` of the message that it answers.
    pub thread: Option<String>,
}

impl World {
    /// What would be left if the functions were replaced now. What `taken` says was received by functions that are not
    /// done: they die, and it comes again.
    #[must_use]
    pub(crate) fn left<'a>(&self, taken: impl Iterator<Item = &'a Letter>) -> Left {
        let inner = self.lock();
        let record = |((pk, sk), record): (&(String, String), &Record)| {
            let Record { version, nonce, item } = record.clone();
            Stored { pk: pk.clone(), sk: sk.clone(), version, nonce, item }
        };
        let waiting = inner.agenda.iter().filter_map(|((at, _), due)| match due {
            Due::Letter(letter) => Some(Underway { at: *at, letter: letter.clone() }),
            Due::Tick | Due::Wake(_) => None,
        });
        let again = taken.map(|letter| Underway {
            at: inner.now.plus(VISIBILITY),
            letter: Letter { receives: letter.receives + 1, ..letter.clone() },
        });
        let text = |call: &SlackCall, name: &str| call.body.get(name)?.as_str().map(str::to_owned);
        let standing = |call: &SlackCall| InSlack {
            ts: call.ts.clone(),
            channel: text(call, "channel"),
            thread: text(call, "thread_ts"),
        };
        Left {
            now: inner.now,
            records: inner.records.iter().map(record).collect(),
            letters: waiting.chain(again).collect(),
            executions: inner.executions.clone(),
            posted: inner.slack.iter().filter(|call| call.method != "chat.update").map(standing).collect(),
        }
    }

    /// Goes on from what another version left, in a world in which nothing has happened yet.
    pub(crate) fn restore(&self, left: Left) {
        let mut inner = self.lock();
        inner.now = left.now;
        for Stored { pk, sk, version, nonce, item } in left.records {
            if let Item::Head(head) = &item {
                inner.heads.insert(head.run.clone());
            }
            inner.records.insert((pk, sk), Record { version, nonce, item });
        }
        for Underway { at, letter } in left.letters {
            inner.at(at, Due::Letter(letter));
        }
        inner.executions = left.executions;
        for posted in left.posted {
            inner.stand(posted);
        }
    }
}

impl Inner {
    /// A message that was posted by somebody else. What it says is not known here.
    fn stand(&mut self, InSlack { ts, channel, thread }: InSlack) {
        let method = if ts.is_some() { "chat.postMessage" } else { "webhook" };
        self.slack_messages.extend(ts.clone().map(|ts| (ts, None)));
        let mut body = json!({ "channel": channel });
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
        }
        self.slack.push(SlackCall { at: self.now.to_string(), method, body, ts });
    }
}
