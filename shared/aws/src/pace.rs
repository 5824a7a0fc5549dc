//! The paces in the ledger's table. Only `deploy` changes them, and needs one permission for it that no other function has.
//!
//! Many workers take a turn on one item in the same second, so that a turn is one `UpdateItem` that counts, whoever else
//! counts, and is never read first: its condition says which pace it counts on, and a refusal tells what stands there.
//! One partition takes 1,000 writes a second, some twenty times the highest pace.
//!
//! A count whose answer was lost is sent again by the SDK, and counts twice: a turn that nobody uses. A setting carries its
//! writer's nonce, as everywhere in the ledger.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use manifold_core::ids::Nonce;
use manifold_core::ledger::{Item, Key, Record, SCHEMA};
use manifold_core::pace::{Change, Lane, Over, Pace};
use manifold_core::time::Timestamp;
use manifold_ports::ledger::LedgerError;
use manifold_ports::pace::{Changed, Paces};

use crate::failure::Failure;
use crate::ledger::{
    Attributes, EXPIRES_AT, ITEM, NONCE, PK, SCHEMA_VERSION, VERSION, decode, number, primary_key, refused, text,
    unreadable,
};

/// The paces in the ledger's table.
#[derive(Debug, Clone)]
pub struct DynamoPaces {
    client: Client,
    table: String,
}

impl DynamoPaces {
    /// In a table.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

const COUNT: &str = "SET #item.#data.#given = #item.#data.#given + :one, #version = #version + :one, \
     #nonce = :nonce, #expires_at = :expires_at";
const SET: &str = "SET #item = :item, #schema = :schema, #version = if_not_exists(#version, :zero) + :one, \
     #nonce = :nonce, #expires_at = :expires_at";
const IN_USE: &str = "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given >= :given";
const RESTED: &str = "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given < :given";
const CUTS: &str = "#item.#data.#cuts = :cuts";
const NOTHING: &str = "attribute_not_exists(#pk)";

/// A change, as DynamoDB takes it.
struct Encoded {
    update: &'static str,
    condition: &'static str,
    names: HashMap<String, String>,
    values: Attributes,
}

impl Encoded {
    fn new(change: &Change, nonce: &Nonce, expires_at: Timestamp) -> Result<Self, LedgerError> {
        let mut encoded = Self { update: COUNT, condition: IN_USE, names: HashMap::new(), values: HashMap::new() };
        encoded.name(&[("#version", VERSION), ("#nonce", NONCE), ("#expires_at", EXPIRES_AT), ("#item", ITEM)]);
        encoded.value(":one", number(1));
        encoded.value(":nonce", text(nonce.as_str()));
        encoded.value(":expires_at", number(expires_at.as_seconds()));
        match change {
            Change::Count { cuts, since, at_least } => encoded.of(*cuts, *since, *at_least),
            Change::Set { pace, over } => {
                encoded.update = SET;
                let item = serde_dynamo::to_attribute_value(Item::Pace(pace.clone()))
                    .map_err(|error| LedgerError::Refused(format!("failed to encode a pace: {error}")))?;
                encoded.name(&[("#schema", SCHEMA_VERSION)]);
                encoded.value(":item", item);
                encoded.value(":schema", number(SCHEMA));
                encoded.value(":zero", number(0));
                match over {
                    Over::Nothing => {
                        encoded.condition = NOTHING;
                        encoded.name(&[("#pk", PK)]);
                    }
                    Over::Cuts(cuts) => {
                        encoded.condition = CUTS;
                        encoded.name(&[("#data", "data"), ("#cuts", "cuts")]);
                        encoded.value(":cuts", number(cuts));
                    }
                    Over::Rested { cuts, since, below } => {
                        encoded.condition = RESTED;
                        encoded.of(*cuts, *since, *below);
                    }
                }
            }
        }
        Ok(encoded)
    }

    /// The pace that a condition is about.
    fn of(&mut self, cuts: u32, since: Timestamp, given: u32) {
        self.name(&[("#data", "data"), ("#cuts", "cuts"), ("#since", "since"), ("#given", "given")]);
        self.value(":cuts", number(cuts));
        self.value(":since", number(since.as_millis()));
        self.value(":given", number(given));
    }

    fn name(&mut self, names: &[(&str, &str)]) {
        self.names.extend(names.iter().map(|(placeholder, name)| ((*placeholder).to_owned(), (*name).to_owned())));
    }

    fn value(&mut self, placeholder: &str, value: AttributeValue) {
        self.values.insert(placeholder.to_owned(), value);
    }
}

impl Paces for DynamoPaces {
    async fn change(
        &self,
        lane: &Lane,
        change: &Change,
        nonce: &Nonce,
        expires_at: Timestamp,
    ) -> Result<Changed, LedgerError> {
        let key = Key::Pace(lane.clone());
        let Encoded { update, condition, names, values } = Encoded::new(change, nonce, expires_at)?;
        let result = Box::pin(
            self.client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(primary_key(&key)))
                .update_expression(update)
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send(),
        )
        .await;
        let error = match result {
            Ok(output) => {
                return match read(&key, output.attributes)? {
                    Some((pace, _)) => Ok(Changed::Done(pace)),
                    None => Err(unreadable(&key.partition(), &key.sort(), "it was not returned")),
                };
            }
            Err(error) => error,
        };
        let failure = Failure::of(&error);
        let UpdateItemError::ConditionalCheckFailedException(blocked) = error.into_service_error() else {
            return Err(refused(&failure));
        };
        Ok(match read(&key, blocked.item)? {
            // An earlier try had landed, and its answer was lost.
            Some((pace, by)) if by == *nonce => Changed::Done(pace),
            stored => Changed::Missed(stored.map(|(pace, _)| pace)),
        })
    }
}

/// A pace and its last writer's mark. DynamoDB returns an empty map for an item that is not there.
fn read(key: &Key, attributes: Option<Attributes>) -> Result<Option<(Pace, Nonce)>, LedgerError> {
    let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) else { return Ok(None) };
    let Record { nonce, item, .. } = decode(attributes)?;
    let pace = item.take().ok_or_else(|| unreadable(&key.partition(), &key.sort(), "it is not a pace"))?;
    Ok(Some((pace, nonce)))
}
