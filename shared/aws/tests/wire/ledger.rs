//! DynamoDB.

use std::time::Duration;

use manifold_aws::ledger::DynamoLedger;
use manifold_core::control::{Decision, Origin};
use manifold_core::event::PipelineState;
use manifold_core::ids::{AppName, Attempt, ExecutionRef};
use manifold_core::known::{Good, Known};
use manifold_core::ledger::{Commit, Expect, Item, Key, Link, LinkOwner, Listing, Opening, PlanChunk, Record, Write};
use manifold_core::pace::{Api, Pace};
use manifold_core::run::machine::{AppQueue, Newest};
use manifold_core::run::posting::{Lease, Posted, Posting};
use manifold_core::run::sweep::{Behind, OpenRun, Pass, Turns};
use manifold_core::run::target::{Claim, GaveUp, PastAttempt, Unlocked};
use manifold_core::run::{Head, Learnt, Observation, Observed, Outcome, Reason, ReasonSource, Seen, Target};
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::drift_items;
use crate::samples::{EXECUTION, at, key, nonce, plan, planned, planned_in, release, run};
use crate::stub::{AT_ONCE, Stub};

async fn ledger(stub: &Stub) -> DynamoLedger {
    DynamoLedger::new(stub.clients().await.dynamodb(), "manifold").with_backoff(AT_ONCE)
}

fn queue(app: &str) -> Key {
    Key::Queue(app.parse().unwrap())
}

fn write(key: Key, expect: Expect) -> Write {
    Write { key, item: Item::Queue(AppQueue::default()), expect, expires_at: None }
}

fn commit(writes: Vec<Write>) -> Commit {
    Commit { writes, nonce: nonce("mine") }
}

/// An empty queue item of an app, as it is stored.
fn stored(app: &str, version: u64, by: &str) -> Value {
    json!({"pk": {"S": format!("app#{app}")}, "sk": {"S": "queue"}, "schema": {"N": "1"},
        "version": {"N": version.to_string()}, "nonce": {"S": by},
        "item": {"M": {"type": {"S": "queue"},
            "data": {"M": {"current": {"NULL": true}, "next": {"NULL": true}, "newest": {"NULL": true}}}}}})
}

fn record(version: u64, by: &str) -> Record {
    Record { version, nonce: nonce(by), item: Item::Queue(AppQueue::default()) }
}

fn condition_failed(item: &Value) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed", "Item": item}))
}

/// `(code, item)` for each write.
fn cancelled(reasons: &[(&str, Option<Value>)]) -> ResponseTemplate {
    let reason = |(code, item): &(&str, Option<Value>)| match item {
        Some(item) => json!({"Code": code, "Message": "in words", "Item": item}),
        None => json!({"Code": code}),
    };
    ResponseTemplate::new(400).set_body_json(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": reasons.iter().map(reason).collect::<Vec<_>>()}))
}

fn a_bit_of_everything() -> Target {
    let reason = |source| Reason {
        cause: "JobFailed in action Deploy".to_owned(),
        detail: Some(String::new()),
        link: None,
        source,
        attempt: 3,
    };
    Target {
        attempt: Attempt(2),
        put_back: 7,
        first_claimed_at: Some(at("2026-10-26T13:49:39Z")),
        claim: Some(Claim {
            nonce: nonce("n"),
            at: at("2026-10-26T13:49:39Z"),
            lease_until: at("2026-10-26T13:51:39Z"),
        }),
        execution: Some(EXECUTION.parse().unwrap()),
        started_at: Some(at("2026-10-26T13:49:40Z")),
        seen: Seen::new(PipelineState::Failed, Some(2), at("2026-10-26T13:52:00Z")),
        gave_up: Some(GaveUp { outcome: Outcome::TimedOut, at: at("2026-10-26T14:49:40Z") }),
        reason: Some(reason(ReasonSource::Engine)),
        unrecognised: Some("HIBERNATING".to_owned()),
        past: vec![PastAttempt { attempt: Attempt(1), execution: None, reason: Some(reason(ReasonSource::Manifold)) }],
        unlocked: Some(Unlocked { first: 1, end: 4 }),
        reopened_after_close: true,
        ..Target::queued(&planned())
    }
}

/// A run that is looked after, in the middle of a pass.
fn looked_at() -> OpenRun {
    let began = at("2026-10-26T13:55:40Z");
    OpenRun {
        looked_at: Some(began),
        passed_at: Some(at("2026-10-26T13:54:40Z")),
        pass: Some(Pass { began, next: 500, start_below: 3 }),
        turns: Some(Turns { at: began, count: 700 }),
        stuck_since: None,
        behind: Some(Behind { since: began, shown: Some(7) }),
        ..OpenRun::new(run())
    }
}

fn decision() -> Decision {
    Decision::own("halt-1", "halted: wave canary is over its failure tolerance", at("2026-10-26T13:49:41.123Z"))
}

fn known() -> Known {
    let good = |run, at| Good {
        run,
        release: release(),
        fingerprint: planned().fingerprint(),
        execution: Some(EXECUTION.parse().unwrap()),
        pinned: Some("abc123".to_owned()),
        at,
    };
    Known {
        target: planned().key,
        current: good(run(), at("2026-10-26T13:52:00Z")),
        previous: Some(good("web-1111111111111111".parse().unwrap(), at("2026-10-25T13:52:00Z"))),
    }
}

fn opening() -> Opening {
    Opening { run: run(), at: at("2026-10-26T13:49:41.123Z") }
}

fn one_of_each() -> Vec<(Key, Item)> {
    let source = release().source;
    let link = Link {
        owner: Some(LinkOwner { run: run(), attempt: Attempt(1) }),
        early: vec![Observation {
            target: key("444455556666", "us-east-1"),
            subject: "svc-deploy".parse().unwrap(),
            execution: EXECUTION.parse().unwrap(),
            at: at("2026-10-26T13:49:40Z"),
            started_by: None,
            learnt: Learnt::ByEvent,
            what: Observed::State { state: PipelineState::Started, attempt: Some(1), comments: None, reason: None },
        }],
    };
    let posted =
        Posted { channel: None, ts: Some("1730.5".to_owned()), digest: "d".to_owned(), at: at("2026-10-26T13:49:40Z") };
    let posting = Posting {
        message: Some(posted),
        lease: Some(Lease { nonce: nonce("n"), until: at("2026-10-26T13:49:40Z") }),
        ..Posting::default()
    };
    let newest = Newest { run: run(), released_at: at("2026-10-26T13:49:39Z") };
    let queues = AppQueue { current: Some(run()), next: None, newest: Some(newest) };
    let pace = Pace { cuts: 1, rate: 2_500, since: at("2026-10-26T13:49:40.208Z"), given: 7 };
    let head = Head::open(
        run(),
        "web".parse().unwrap(),
        release(),
        &plan(),
        Origin::Release,
        None,
        at("2026-10-26T13:49:41.123Z"),
    );
    let mut items = vec![
        (Key::Head(run()), Item::Head(Box::new(head))),
        (Key::Plan(run(), 3), Item::Plan(PlanChunk { targets: plan().targets })),
        (Key::Target(run(), planned().key), Item::Target(Box::new(a_bit_of_everything()))),
        (Key::Summary(run()), Item::Summary(posting)),
        (Key::Link(ExecutionRef { ..source }), Item::Link(link)),
        (queue("web"), Item::Queue(queues)),
        (Key::Open(run()), Item::Open(looked_at())),
        (Key::Decision(run(), decision().at, decision().id), Item::Decision(decision())),
        (Key::Known("web".parse().unwrap(), known().target), Item::Known(Box::new(known()))),
        (Key::Opening("web".parse().unwrap(), opening().at, run()), Item::Opening(opening())),
        (Key::Pace(Api::AssumeRole.lane(&planned().key)), Item::Pace(pace)),
    ];
    items.extend(drift_items::one_of_each());
    items
}

#[tokio::test]
async fn one_write_is_a_conditional_put_with_all_attributes() {
    let stub = Stub::start().await;
    stub.json("PutItem", json!({}));
    let write = Write { expires_at: Some(at("2026-10-26T13:49:39.999Z")), ..write(queue("web"), Expect::Version(4)) };
    ledger(&stub).await.commit(commit(vec![write])).await.unwrap();
    let sent = stub.only("PutItem");
    assert_eq!(sent.header("x-amz-target"), "DynamoDB_20120810.PutItem");
    let mut item = stored("web", 5, "mine");
    item["expires_at"] = json!({"N": "1793022579"});
    assert_eq!(
        sent.body(),
        json!({"TableName": "manifold", "Item": item, "ConditionExpression": "#version = :version",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":version": {"N": "4"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    );
}

#[tokio::test]
async fn an_absent_item_is_demanded_by_its_key_and_anything_is_demanded_by_nothing() {
    let stub = Stub::start().await;
    stub.json("PutItem", json!({})).json("PutItem", json!({}));
    let ledger = ledger(&stub).await;
    ledger.commit(commit(vec![write(queue("web"), Expect::Absent)])).await.unwrap();
    ledger.commit(commit(vec![write(queue("web"), Expect::Anything)])).await.unwrap();
    let asked = stub.asked("PutItem");
    assert_eq!(
        asked[0].body(),
        json!({"TableName": "manifold", "Item": stored("web", 1, "mine"),
            "ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": {"#pk": "pk"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    );
    assert_eq!(asked[1].body(), json!({"TableName": "manifold", "Item": stored("web", 1, "mine")}));
}

#[tokio::test]
async fn several_writes_are_one_transaction_whose_token_is_the_commits_own() {
    let stub = Stub::start().await;
    stub.json("TransactWriteItems", json!({})).json("TransactWriteItems", json!({}));
    let ledger = ledger(&stub).await;
    let writes = vec![
        write(queue("web"), Expect::Version(1)),
        write(queue("api"), Expect::Absent),
        write(queue("cron"), Expect::Anything),
    ];
    ledger.commit(commit(writes.clone())).await.unwrap();
    ledger.commit(Commit { writes, nonce: nonce("another") }).await.unwrap();
    let asked = stub.asked("TransactWriteItems");
    let body = asked[0].body();
    let put = |index: usize| &body["TransactItems"][index]["Put"];
    assert_eq!(
        *put(0),
        json!({"TableName": "manifold", "Item": stored("web", 2, "mine"), "ConditionExpression": "#version = :version",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":version": {"N": "1"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    );
    assert_eq!(put(1)["ConditionExpression"], "attribute_not_exists(#pk)");
    assert_eq!(*put(2), json!({"TableName": "manifold", "Item": stored("cron", 1, "mine")}));
    let token = |index: usize| asked[index].body()["ClientRequestToken"].as_str().unwrap().to_owned();
    assert!((1..=36).contains(&token(0).len()), "{}", token(0));
    assert_ne!(token(0), token(1));
}

#[tokio::test]
async fn nothing_to_write_asks_nothing_and_more_than_a_transaction_holds_is_refused_before_it_is_sent() {
    let stub = Stub::start().await;
    let ledger = ledger(&stub).await;
    ledger.commit(commit(Vec::new())).await.unwrap();
    let writes = (0..101).map(|chunk| write(Key::Plan(run(), chunk), Expect::Absent)).collect();
    let error = ledger.commit(commit(writes)).await.unwrap_err();
    assert!(matches!(error, CommitError::Ledger(LedgerError::Refused(_))), "{error}");
    assert!(stub.sent().is_empty());
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_has_landed_when_the_item_carries_its_nonce() {
    for lost in [
        ResponseTemplate::new(500).set_body_json(json!({"__type": "InternalServerError"})),
        ResponseTemplate::new(200).set_delay(Duration::from_secs(60)),
    ] {
        let stub = Stub::start().await;
        stub.then("PutItem", lost).then("PutItem", condition_failed(&stored("web", 5, "mine")));
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(500))
            .build();
        let ledger = DynamoLedger::new(stub.clients_with(timeouts).await.dynamodb(), "manifold");
        ledger.commit(commit(vec![write(queue("web"), Expect::Version(4))])).await.unwrap();
        assert_eq!(stub.asked("PutItem").len(), 2);
    }
}

#[tokio::test]
async fn a_put_that_somebody_else_was_faster_than_is_a_conflict_with_what_stands_there() {
    let stub = Stub::start().await;
    stub.then("PutItem", condition_failed(&stored("web", 5, "theirs")));
    // An item that is gone: DynamoDB has nothing to return.
    stub.then("PutItem", condition_failed(&json!(null)));
    stub.then("PutItem", condition_failed(&json!({})));
    let ledger = ledger(&stub).await;
    for expected in [Some(record(5, "theirs")), None, None] {
        match ledger.commit(commit(vec![write(queue("web"), Expect::Version(4))])).await {
            Err(CommitError::Conflict { found }) => assert_eq!(found, [(queue("web"), expected)]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stub.asked("PutItem").len(), 3, "a failed condition is not tried again");
}

#[tokio::test]
async fn a_blocking_item_of_a_newer_schema_can_not_be_read() {
    let stub = Stub::start().await;
    let mut newer = stored("web", 5, "theirs");
    newer["schema"] = json!({"N": "2"});
    stub.then("PutItem", condition_failed(&newer));
    let error = ledger(&stub).await.commit(commit(vec![write(queue("web"), Expect::Absent)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ledger item app#web queue can't be read: its schema 2 is newer than 1, the newest that this version reads"
    );
}

fn two_writes() -> Commit {
    commit(vec![write(queue("web"), Expect::Version(4)), write(queue("api"), Expect::Absent)])
}

#[tokio::test]
async fn a_transaction_has_landed_whole_when_one_blocking_item_carries_its_nonce() {
    let stub = Stub::start().await;
    let reply = cancelled(&[
        ("ConditionalCheckFailed", Some(stored("web", 6, "theirs"))),
        ("ConditionalCheckFailed", Some(stored("api", 1, "mine"))),
    ]);
    stub.error("TransactWriteItems", 500, "InternalServerError").then("TransactWriteItems", reply);
    ledger(&stub).await.commit(two_writes()).await.unwrap();
    let tokens: Vec<_> =
        stub.asked("TransactWriteItems").iter().map(|sent| sent.body()["ClientRequestToken"].clone()).collect();
    assert_eq!(tokens[0], tokens[1], "the SDK's own retry is the same request");
}

#[tokio::test]
async fn a_transaction_that_somebody_else_was_faster_than_tells_only_what_blocked_it() {
    let stub = Stub::start().await;
    let blocking = stored("api", 3, "theirs");
    stub.then("TransactWriteItems", cancelled(&[("None", None), ("ConditionalCheckFailed", Some(blocking))]));
    stub.then("TransactWriteItems", cancelled(&[("ConditionalCheckFailed", None), ("TransactionConflict", None)]));
    let ledger = ledger(&stub).await;
    for expected in [(queue("api"), Some(record(3, "theirs"))), (queue("web"), None)] {
        match ledger.commit(two_writes()).await {
            Err(CommitError::Conflict { found }) => assert_eq!(found, [expected]),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_transaction_that_met_another_is_tried_again_as_a_new_request() {
    let stub = Stub::start().await;
    stub.then("TransactWriteItems", cancelled(&[("None", None), ("TransactionConflict", None)]));
    stub.then("TransactWriteItems", cancelled(&[("ThrottlingError", None), ("None", None)]));
    stub.json("TransactWriteItems", json!({}));
    ledger(&stub).await.commit(two_writes()).await.unwrap();
    let tokens: std::collections::BTreeSet<_> = stub
        .asked("TransactWriteItems")
        .iter()
        .map(|sent| sent.body()["ClientRequestToken"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn a_put_that_met_a_transaction_is_tried_again() {
    let stub = Stub::start().await;
    stub.error("PutItem", 400, "TransactionConflictException").json("PutItem", json!({}));
    ledger(&stub).await.commit(commit(vec![write(queue("web"), Expect::Absent)])).await.unwrap();
}

#[derive(Debug, PartialEq)]
enum Ended {
    ConflictWithNothingFound,
    Unavailable,
    Refused,
}

async fn ended(ledger: &DynamoLedger, commit: Commit) -> Ended {
    match ledger.commit(commit).await {
        Err(CommitError::Conflict { found }) if found.is_empty() => Ended::ConflictWithNothingFound,
        Err(CommitError::Ledger(LedgerError::Unavailable(_))) => Ended::Unavailable,
        Err(CommitError::Ledger(LedgerError::Refused(_))) => Ended::Refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn patience_ends_by_the_kind_of_failure() {
    let error = |status: u16, code: &str| {
        ResponseTemplate::new(status).set_body_json(json!({"__type": code, "message": "in words"}))
    };
    let table = [
        (cancelled(&[("None", None), ("TransactionConflict", None)]), 5, Ended::ConflictWithNothingFound),
        (cancelled(&[("ProvisionedThroughputExceeded", None), ("None", None)]), 5, Ended::Unavailable),
        (cancelled(&[("ValidationError", None), ("None", None)]), 1, Ended::Refused),
        (cancelled(&[("ItemCollectionSizeLimitExceeded", None), ("None", None)]), 1, Ended::Refused),
        // The SDK itself tries these three times.
        (error(400, "TransactionInProgressException"), 3, Ended::Unavailable),
        (error(400, "ThrottlingException"), 3, Ended::Unavailable),
        (error(400, "ProvisionedThroughputExceededException"), 3, Ended::Unavailable),
        (error(500, "InternalServerError"), 3, Ended::Unavailable),
        // The function's own credentials: the next invocation has new ones.
        (error(400, "ExpiredTokenException"), 1, Ended::Unavailable),
        (error(400, "IdempotentParameterMismatchException"), 1, Ended::Refused),
        (error(400, "ResourceNotFoundException"), 1, Ended::Refused),
        (error(400, "AccessDeniedException"), 1, Ended::Refused),
        (error(400, "ValidationException"), 1, Ended::Refused),
    ];
    for (reply, times, expected) in table {
        let stub = Stub::start().await;
        for _ in 0..times {
            stub.then("TransactWriteItems", reply.clone());
        }
        assert_eq!(ended(&ledger(&stub).await, two_writes()).await, expected);
        assert_eq!(stub.sent().len(), times);
    }
    let stub = Stub::start().await;
    for _ in 0..5 {
        stub.error("PutItem", 400, "TransactionConflictException");
    }
    let single = commit(vec![write(queue("web"), Expect::Absent)]);
    assert_eq!(ended(&ledger(&stub).await, single).await, Ended::ConflictWithNothingFound);
}

#[tokio::test]
async fn every_kind_of_item_reads_back_as_it_was_written() {
    let stub = Stub::start().await;
    let ledger = ledger(&stub).await;
    let items = one_of_each();
    for (key, item) in items.clone() {
        stub.json("PutItem", json!({}));
        ledger.commit(commit(vec![Write { key, item, expect: Expect::Absent, expires_at: None }])).await.unwrap();
    }
    let written: Vec<Value> = stub.asked("PutItem").iter().map(|sent| sent.body()["Item"].clone()).collect();
    assert_eq!(written[2]["item"]["M"]["data"]["M"]["put_back"], json!({"N": "7"}), "items are native maps");
    // DynamoDB promises no order; maps of the SDK have a new one each time, so that a hundred times is enough.
    for _ in 0..100 {
        let backwards: Vec<&Value> = written.iter().rev().collect();
        stub.json("BatchGetItem", json!({"Responses": {"manifold": backwards}, "UnprocessedKeys": {}}));
        let keys: Vec<Key> = items.iter().map(|(key, _)| key.clone()).collect();
        let found = ledger.get(&keys).await.unwrap();
        let expected =
            items.iter().map(|(_, item)| Some(Record { version: 1, nonce: nonce("mine"), item: item.clone() }));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_key_is_got_consistently() {
    let stub = Stub::start().await;
    stub.json("GetItem", json!({"Item": stored("web", 7, "theirs")})).json("GetItem", json!({}));
    let ledger = ledger(&stub).await;
    assert_eq!(ledger.get(&[queue("web")]).await.unwrap(), [Some(record(7, "theirs"))]);
    assert_eq!(ledger.get(&[queue("web")]).await.unwrap(), [None]);
    assert_eq!(
        stub.asked("GetItem")[0].body(),
        json!({"TableName": "manifold", "ConsistentRead": true,
            "Key": {"pk": {"S": "app#web"}, "sk": {"S": "queue"}}})
    );
}

#[tokio::test]
async fn many_keys_are_got_in_hundreds_and_what_was_left_out_is_asked_for_again() {
    let stub = Stub::start().await;
    let left = json!({"manifold": {"Keys": [{"pk": {"S": "app#api"}, "sk": {"S": "queue"}}], "ConsistentRead": true}});
    stub.json("BatchGetItem", json!({"Responses": {"manifold": [stored("web", 1, "a")]}, "UnprocessedKeys": left}));
    stub.json("BatchGetItem", json!({"Responses": {"manifold": [stored("api", 2, "b")]}, "UnprocessedKeys": {}}));
    let keys = [queue("api"), queue("gone"), queue("web"), queue("api")];
    let found = ledger(&stub).await.get(&keys).await.unwrap();
    assert_eq!(found, [Some(record(2, "b")), None, Some(record(1, "a")), Some(record(2, "b"))]);
    let asked = stub.asked("BatchGetItem");
    let request = |index: usize| asked[index].body()["RequestItems"]["manifold"].clone();
    assert_eq!(request(0)["ConsistentRead"], true);
    assert_eq!(request(0)["Keys"].as_array().unwrap().len(), 3, "a key is asked for once");
    assert_eq!(request(1), left["manifold"]);

    let stub = Stub::start().await;
    for _ in 0..3 {
        stub.json("BatchGetItem", json!({"Responses": {}}));
    }
    let keys: Vec<Key> = (0..250).map(|chunk| Key::Plan(run(), chunk)).collect();
    assert_eq!(ledger(&stub).await.get(&keys).await.unwrap(), vec![None; 250]);
    let mut sizes: Vec<_> = stub
        .asked("BatchGetItem")
        .iter()
        .map(|sent| sent.body()["RequestItems"]["manifold"]["Keys"].as_array().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
}

#[tokio::test]
async fn keys_that_are_left_out_for_ever_make_the_ledger_unavailable() {
    let stub = Stub::start().await;
    let keys = json!([{"pk": {"S": "app#api"}, "sk": {"S": "queue"}}, {"pk": {"S": "app#web"}, "sk": {"S": "queue"}}]);
    for _ in 0..5 {
        stub.json("BatchGetItem", json!({"Responses": {}, "UnprocessedKeys": {"manifold": {"Keys": keys}}}));
    }
    let error = ledger(&stub).await.get(&[queue("web"), queue("api")]).await.unwrap_err();
    assert_eq!(error.to_string(), "the ledger is not available: 2 keys were left unread");
}

#[tokio::test]
async fn the_targets_of_a_run_are_queried_page_by_page() {
    let stub = Stub::start().await;
    let targets: Vec<Target> =
        ["eu-west-1", "us-east-1"].iter().map(|region| Target::queued(&planned_in(region))).collect();
    let ledger = ledger(&stub).await;
    for target in &targets {
        stub.json("PutItem", json!({}));
        let (key, item) = (Key::Target(run(), target.key.clone()), Item::Target(Box::new(target.clone())));
        ledger.commit(commit(vec![Write { key, item, expect: Expect::Absent, expires_at: None }])).await.unwrap();
    }
    let written: Vec<Value> = stub.asked("PutItem").iter().map(|sent| sent.body()["Item"].clone()).collect();
    let last = json!({"pk": written[0]["pk"], "sk": written[0]["sk"]});
    stub.json("Query", json!({"Items": [written[0]], "LastEvaluatedKey": last}))
        .json("Query", json!({"Items": [written[1]]}));
    assert_eq!(ledger.targets(&run()).await.unwrap(), targets);
    let asked = stub.asked("Query");
    assert_eq!(
        asked[0].body(),
        json!({"TableName": "manifold", "ConsistentRead": true,
            "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :prefix)",
            "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"},
            "ExpressionAttributeValues": {":pk": {"S": "run#web-0f3a5b7c9d1e2f40"}, ":prefix": {"S": "target#"}}})
    );
    assert_eq!(asked[1].body()["ExclusiveStartKey"], last);
}

/// An item as it is stored.
async fn as_stored(key: Key, item: Item) -> Value {
    let stub = Stub::start().await;
    stub.json("PutItem", json!({}));
    let write = Write { key, item, expect: Expect::Absent, expires_at: None };
    ledger(&stub).await.commit(commit(vec![write])).await.unwrap();
    stub.only("PutItem").body()["Item"].clone()
}

#[tokio::test]
async fn what_is_listed_whole_is_listed_page_by_page_in_the_order_of_their_keys() {
    let app: AppName = "web".parse().unwrap();
    let later = Decision { at: at("2026-10-26T14:00:00Z"), id: "press".to_owned(), ..decision() };
    let elsewhere = Known { target: key("444455556666", "us-west-2"), ..known() };
    let decided = |decision: &Decision| Key::Decision(run(), decision.at, decision.id.clone());
    let mut table = vec![
        (
            Listing::Decisions(run()),
            [(decided(&decision()), Item::Decision(decision())), (decided(&later), Item::Decision(later))],
            ["run#web-0f3a5b7c9d1e2f40", "decision#"],
        ),
        (
            Listing::Known(app.clone()),
            [
                (Key::Known(app.clone(), known().target), Item::Known(Box::new(known()))),
                (Key::Known(app, elsewhere.target.clone()), Item::Known(Box::new(elsewhere))),
            ],
            ["app#web", "target#"],
        ),
    ];
    table.extend(drift_items::listings());
    for (listing, items, [pk, prefix]) in table {
        let mut stored = Vec::new();
        for (key, item) in items.clone() {
            stored.push(as_stored(key, item).await);
        }
        let last = json!({"pk": stored[0]["pk"], "sk": stored[0]["sk"]});
        let stub = Stub::start().await;
        stub.json("Query", json!({"Items": [stored[0]], "LastEvaluatedKey": last}))
            .json("Query", json!({"Items": [stored[1]]}));
        let listed = ledger(&stub).await.list(&listing).await.unwrap();
        let listed: Vec<Item> = listed.into_iter().map(|record| record.item).collect();
        assert_eq!(listed, items.map(|(_, item)| item));
        let asked = stub.asked("Query");
        assert_eq!(
            asked[0].body(),
            json!({"TableName": "manifold", "ConsistentRead": true,
                "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :prefix)",
                "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"},
                "ExpressionAttributeValues": {":pk": {"S": pk}, ":prefix": {"S": prefix}}})
        );
        assert_eq!(asked[1].body()["ExclusiveStartKey"], last);
    }
}

#[tokio::test]
async fn the_newest_runs_and_checks_are_listed_backwards_on_one_page() {
    let app: AppName = "web".parse().unwrap();
    let runs = (Key::Opening(app.clone(), opening().at, run()), Item::Opening(opening()));
    let newest = |prefix, wanted| match prefix {
        "run#" => Listing::Openings(app.clone(), wanted),
        _ => Listing::Checks(app.clone(), wanted),
    };
    for ((key, item), prefix) in [(runs, "run#"), (drift_items::a_checking(), "check#")] {
        let stored = as_stored(key, item.clone()).await;
        let sort = format!("{prefix}01793022581123#web-0f3a5b7c9d1e2f40");
        assert_eq!(stored["sk"], json!({ "S": sort }), "sorts by time");
        for (wanted, limit) in [(0, 1), (20, 20), (u32::MAX, 2000)] {
            let stub = Stub::start().await;
            let more = json!({"pk": stored["pk"], "sk": stored["sk"]});
            stub.json("Query", json!({"Items": [stored], "LastEvaluatedKey": more}));
            let listed = ledger(&stub).await.list(&newest(prefix, wanted)).await.unwrap();
            assert_eq!(listed.into_iter().map(|record| record.item).collect::<Vec<_>>(), std::slice::from_ref(&item));
            let body = stub.only("Query").body();
            assert_eq!((&body["ScanIndexForward"], &body["Limit"]), (&json!(false), &json!(limit)));
            assert_eq!(body["ExpressionAttributeValues"], json!({":pk": {"S": "app#web"}, ":prefix": {"S": prefix}}));
        }
    }
}

#[tokio::test]
async fn damaged_and_newer_items_are_named() {
    let broken = |name: &str, value: Value| {
        let mut item = stored("web", 1, "a");
        item[name] = value;
        item
    };
    let table = [
        (broken("schema", json!({"N": "2"})), "its schema 2 is newer than 1"),
        (broken("version", json!({"S": "1"})), "it has no number version"),
        (broken("nonce", json!({"NULL": true})), "it has no nonce"),
        (broken("item", json!({"M": {"type": {"S": "hologram"}}})), "unknown variant `hologram`"),
    ];
    for (item, words) in table {
        let stub = Stub::start().await;
        stub.json("GetItem", json!({"Item": item}));
        match ledger(&stub).await.get(&[queue("web")]).await {
            Err(LedgerError::Unreadable { key, reason }) => {
                assert_eq!(key, "app#web queue");
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_read_that_failed_is_unavailable_or_refused() {
    let table =
        [(500, "InternalServerError", 3), (400, "ThrottlingException", 3), (400, "ResourceNotFoundException", 1)];
    for (status, code, times) in table {
        let stub = Stub::start().await;
        for _ in 0..times {
            stub.error("Query", status, code);
        }
        let error = ledger(&stub).await.targets(&run()).await.unwrap_err();
        assert_eq!(matches!(error, LedgerError::Unavailable(_)), times == 3, "{error}");
        assert!(error.to_string().contains(&format!("{code} in words")), "{error}");
    }
}
