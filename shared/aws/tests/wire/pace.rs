//! The paces, on DynamoDB.

use manifold_aws::pace::DynamoPaces;
use manifold_core::ledger::PACE_RETENTION;
use manifold_core::pace::{Api, Change, Lane, Over, Pace};
use manifold_ports::ledger::LedgerError;
use manifold_ports::pace::{Changed, Paces};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::samples::{at, key, nonce};
use crate::stub::Stub;

fn lane() -> Lane {
    Api::StartPipelineExecution.lane(&key("444455556666", "eu-west-1"))
}

fn pace(given: u32) -> Pace {
    Pace { cuts: 3, rate: 2_500, since: at("2026-10-26T13:49:40.208Z"), given }
}

fn stored(given: u32, by: &str) -> Value {
    json!({"pk": {"S": "pace#444455556666#eu-west-1"}, "sk": {"S": "StartPipelineExecution"}, "schema": {"N": "1"},
        "version": {"N": "7"}, "nonce": {"S": by}, "expires_at": {"N": "1795614580"},
        "item": {"M": {"type": {"S": "pace"}, "data": {"M": {"cuts": {"N": "3"}, "rate": {"N": "2500"},
            "since": {"N": "1793022580208"}, "given": {"N": given.to_string()}}}}}})
}

fn refused(item: Option<Value>) -> ResponseTemplate {
    let mut body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed"});
    if let Some(item) = item {
        body["Item"] = item;
    }
    ResponseTemplate::new(400).set_body_json(body)
}

async fn change(stub: &Stub, change: &Change) -> Result<Changed, LedgerError> {
    let paces = DynamoPaces::new(stub.clients().await.dynamodb(), "manifold");
    let expires_at = at("2026-10-26T13:49:40Z").plus(PACE_RETENTION);
    paces.change(&lane(), change, &nonce("mine"), expires_at).await
}

#[tokio::test]
async fn a_turn_is_one_update_that_counts_on_the_pace_it_knows() {
    let stub = Stub::start().await;
    stub.json("UpdateItem", json!({"Attributes": stored(8, "mine")}));
    let count = Change::Count { cuts: 3, since: pace(0).since, at_least: 5 };
    assert_eq!(change(&stub, &count).await.unwrap(), Changed::Done(pace(8)));
    assert_eq!(
        stub.only("UpdateItem").body(),
        json!({
            "TableName": "manifold",
            "Key": {"pk": {"S": "pace#444455556666#eu-west-1"}, "sk": {"S": "StartPipelineExecution"}},
            "UpdateExpression": "SET #item.#data.#given = #item.#data.#given + :one, #version = #version + :one, \
                #nonce = :nonce, #expires_at = :expires_at",
            "ConditionExpression":
                "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given >= :given",
            "ExpressionAttributeNames": {"#item": "item", "#data": "data", "#cuts": "cuts", "#since": "since",
                "#given": "given", "#version": "version", "#nonce": "nonce", "#expires_at": "expires_at"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":nonce": {"S": "mine"},
                ":expires_at": {"N": "1795614580"}, ":cuts": {"N": "3"}, ":since": {"N": "1793022580208"},
                ":given": {"N": "5"}},
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    );
}

#[tokio::test]
async fn a_pace_is_set_whole_instead_of_the_one_that_was_known() {
    let rested = Over::Rested { cuts: 3, since: pace(0).since, below: 9 };
    let table = [
        (Over::Nothing, "attribute_not_exists(#pk)"),
        (Over::Cuts(2), "#item.#data.#cuts = :cuts"),
        (rested, "#item.#data.#cuts = :cuts AND #item.#data.#since = :since AND #item.#data.#given < :given"),
    ];
    for (over, condition) in table {
        let stub = Stub::start().await;
        stub.json("UpdateItem", json!({"Attributes": stored(1, "mine")}));
        assert_eq!(change(&stub, &Change::Set { pace: pace(1), over }).await.unwrap(), Changed::Done(pace(1)));
        let body = stub.only("UpdateItem").body();
        assert_eq!(body["ConditionExpression"], condition);
        assert_eq!(
            body["UpdateExpression"],
            "SET #item = :item, #schema = :schema, #version = if_not_exists(#version, :zero) + :one, #nonce = :nonce, \
             #expires_at = :expires_at"
        );
        let values = &body["ExpressionAttributeValues"];
        assert_eq!(values[":item"], stored(1, "mine")["item"]);
        assert_eq!((&values[":schema"], &values[":zero"]), (&json!({"N": "1"}), &json!({"N": "0"})));
        // DynamoDB refuses names and values that no expression uses.
        let used = format!("{} {condition}", body["UpdateExpression"]);
        for placeholder in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
            for name in body[placeholder].as_object().unwrap().keys() {
                assert!(used.contains(name), "{name} is not used: {used}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_what_is_stored_or_that_an_earlier_try_had_landed() {
    let count = Change::Count { cuts: 2, since: pace(0).since, at_least: 5 };
    let table = [
        (Some(stored(4, "theirs")), Changed::Missed(Some(pace(4)))),
        (Some(stored(4, "mine")), Changed::Done(pace(4))),
        (Some(json!({})), Changed::Missed(None)),
        (None, Changed::Missed(None)),
    ];
    for (item, expected) in table {
        let stub = Stub::start().await;
        stub.then("UpdateItem", refused(item));
        assert_eq!(change(&stub, &count).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_pace_that_a_newer_version_wrote_is_named_and_a_missing_permission_is_told() {
    let stub = Stub::start().await;
    let mut newer = stored(4, "theirs");
    newer["schema"] = json!({"N": "2"});
    stub.then("UpdateItem", refused(Some(newer)));
    let count = Change::Count { cuts: 2, since: pace(0).since, at_least: 5 };
    let error = change(&stub, &count).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Unreadable { key, .. } if key.starts_with("pace#444455556666")), "{error}");

    let stub = Stub::start().await;
    stub.error("UpdateItem", 400, "AccessDeniedException");
    assert!(matches!(change(&stub, &count).await.unwrap_err(), LedgerError::Refused(_)));
}
