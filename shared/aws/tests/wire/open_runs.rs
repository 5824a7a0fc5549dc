//! The runs that are looked after, on DynamoDB.

use manifold_aws::open_runs::DynamoOpenRuns;
use manifold_core::drift::OpenCheck;
use manifold_core::ledger::{Item, Key, Record};
use manifold_core::run::sweep::OpenRun;
use manifold_core::time::Span;
use manifold_ports::ledger::{LedgerError, OpenRuns};
use serde_json::{Value, json};

use crate::samples::{at, nonce, run};
use crate::stub::Stub;

async fn open_runs(stub: &Stub) -> DynamoOpenRuns {
    DynamoOpenRuns::new(stub.clients().await.dynamodb(), "manifold")
}

/// An open run of the oldest kind: nothing is noted of it but which it is.
fn stored(run: &str) -> Value {
    json!({"pk": {"S": "open"}, "sk": {"S": format!("run#{run}")}, "schema": {"N": "1"}, "version": {"N": "1"},
        "nonce": {"S": "mine"},
        "item": {"M": {"type": {"S": "open"}, "data": {"M": {"run": {"S": run}}}}}})
}

fn record(run: &str) -> Record {
    Record { version: 1, nonce: nonce("mine"), item: Item::Open(OpenRun::new(run.parse().unwrap())) }
}

#[tokio::test]
async fn all_open_runs_are_queried_consistently_page_by_page() {
    let stub = Stub::start().await;
    let (one, other) = ("api-0f3a5b7c9d1e2f40", "web-0f3a5b7c9d1e2f40");
    let last = json!({"pk": {"S": "open"}, "sk": {"S": format!("run#{one}")}});
    stub.json("Query", json!({"Items": [stored(one)], "LastEvaluatedKey": last}))
        .json("Query", json!({"Items": [stored(other)]}));
    let listed = open_runs(&stub).await.open_runs().await.unwrap();
    assert_eq!(listed.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [record(one), record(other)]);
    let asked = stub.asked("Query");
    assert_eq!(
        asked[0].body(),
        json!({"TableName": "manifold", "ConsistentRead": true, "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "pk"}, "ExpressionAttributeValues": {":pk": {"S": "open"}}})
    );
    assert_eq!(asked[1].body()["ExclusiveStartKey"], last);
}

#[tokio::test]
async fn an_open_run_that_a_newer_version_wrote_keeps_none_of_the_others() {
    let stub = Stub::start().await;
    let (one, other) = ("api-0f3a5b7c9d1e2f40", "web-0f3a5b7c9d1e2f40");
    let mut newer = stored(one);
    newer["schema"] = json!({"N": "2"});
    stub.json("Query", json!({"Items": [newer, stored(other)]}));
    let listed = open_runs(&stub).await.open_runs().await.unwrap();
    let [Err(LedgerError::Unreadable { reason, .. }), Ok(read)] = &listed[..] else { panic!("{listed:?}") };
    assert!(reason.starts_with("its schema 2 is newer"), "{reason}");
    assert_eq!(*read, record(other));
}

#[tokio::test]
async fn a_run_is_forgotten_only_as_it_was_read() {
    let stub = Stub::start().await;
    stub.json("DeleteItem", json!({}));
    assert!(open_runs(&stub).await.forget(&Key::Open(run()), &nonce("mine")).await.unwrap());
    assert_eq!(
        stub.only("DeleteItem").body(),
        json!({"TableName": "manifold",
            "Key": {"pk": {"S": "open"}, "sk": {"S": "run#web-0f3a5b7c9d1e2f40"}},
            "ConditionExpression": "#nonce = :nonce", "ExpressionAttributeNames": {"#nonce": "nonce"},
            "ExpressionAttributeValues": {":nonce": {"S": "mine"}}})
    );
}

#[tokio::test]
async fn checks_lie_among_the_runs_and_are_forgotten_by_their_own_key() {
    let stub = Stub::start().await;
    let check = "web-0f3a5b7c9d1e2f40";
    let watched = json!({"check": {"S": check}, "asleep_until": {"N": at("2026-10-26T13:01:00Z").as_millis().to_string()}, "pause": {"N": "60000"}});
    let item = json!({"pk": {"S": "open"}, "sk": {"S": format!("check#{check}")}, "schema": {"N": "1"},
        "version": {"N": "3"}, "nonce": {"S": "mine"},
        "item": {"M": {"type": {"S": "open_check"}, "data": {"M": watched}}}});
    stub.json("Query", json!({"Items": [item, stored(check)]})).json("DeleteItem", json!({}));
    let open_runs = open_runs(&stub).await;
    let listed: Vec<Record> = open_runs.open_runs().await.unwrap().into_iter().map(Result::unwrap).collect();
    let expected = OpenCheck {
        check: check.parse().unwrap(),
        asleep_until: at("2026-10-26T13:01:00Z"),
        pause: Span::from_minutes(1),
    };
    assert_eq!(listed, [Record { version: 3, nonce: nonce("mine"), item: Item::OpenCheck(expected) }, record(check)]);
    assert!(open_runs.forget(&Key::OpenCheck(check.parse().unwrap()), &nonce("mine")).await.unwrap());
    let key = json!({"pk": {"S": "open"}, "sk": {"S": "check#web-0f3a5b7c9d1e2f40"}});
    assert_eq!(stub.only("DeleteItem").body()["Key"], key);
}

#[tokio::test]
async fn a_run_that_somebody_wrote_since_stays() {
    let stub = Stub::start().await;
    stub.error("DeleteItem", 400, "ConditionalCheckFailedException");
    assert!(!open_runs(&stub).await.forget(&Key::Open(run()), &nonce("mine")).await.unwrap());
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_unavailable() {
    for operation in ["Query", "DeleteItem"] {
        let stub = Stub::start().await;
        for _ in 0..3 {
            stub.error(operation, 500, "InternalServerError");
        }
        let open_runs = open_runs(&stub).await;
        let error = match operation {
            "Query" => open_runs.open_runs().await.unwrap_err(),
            _ => open_runs.forget(&Key::Open(run()), &nonce("mine")).await.unwrap_err(),
        };
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    }
}
