//! A batch of SQS messages, and the answer that makes each of them fail or pass alone (Lambda Developer Guide, "Using
//! Lambda with Amazon SQS" and "Handling errors for an SQS event source").

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::error::DecodeError;
use super::fields::{Fields, text};
use super::{Envelope, decode_event};
use crate::time::Timestamp;

/// The key of a batch's records.
pub(super) const RECORDS_KEY: &str = "Records";

/// The messages of one invocation. Decoding a batch looks into no body: each is decoded by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsBatch {
    /// The messages, in the order of delivery.
    pub records: Vec<SqsRecord>,
}

/// One SQS message. Only its id is sure to be there: without an id it could not be reported as failed.
#[derive(Clone, PartialEq, Eq)]
pub struct SqsRecord {
    /// What a failure is reported under.
    pub message_id: String,
    /// The message; empty when the record has none, which then fails alone as a missing body.
    pub body: String,
    /// How often the message was received, this time included: at least 1, and 1 when SQS does not say.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When it was first received.
    pub first_received_at: Option<Timestamp>,
    /// The queue that it came from.
    pub queue_arn: Option<String>,
    /// The group that it belongs to, on a FIFO or a fair queue.
    pub group_id: Option<String>,
    /// Its message attributes, as text. In a rule's dead-letter queue they hold `ERROR_CODE`, `ERROR_MESSAGE`,
    /// `RULE_ARN` and so on (EventBridge User Guide, "Using dead-letter queues").
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Debug for SqsRecord {
    /// Leaves out the body and the values of the attributes: a dead-lettered job's body holds live credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsRecord")
            .field("message_id", &self.message_id)
            .field("body_bytes", &self.body.len())
            .field("receive_count", &self.receive_count)
            .field("sent_at", &self.sent_at)
            .field("first_received_at", &self.first_received_at)
            .field("queue_arn", &self.queue_arn)
            .field("group_id", &self.group_id)
            .field("attributes", &self.attributes.keys())
            .finish()
    }
}

impl SqsRecord {
    /// Decodes the body as an EventBridge event.
    ///
    /// # Errors
    ///
    /// As [`decode_event`].
    pub fn event(&self) -> Result<Envelope, DecodeError> {
        decode_event(&self.body)
    }

    fn decode(record: &Fields<'_>) -> Result<Self, DecodeError> {
        let system = record.object_opt("attributes");
        let system = system.as_ref();
        Ok(Self {
            message_id: record.required_text("messageId", 256, "a message id of at most 256 characters")?,
            body: record.get("body").map(body).unwrap_or_default(),
            receive_count: system.and_then(|system| system.count("ApproximateReceiveCount")).unwrap_or(1).max(1),
            sent_at: system.and_then(|system| system.epoch_millis("SentTimestamp")),
            first_received_at: system.and_then(|system| system.epoch_millis("ApproximateFirstReceiveTimestamp")),
            queue_arn: record.text("eventSourceARN"),
            group_id: system.and_then(|system| system.text("MessageGroupId")),
            attributes: record.object_opt("messageAttributes").map(|own| attributes(&own)).unwrap_or_default(),
        })
    }
}

/// SQS bodies are texts; an object is what someone pastes who invokes the function by hand.
fn body(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn attributes(own: &Fields<'_>) -> BTreeMap<String, String> {
    let with_text = |(name, value): (&str, &Value)| Some((name.to_owned(), text(value.get("stringValue")?)?));
    own.entries().filter_map(with_text).collect()
}

/// Decodes an SQS batch. Its bodies stay text; see [`SqsRecord::event`].
///
/// # Errors
///
/// When there is no array of records, or when a record has no usable `messageId`: then it cannot be reported as
/// failed, and only failing the whole batch loses nothing. Any other damage fails only its own record, later.
pub fn decode_batch(value: &Value) -> Result<SqsBatch, DecodeError> {
    let input = Fields::of(value, String::new())?;
    let expected = "an array of sqs records";
    let records =
        input.get(RECORDS_KEY).ok_or_else(|| DecodeError::Missing { field: RECORDS_KEY.to_owned(), expected })?;
    let records = records.as_array().ok_or_else(|| DecodeError::invalid(RECORDS_KEY.to_owned(), records, expected))?;
    let decode = |(index, record)| SqsRecord::decode(&Fields::of(record, format!("{RECORDS_KEY}[{index}]"))?);
    Ok(SqsBatch { records: records.iter().enumerate().map(decode).collect::<Result<_, _>>()? })
}

/// What a function answers to a batch: the messages to be delivered again. All others are deleted from the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    #[serde(default, deserialize_with = "null_is_none_failed")]
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Lambda takes an absent or null list as full success.
fn null_is_none_failed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BatchItemFailure>, D::Error> {
    Option::<Vec<BatchItemFailure>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl BatchResponse {
    /// The answer that fails these messages, by their [`SqsRecord::message_id`], and passes all others. An id that
    /// was not in the batch makes Lambda deliver the whole batch again.
    #[must_use]
    pub fn failing<I>(message_ids: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let failures = message_ids.into_iter().map(|id| BatchItemFailure { item_identifier: id.into() });
        Self { batch_item_failures: failures.collect() }
    }

    /// The ids of the failed messages.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_with_an_id_and_nothing_else_sound_can_still_fail_alone() {
        let batch = decode_batch(&json!({ "Records": [
            { "messageId": "a" },
            { "messageId": "b", "body": 7, "attributes": "none", "messageAttributes": [], "eventSourceARN": {} },
            { "messageId": "c", "body": null, "attributes": { "ApproximateReceiveCount": "many", "SentTimestamp": {} } },
            { "messageId": "d", "body": {"source": "x"}, "attributes": { "ApproximateReceiveCount": 3.0, "SentTimestamp": 5 } },
        ]}))
        .unwrap();
        let ids: Vec<&str> = batch.records.iter().map(|record| record.message_id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "d"]);
        assert!(batch.records.iter().all(|record| record.event().is_err()));
        assert_eq!(batch.records[0].event().unwrap_err().to_string(), "the body is missing, expected a json object");
        assert_eq!(batch.records[2].receive_count, 1);
        assert_eq!(batch.records[3].receive_count, 3);
        assert_eq!(batch.records[3].sent_at, Some(Timestamp::from_millis(5)));
        assert_eq!(batch.records[3].body, "{\"source\":\"x\"}");
    }

    #[test]
    fn only_a_record_that_could_not_be_reported_fails_the_batch() {
        for record in [json!({ "body": "{}" }), json!({ "messageId": "" }), json!({ "messageId": null })] {
            let error = decode_batch(&json!({ "Records": [{ "messageId": "a" }, record] })).unwrap_err();
            assert!(error.to_string().starts_with("Records[1].messageId is missing"), "{error}");
        }
        assert!(decode_batch(&json!({ "Records": ["text"] })).is_err());
        assert!(decode_batch(&json!({ "Records": {} })).is_err());
        assert_eq!(decode_batch(&json!({ "Records": [] })), Ok(SqsBatch { records: Vec::new() }));
    }

    #[test]
    fn a_response_is_written_as_lambda_reads_it() {
        let response = BatchResponse::failing(["a", "b"]);
        let written = json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "b" }] });
        assert_eq!(serde_json::to_value(&response).unwrap(), written);
        assert_eq!(response.failed().collect::<Vec<_>>(), ["a", "b"]);
        let none = serde_json::to_string(&BatchResponse::default()).unwrap();
        assert_eq!(none, "{\"batchItemFailures\":[]}");
        for success in ["{}", "{\"batchItemFailures\":null}", none.as_str()] {
            assert_eq!(serde_json::from_str::<BatchResponse>(success).unwrap(), BatchResponse::default());
        }
    }

    #[test]
    fn a_records_debug_form_shows_neither_its_body_nor_its_attributes_values() {
        let batch = decode_batch(&json!({ "Records": [{
            "messageId": "a",
            "body": "hunter2",
            "messageAttributes": { "TOKEN": { "stringValue": "hunter2" } },
        }]}))
        .unwrap();
        let shown = format!("{batch:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
