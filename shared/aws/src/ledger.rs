//! The ledger on DynamoDB: one table, conditional writes, consistent reads.
//!
//! Every item carries, beside its keys `pk` and `sk`:
//!
//! | attribute | type | is |
//! |---|---|---|
//! | `schema` | N | [`SCHEMA`] of the version that wrote it (law 9) |
//! | `version` | N | counts the writes of the item, from 1; the condition of the next write |
//! | `nonce` | S | the mark of the commit that wrote it last |
//! | `expires_at` | N | epoch seconds: when DynamoDB may delete it. Absent: never |
//! | `item` | M | the item, as a native map |
//!
//! **Whose write was it?** A write may land and its answer be lost; the SDK then tries again, and the second try
//! fails on the condition that the first one made false. Three clauses tell that apart from another writer:
//!
//! 1. *One write* (`PutItem`): the item that blocked it is returned (`ReturnValuesOnConditionCheckFailure=ALL_OLD`).
//!    If it carries this commit's nonce, the first try had landed.
//! 2. *Several writes* (`TransactWriteItems`): the client request token makes a repetition within ten minutes succeed
//!    without a look at the conditions. Beyond that, clause 1 holds for each item; a transaction is atomic, so that
//!    one item with the nonce proves that all of them were written.
//! 3. An item that was overwritten in between carries another nonce: that is a conflict, although the commit had
//!    landed. The caller reads again and derives again, which changes nothing (law 2).
//!
//! Items past `expires_at` are returned as long as they exist, so that what is read and what a condition sees agree.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures::stream::{self, StreamExt, TryStreamExt};
use manifold_core::brief::brief;
use manifold_core::ids::{Nonce, RunId};
use manifold_core::ledger::{Commit, Expect, Key, Listing, Record, SCHEMA, TARGET_PREFIX, Write};
use manifold_core::run::Target;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use sha2::{Digest, Sha256};

use crate::backoff::Backoff;
use crate::failure::Failure;

/// "A single operation can retrieve up to 16 MB of data, which can contain as many as 100 items" (`BatchGetItem`).
const MAX_GET: usize = 100;
/// How many such calls run at the same time.
const CONCURRENT_GETS: usize = 8;

/// One item as DynamoDB holds it.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The ledger in one DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoLedger {
    client: Client,
    table: String,
    backoff: Backoff,
}

impl DynamoLedger {
    /// On a table.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), backoff: Backoff::default() }
    }

    /// With other waits between tries.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    async fn get_one(&self, key: &Key) -> Result<Option<Record>, LedgerError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(primary_key(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| refused(&Failure::of(&error)))?;
        output.item.map(decode).transpose()
    }

    /// Reads at most [`MAX_GET`] keys, and again what DynamoDB left out.
    async fn get_batch(&self, keys: Vec<Attributes>) -> Result<Vec<Attributes>, LedgerError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted = keys;
        let mut tries = 0;
        loop {
            let asked = wanted.len();
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build()
                .map_err(|error| LedgerError::Refused(error.to_string()))?;
            let output = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|error| refused(&Failure::of(&error)))?;
            found.extend(output.responses.unwrap_or_default().into_values().flatten());
            wanted = output.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
            if wanted.is_empty() {
                return Ok(found);
            }
            // A part that was answered is progress (a response ends at 16 MB); only a call without any counts.
            tries = if wanted.len() < asked { 1 } else { tries + 1 };
            if !self.backoff.again(tries).await {
                return Err(LedgerError::Unavailable(format!("{} keys were left unread", wanted.len())));
            }
        }
    }

    async fn put(&self, write: Write, nonce: &Nonce) -> Result<(), CommitError> {
        let put = Encoded::new(&write, nonce)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let condition = put.condition.clone();
            let result = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(put.attributes.clone()))
                .set_return_values_on_condition_check_failure(
                    condition.as_ref().map(|_| ReturnValuesOnConditionCheckFailure::AllOld),
                )
                .set_expression_attribute_names(condition.as_ref().map(|condition| condition.names.clone()))
                .set_expression_attribute_values(condition.as_ref().and_then(|condition| condition.values.clone()))
                .set_condition_expression(condition.map(|condition| condition.expression.to_owned()))
                .send()
                .await;
            let Err(error) = result else { return Ok(()) };
            match put_refusal(error) {
                Refused::Condition(item) => return blocked(vec![(write.key, item)], nonce),
                Refused::Conflict if self.backoff.again(tries).await => {}
                Refused::Conflict => return Err(CommitError::Conflict { found: Vec::new() }),
                Refused::Otherwise(failure) => return Err(refused(&failure).into()),
            }
        }
    }

    async fn transact(&self, commit: Commit) -> Result<(), CommitError> {
        let Commit { writes, nonce } = commit;
        let mut puts = Vec::with_capacity(writes.len());
        for write in &writes {
            puts.push(Encoded::new(write, &nonce)?.into_transaction(&self.table)?);
        }
        let keys: Vec<Key> = writes.into_iter().map(|write| write.key).collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let result = self
                .client
                .transact_write_items()
                .set_transact_items(Some(puts.clone()))
                .client_request_token(request_token(&nonce, tries))
                .send()
                .await;
            let Err(error) = result else { return Ok(()) };
            let reasons = match transaction_refusal(error) {
                Ok(reasons) => reasons,
                Err(failure) => return Err(refused(&failure).into()),
            };
            match Cancelled::by(&reasons) {
                Cancelled::Condition => {
                    let found = keys.into_iter().zip(reasons).filter(|(_, reason)| is(reason, CONDITION));
                    return blocked(found.map(|(key, reason)| (key, reason.item)).collect(), &nonce);
                }
                Cancelled::Conflict if self.backoff.again(tries).await => {}
                Cancelled::Conflict => return Err(CommitError::Conflict { found: Vec::new() }),
                Cancelled::Throttled if self.backoff.again(tries).await => {}
                Cancelled::Throttled => return Err(LedgerError::Unavailable(words(&reasons)).into()),
                Cancelled::Otherwise => return Err(LedgerError::Refused(words(&reasons)).into()),
            }
        }
    }
}

impl Ledger for DynamoLedger {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, LedgerError> {
        if let [key] = keys {
            return Ok(vec![Box::pin(self.get_one(key)).await?]);
        }
        // "Provided list of item keys contains duplicates" is an error, so that each key is asked for once.
        let distinct: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let batches: Vec<Vec<Attributes>> =
            distinct.chunks(MAX_GET).map(|chunk| chunk.iter().map(|key| primary_key(key)).collect()).collect();
        let found: Vec<Vec<Attributes>> = stream::iter(batches)
            .map(|batch| Box::pin(self.get_batch(batch)))
            .buffer_unordered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        let mut records = HashMap::with_capacity(distinct.len());
        for attributes in found.into_iter().flatten() {
            let place = place(&attributes);
            records.insert(place, decode(attributes)?);
        }
        Ok(keys.iter().map(|key| records.get(&(key.partition(), key.sort())).cloned()).collect())
    }

    async fn targets(&self, run: &RunId) -> Result<Vec<Target>, LedgerError> {
        let pages: Vec<_> = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", text(Key::Head(run.clone()).partition()))
            .expression_attribute_values(":prefix", text(TARGET_PREFIX))
            .into_paginator()
            .send()
            .try_collect()
            .await
            .map_err(|error| refused(&Failure::of(&error)))?;
        let mut targets = Vec::new();
        for attributes in pages.into_iter().flat_map(|page| page.items.unwrap_or_default()) {
            let (pk, sk) = place(&attributes);
            let target = decode(attributes)?.item.take();
            targets.push(target.ok_or_else(|| unreadable(&pk, &sk, "it is not a target"))?);
        }
        Ok(targets)
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if commit.writes.len() > Commit::MAX_WRITES {
            let count = commit.writes.len();
            return Err(LedgerError::Refused(format!("{count} writes in one commit; DynamoDB takes 100")).into());
        }
        let Commit { mut writes, nonce } = commit;
        match writes.pop() {
            None => Ok(()),
            Some(write) if writes.is_empty() => Box::pin(self.put(write, &nonce)).await,
            Some(write) => {
                writes.push(write);
                Box::pin(self.transact(Commit { writes, nonce })).await
            }
        }
    }
}

impl Listings for DynamoLedger {
    async fn list(&self, listing: &Listing) -> Result<Vec<Record>, LedgerError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", text(listing.partition()))
            .expression_attribute_values(":prefix", text(listing.prefix()));
        let items = match listing.newest() {
            None => {
                let pages: Vec<_> =
                    query.into_paginator().send().try_collect().await.map_err(|error| refused(&Failure::of(&error)))?;
                pages.into_iter().flat_map(|page| page.items.unwrap_or_default()).collect()
            }
            // They are small, so that so many of the newest fit into one page.
            Some(most) => {
                let most = i32::try_from(most.clamp(1, MOST_NEWEST)).unwrap_or(1);
                let page = query.scan_index_forward(false).limit(most).send().await;
                page.map_err(|error| refused(&Failure::of(&error)))?.items.unwrap_or_default()
            }
        };
        items.into_iter().map(decode).collect()
    }
}

/// How many of the newest items are read at most: what one page of a query holds of items of 500 bytes.
const MOST_NEWEST: u32 = 2000;

pub(crate) const PK: &str = "pk";
const SK: &str = "sk";
pub(crate) const SCHEMA_VERSION: &str = "schema";
pub(crate) const VERSION: &str = "version";
pub(crate) const NONCE: &str = "nonce";
pub(crate) const EXPIRES_AT: &str = "expires_at";
pub(crate) const ITEM: &str = "item";

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn primary_key(key: &Key) -> Attributes {
    HashMap::from([(PK.to_owned(), text(key.partition())), (SK.to_owned(), text(key.sort()))])
}

/// The condition of a write, as DynamoDB takes it.
#[derive(Debug, Clone)]
struct Condition {
    expression: &'static str,
    names: HashMap<String, String>,
    values: Option<Attributes>,
}

/// A write, as DynamoDB takes it.
struct Encoded {
    attributes: Attributes,
    condition: Option<Condition>,
}

impl Encoded {
    fn new(write: &Write, nonce: &Nonce) -> Result<Self, LedgerError> {
        let (version, condition) = match write.expect {
            Expect::Absent => (
                1,
                Some(Condition {
                    expression: "attribute_not_exists(#pk)",
                    names: HashMap::from([("#pk".to_owned(), PK.to_owned())]),
                    values: None,
                }),
            ),
            Expect::Version(version) => (
                version.saturating_add(1),
                Some(Condition {
                    expression: "#version = :version",
                    names: HashMap::from([("#version".to_owned(), VERSION.to_owned())]),
                    values: Some(HashMap::from([(":version".to_owned(), number(version))])),
                }),
            ),
            Expect::Anything => (1, None),
        };
        let item = serde_dynamo::to_attribute_value(&write.item)
            .map_err(|error| LedgerError::Refused(format!("failed to encode an item: {error}")))?;
        let mut attributes = primary_key(&write.key);
        attributes.insert(SCHEMA_VERSION.to_owned(), number(SCHEMA));
        attributes.insert(VERSION.to_owned(), number(version));
        attributes.insert(NONCE.to_owned(), text(nonce.as_str()));
        attributes.insert(ITEM.to_owned(), item);
        if let Some(at) = write.expires_at {
            attributes.insert(EXPIRES_AT.to_owned(), number(at.as_seconds()));
        }
        Ok(Self { attributes, condition })
    }

    fn into_transaction(self, table: &str) -> Result<TransactWriteItem, LedgerError> {
        let mut put = Put::builder().table_name(table).set_item(Some(self.attributes));
        if let Some(condition) = self.condition {
            put = put
                .condition_expression(condition.expression)
                .set_expression_attribute_names(Some(condition.names))
                .set_expression_attribute_values(condition.values)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        }
        let put = put.build().map_err(|error| LedgerError::Refused(error.to_string()))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// The token under which DynamoDB recognises a repetition (1–36 characters, for ten minutes).
///
/// The SDK's own retries, after which nobody knows whether the first try landed, repeat the token. A transaction that
/// was *cancelled* certainly did not land: its next try is a new request, with the try in its token.
fn request_token(nonce: &Nonce, tries: u32) -> String {
    let digest = Sha256::digest(nonce.as_str().as_bytes());
    let hash: String = digest.iter().take(14).map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}-{tries}")
}

/// Why a single write was refused.
enum Refused {
    /// The condition failed; with the item that stands there.
    Condition(Option<Attributes>),
    /// A transaction holds the item.
    Conflict,
    /// Something else.
    Otherwise(Failure),
}

fn put_refusal(error: SdkError<PutItemError, HttpResponse>) -> Refused {
    let failure = Failure::of(&error);
    let error = error.into_service_error();
    if error.is_transaction_conflict_exception() {
        Refused::Conflict
    } else if let PutItemError::ConditionalCheckFailedException(refusal) = error {
        Refused::Condition(refusal.item)
    } else {
        Refused::Otherwise(failure)
    }
}

/// The reasons of a cancelled transaction, or any other failure.
fn transaction_refusal(
    error: SdkError<TransactWriteItemsError, HttpResponse>,
) -> Result<Vec<CancellationReason>, Failure> {
    let failure = Failure::of(&error);
    if let TransactWriteItemsError::TransactionCanceledException(cancelled) = error.into_service_error() {
        Ok(cancelled.cancellation_reasons.unwrap_or_default())
    } else {
        Err(failure)
    }
}

const CONDITION: &str = "ConditionalCheckFailed";
const CONFLICT: &str = "TransactionConflict";
const THROTTLED: [&str; 2] = ["ProvisionedThroughputExceeded", "ThrottlingError"];

fn is(reason: &CancellationReason, code: &str) -> bool {
    reason.code.as_deref() == Some(code)
}

/// Why a transaction was cancelled, the most telling reason first: a condition that failed will fail again.
enum Cancelled {
    Condition,
    Otherwise,
    Conflict,
    Throttled,
}

impl Cancelled {
    fn by(reasons: &[CancellationReason]) -> Self {
        let any = |test: &dyn Fn(&CancellationReason) -> bool| reasons.iter().any(test);
        if any(&|reason| is(reason, CONDITION)) {
            Self::Condition
        } else if any(&|reason| {
            !is(reason, "None") && !is(reason, CONFLICT) && !THROTTLED.iter().any(|code| is(reason, code))
        }) {
            Self::Otherwise
        } else if any(&|reason| THROTTLED.iter().any(|code| is(reason, code))) {
            Self::Throttled
        } else {
            Self::Conflict
        }
    }
}

fn words(reasons: &[CancellationReason]) -> String {
    let told = reasons.iter().filter(|reason| !is(reason, "None"));
    let words: BTreeSet<String> = told
        .map(|reason| {
            format!("{}: {}", reason.code.as_deref().unwrap_or("?"), reason.message.as_deref().unwrap_or("?"))
        })
        .collect();
    format!("transaction cancelled ({})", words.into_iter().collect::<Vec<_>>().join("; "))
}

/// A condition failed: either an earlier try of the same commit had landed, or somebody else was first.
fn blocked(found: Vec<(Key, Option<Attributes>)>, nonce: &Nonce) -> Result<(), CommitError> {
    let own = |attributes: &Attributes| {
        attributes.get(NONCE).and_then(|value| value.as_s().ok()).is_some_and(|by| by == nonce.as_str())
    };
    if found.iter().filter_map(|(_, attributes)| attributes.as_ref()).any(own) {
        tracing::debug!("an earlier try of this commit had landed");
        return Ok(());
    }
    let mut records = Vec::with_capacity(found.len());
    for (key, attributes) in found {
        // DynamoDB returns an empty map for an item that is not there.
        let attributes = attributes.filter(|attributes| !attributes.is_empty());
        records.push((key, attributes.map(decode).transpose()?));
    }
    Err(CommitError::Conflict { found: records })
}

pub(crate) fn refused(failure: &Failure) -> LedgerError {
    if failure.is_passing() { LedgerError::Unavailable(failure.words()) } else { LedgerError::Refused(failure.words()) }
}

fn place(attributes: &Attributes) -> (String, String) {
    let key = |name| attributes.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    (key(PK), key(SK))
}

pub(crate) fn unreadable(pk: &str, sk: &str, reason: impl Into<String>) -> LedgerError {
    LedgerError::Unreadable { key: brief(&format!("{pk} {sk}")), reason: brief(&reason.into()) }
}

pub(crate) fn decode(mut attributes: Attributes) -> Result<Record, LedgerError> {
    let (pk, sk) = place(&attributes);
    let count = |name: &str| {
        attributes
            .get(name)
            .and_then(|value| value.as_n().ok())
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or_else(|| unreadable(&pk, &sk, format!("it has no number {name}")))
    };
    let schema = count(SCHEMA_VERSION)?;
    if schema > u64::from(SCHEMA) {
        let reason = format!("its schema {schema} is newer than {SCHEMA}, the newest that this version reads");
        return Err(unreadable(&pk, &sk, reason));
    }
    let version = count(VERSION)?;
    let nonce = attributes
        .get(NONCE)
        .and_then(|value| value.as_s().ok())
        .and_then(|nonce| nonce.parse().ok())
        .ok_or_else(|| unreadable(&pk, &sk, "it has no nonce"))?;
    let item = attributes.remove(ITEM).ok_or_else(|| unreadable(&pk, &sk, "it has no content"))?;
    let item = serde_dynamo::from_attribute_value(item).map_err(|error| unreadable(&pk, &sk, error.to_string()))?;
    Ok(Record { version, nonce, item })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_tokens_fit_what_dynamodb_allows_and_differ_by_try() {
        let nonce: Nonce = "~".repeat(64).parse().unwrap();
        assert_ne!(request_token(&nonce, 1), request_token(&nonce, 2));
        assert_eq!(request_token(&nonce, 1), request_token(&nonce, 1));
        assert!(request_token(&nonce, u32::MAX).len() <= 39, "only an absurd number of tries is longer than 36");
        assert!(request_token(&nonce, 9_999_999).len() <= 36);
    }

    #[test]
    fn a_failed_condition_goes_before_every_other_reason_of_a_cancelled_transaction() {
        let reasons = |codes: &[&str]| -> Vec<CancellationReason> {
            codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
        };
        let by = |codes| Cancelled::by(&reasons(codes));
        assert!(matches!(by(&["TransactionConflict", "ConditionalCheckFailed"]), Cancelled::Condition));
        assert!(matches!(by(&["None", "TransactionConflict"]), Cancelled::Conflict));
        assert!(matches!(by(&["TransactionConflict", "ThrottlingError"]), Cancelled::Throttled));
        assert!(matches!(by(&["None", "ProvisionedThroughputExceeded"]), Cancelled::Throttled));
        assert!(matches!(by(&["ValidationError", "None"]), Cancelled::Otherwise));
        assert!(matches!(by(&[]), Cancelled::Conflict));
    }

    /// Items of every kind as they are stored, with their keys.
    fn stored() -> Vec<Attributes> {
        let left = include_str!("../../../tests/stored/schema-1-sweep/closed.json");
        let left: serde_json::Value = serde_json::from_str(left).unwrap();
        let stored = |record: &serde_json::Value| {
            let words = |name: &str| text(record[name].as_str().unwrap());
            HashMap::from([
                (PK.to_owned(), words("pk")),
                (SK.to_owned(), words("sk")),
                (SCHEMA_VERSION.to_owned(), number(SCHEMA)),
                (VERSION.to_owned(), number(&record["version"])),
                (NONCE.to_owned(), words("nonce")),
                (ITEM.to_owned(), serde_dynamo::to_attribute_value(&record["item"]).unwrap()),
            ])
        };
        left["records"].as_array().unwrap().iter().map(stored).collect()
    }

    /// A value that is something else than was meant.
    fn strange(random: &mut fastrand::Rng) -> AttributeValue {
        let wide = "x".repeat(300_000);
        match random.u8(..12) {
            0 => AttributeValue::Null(true),
            1 => AttributeValue::Bool(true),
            2 => AttributeValue::N("-1".to_owned()),
            3 => AttributeValue::N("99999999999999999999999999999999999999".to_owned()),
            4 => AttributeValue::N("no number".to_owned()),
            5 => AttributeValue::N("4294967295".to_owned()),
            6 => text(""),
            7 => text(wide),
            8 => AttributeValue::B(vec![0xff; 9].into()),
            9 => AttributeValue::L(vec![AttributeValue::Null(true); 9]),
            10 => AttributeValue::M(HashMap::from([(wide, AttributeValue::Null(false))])),
            _ => AttributeValue::Ss(vec!["a".to_owned()]),
        }
    }

    /// Damages one value somewhere inside: takes it away, or puts another one in its place.
    fn damage(attributes: &mut Attributes, random: &mut fastrand::Rng) {
        // A map has no order of its own, and a test must have one.
        let mut names: Vec<String> = attributes.keys().filter(|name| *name != PK && *name != SK).cloned().collect();
        names.sort();
        let Some(name) = (!names.is_empty()).then(|| names.swap_remove(random.usize(..names.len()))) else { return };
        match attributes.get_mut(&name) {
            Some(AttributeValue::M(inner)) if random.u8(..10) > 0 => damage(inner, random),
            Some(AttributeValue::L(inner)) if !inner.is_empty() && random.u8(..10) > 0 => {
                let at = random.usize(..inner.len());
                if let AttributeValue::M(deeper) = &mut inner[at] {
                    damage(deeper, random);
                } else {
                    inner[at] = strange(random);
                }
            }
            Some(value) if random.bool() => *value = strange(random),
            _ => drop(attributes.remove(&name)),
        }
    }

    #[test]
    fn an_item_that_is_damaged_anywhere_is_refused_by_its_key_in_a_few_words_or_does_no_harm() {
        let mut random = fastrand::Rng::with_seed(9);
        let stored = stored();
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut attributes = stored[random.usize(..stored.len())].clone();
            let (pk, sk) = place(&attributes);
            for _ in 0..random.usize(1..4) {
                damage(&mut attributes, &mut random);
            }
            match decode(attributes) {
                Ok(_) => {}
                Err(LedgerError::Unreadable { key, reason }) => {
                    refused += 1;
                    assert_eq!(key, format!("{pk} {sk}"));
                    assert!(!reason.is_empty() && reason.chars().count() <= 300, "{reason}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(refused > 10_000, "{refused}");
    }
}
