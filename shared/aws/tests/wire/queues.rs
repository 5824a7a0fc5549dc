//! SQS.

use manifold_aws::queues::SqsQueues;
use manifold_core::ids::Attempt;
use manifold_core::message::{Message, Outgoing, Payload, Queue};
use manifold_core::time::Span;
use manifold_ports::queues::Queues;
use serde_json::{Value, json};

use crate::samples::run;
use crate::stub::{AT_ONCE, Stub};

const DEPLOY: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/deploy";
const COLLECT: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/collect";

async fn queues(stub: &Stub) -> SqsQueues {
    let urls = [(Queue::Deploy, DEPLOY.to_owned()), (Queue::Collect, COLLECT.to_owned())].into();
    SqsQueues::new(stub.clients().await.sqs(), urls).with_backoff(AT_ONCE)
}

fn start(index: u32, delay: Span) -> Outgoing {
    Outgoing { queue: Queue::Deploy, payload: Payload::Start { run: run(), index, attempt: Attempt(1) }, delay }
}

fn now() -> Span {
    Span::from_millis(0)
}

fn accepted(ids: &[&str]) -> Value {
    let entry = |id: &&str| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "d"});
    json!({"Successful": ids.iter().map(entry).collect::<Vec<_>>(), "Failed": []})
}

fn indexes(entries: &Value) -> Vec<u64> {
    let body = |entry: &Value| serde_json::from_str::<Value>(entry["MessageBody"].as_str().unwrap()).unwrap();
    entries.as_array().unwrap().iter().map(|e| body(e)["payload"]["data"]["index"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn messages_go_out_by_queue_in_batches_of_ten_and_their_delay_is_rounded_up() {
    let stub = Stub::start().await;
    for _ in 0..3 {
        stub.json("SendMessageBatch", accepted(&[]));
    }
    let mut messages: Vec<Outgoing> = (0..11).map(|index| start(index, now())).collect();
    messages[0].delay = Span::from_millis(4_200);
    messages[1].delay = Span::from_minutes(60);
    messages.push(Outgoing { queue: Queue::Collect, payload: Payload::Activate { run: run() }, delay: now() });
    queues(&stub).await.send(messages.clone()).await.unwrap();

    let mut asked = stub.asked("SendMessageBatch");
    asked.sort_by_key(|sent| std::cmp::Reverse(sent.text.len()));
    let [ten, rest @ ..] = asked.as_slice() else { panic!() };
    assert_eq!(ten.header("x-amz-target"), "AmazonSQS.SendMessageBatch");
    assert!(ten.header("authorization").contains("/eu-west-1/sqs/aws4_request"));
    let body = ten.body();
    assert_eq!(body["QueueUrl"], DEPLOY);
    assert_eq!(indexes(&body["Entries"]), (0..10).collect::<Vec<_>>());
    assert_eq!(
        body["Entries"][0],
        json!({"Id": "0", "DelaySeconds": 5,
            "MessageBody": Message::new(messages[0].payload.clone()).encode().unwrap()})
    );
    assert_eq!(body["Entries"][1]["DelaySeconds"], 900);
    assert!(body["Entries"][2].get("DelaySeconds").is_none());
    let mut rest: Vec<_> = rest.iter().map(|sent| sent.body()["QueueUrl"].as_str().unwrap().to_owned()).collect();
    rest.sort();
    assert_eq!(rest, [COLLECT, DEPLOY]);
}

#[tokio::test]
async fn only_the_entries_that_sqs_could_not_take_are_sent_again() {
    let stub = Stub::start().await;
    let failed = json!([{"Id": "1", "Code": "InternalError", "SenderFault": false},
        {"Id": "2", "Code": "ServiceUnavailable", "SenderFault": false}]);
    stub.json(
        "SendMessageBatch",
        json!({"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "d"}],
        "Failed": failed}),
    );
    stub.json(
        "SendMessageBatch",
        json!({"Successful": [], "Failed": [{"Id": "1", "Code": "InternalError",
        "SenderFault": false}]}),
    );
    stub.json("SendMessageBatch", accepted(&["0"]));
    queues(&stub).await.send((0..3).map(|index| start(index, now())).collect()).await.unwrap();
    let asked: Vec<_> = stub.asked("SendMessageBatch").iter().map(|sent| indexes(&sent.body()["Entries"])).collect();
    assert_eq!(asked, [vec![0, 1, 2], vec![1, 2], vec![2]]);
}

#[tokio::test]
async fn what_was_not_accepted_in_the_end_is_counted_with_the_first_reason() {
    let stub = Stub::start().await;
    // Entry 0 is the sender's fault and is not sent again; entry 1 is, until patience ends.
    stub.json(
        "SendMessageBatch",
        json!({"Successful": [], "Failed": [
        {"Id": "0", "Code": "InvalidMessageContents", "Message": "no", "SenderFault": true},
        {"Id": "1", "Code": "InternalError", "SenderFault": false}]}),
    );
    for _ in 0..4 {
        stub.json(
            "SendMessageBatch",
            json!({"Successful": [], "Failed": [
            {"Id": "0", "Code": "InternalError", "SenderFault": false}]}),
        );
    }
    let error = queues(&stub).await.send(vec![start(0, now()), start(1, now())]).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to send 2 of 2 messages: InvalidMessageContents: no");
}

#[tokio::test]
async fn a_refused_call_and_a_queue_without_a_url_leave_the_other_queues_alone() {
    let stub = Stub::start().await;
    stub.error("SendMessageBatch", 400, "AccessDenied");
    let lost = Outgoing { queue: Queue::Summarize, payload: Payload::Summarize { run: run() }, delay: now() };
    let error = queues(&stub).await.send(vec![start(0, now()), lost, start(1, now())]).await.unwrap_err();
    assert_eq!((error.unsent, error.total), (3, 3));
    assert_eq!(error.reason, "MANIFOLD_SUMMARIZE_QUEUE_URL is not set");
}

#[tokio::test]
async fn the_sdk_retries_what_sqs_did_not_answer() {
    let stub = Stub::start().await;
    stub.error("SendMessageBatch", 503, "ServiceUnavailable").json("SendMessageBatch", accepted(&["0"]));
    queues(&stub).await.send(vec![start(0, now())]).await.unwrap();
    assert_eq!(stub.asked("SendMessageBatch").len(), 2);
}
