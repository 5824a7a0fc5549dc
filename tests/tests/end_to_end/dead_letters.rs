//! `manifold dead-letters` on the queues and the ledger of an installed hub.

use std::time::Duration;

use manifold_core::ids::Attempt;
use manifold_core::message::{Message, Payload};
use manifold_core::run::Verdict;
use manifold_tests::local_aws::organization::{Organization, PIPELINE};
use manifold_tests::local_aws::patience;
use manifold_tests::local_aws::router::Delivery;
use serde_json::{Value, json};

/// More than enough for a run of ten targets.
const LIMIT: Duration = Duration::from_secs(300);

async fn put(story: &Organization, queue: &str, body: &str) {
    let sqs = story.sqs().await;
    sqs.send_message().queue_url(story.queue(queue).await).message_body(body).send().await.unwrap();
}

/// Every letter: its queue without the hub's prefix, its case, and whether a redrive helps.
async fn listed(story: &Organization, status: i32) -> Vec<[String; 3]> {
    let done = story.dead_letters(&["--output", "json"]).await;
    assert_eq!(done.status, Some(status), "{done:#?}");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let letters = done.json()["letters"].as_array().unwrap().clone();
    let mut letters: Vec<[String; 3]> = letters
        .iter()
        .map(|letter| {
            let queue = word(&letter["queue"]).replace(&story.name(""), "");
            [queue, word(&letter["kind"]), word(&letter["redrive"])]
        })
        .collect();
    letters.sort();
    letters
}

async fn ids(story: &Organization) -> Vec<String> {
    let done = story.dead_letters(&["--output", "json"]).await;
    let letters = done.json()["letters"].as_array().unwrap().clone();
    letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_given_up_is_explained_and_redriven_and_poison_is_dropped() {
    let story = Organization::installed().await;
    story.hide_for("collect", 1).await;
    assert_eq!(listed(&story, 0).await, [] as [[String; 3]; 0]);

    // A fault that has passed kept a release from being taken in; and somebody sent what nobody can read.
    let event = story.release();
    let run = story.run_of(&event);
    let poison = "{ this is not what it should be";
    put(&story, "dispatch-dead", &event.to_string()).await;
    put(&story, "collect-dead", poison).await;
    let found = listed(&story, 1).await;
    assert_eq!(found, [["collect-dead", "unreadable", "comes_back"], ["dispatch-dead", "pending", "helps"]]);
    assert_eq!(listed(&story, 1).await, found, "looking changes nothing");

    let done = story.dead_letters(&["redrive", "--all"]).await;
    assert_eq!(done.status, Some(3), "nobody agreed: {done:#?}");
    assert_eq!(story.summary(&run).await, None);
    let done = story.dead_letters(&["redrive", "--all", "--yes"]).await;
    assert_eq!(done.status, Some(1), "poison is left where it is: {done:#?}");
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded), "redriven, the release is deployed");
    assert_eq!(listed(&story, 1).await, [["collect-dead", "unreadable", "comes_back"]]);

    // A message of the run that is over: it is taken in and starts nothing.
    let start = Payload::Start { run: run.clone(), index: 0, attempt: Attempt::FIRST };
    put(&story, "deploy-dead", &Message::new(start).encode().unwrap()).await;
    let over = ["deploy-dead", "run_over", "changes_nothing"];
    assert_eq!(listed(&story, 1).await, [["collect-dead", "unreadable", "comes_back"], over]);
    let done = story.dead_letters(&["redrive", "--queue", "deploy-dead", "--yes"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    story.settle(&run, LIMIT).await;
    let pipelines = story.front().pipelines();
    assert_eq!(pipelines.executions(&story.dev).len() + pipelines.executions(&story.prod).len(), 10);

    // By force, poison is tried again, and comes back as was said.
    let done = story.dead_letters(&["redrive", "--all", "--force", "--yes"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    patience::until("the dead letter", LIMIT, async || {
        let (dead, queues) = (story.messages("collect-dead").await, story.queues().await);
        let others = queues.iter().filter(|(name, _)| !name.ends_with("summarize")).count();
        if dead == [poison] && others == 1 { Ok(()) } else { Err(format!("{dead:?}, queues {queues:?}")) }
    })
    .await;
    let found = ids(&story).await;
    let [id] = found.as_slice() else { panic!("one letter: {found:?}") };
    let done = story.dead_letters(&["drop", "--id", id, "--yes"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    story.emptied(LIMIT).await;
    assert_eq!(listed(&story, 0).await, [] as [[String; 3]; 0]);
}

#[tokio::test]
async fn an_event_that_a_member_could_not_forward_is_found_there_and_redriven_to_the_hub() {
    let story = Organization::installed().await;
    let iam = story.iam(&story.dev).await;
    iam.delete_role_policy().role_name(story.name("forward")).policy_name("forward").send().await.unwrap();
    let event = json!({
        "version": "0", "id": "3dafeae8-2f2c-4b9d-9f6c-7f2f6a5d9e10", "time": "2026-10-26T13:58:01Z",
        "detail-type": "CodePipeline Pipeline Execution State Change", "source": "aws.codepipeline",
        "account": story.dev, "region": "eu-west-1",
        "resources": [format!("arn:aws:codepipeline:eu-west-1:{}:{PIPELINE}", story.dev)],
        "detail": {"pipeline": PIPELINE, "execution-id": "01234567-0123-0123-0123-012345678901",
                   "state": "STARTED", "version": 1.0, "pipeline-execution-attempt": 1.0},
    });
    let deliveries = story.put(&event).await;
    assert!(matches!(deliveries.as_slice(), [Delivery::Refused { .. }]), "{deliveries:?}");

    assert_eq!(listed(&story, 0).await, [] as [[String; 3]; 0], "it lies in the member's account");
    let there = ["--members", "--region", "eu-west-1", "--output", "json"];
    let done = story.dead_letters(&there).await;
    assert_eq!(done.status, Some(1), "{done:#?}");
    let letter = done.json()["letters"][0].clone();
    assert!(letter["cause"].as_str().unwrap().contains("NO_PERMISSIONS"), "{letter:#}");
    assert_eq!((&letter["kind"], &letter["redriven_to"]), (&json!("not_ours"), &json!("collect")), "{letter:#}");

    let redrive = ["redrive", "--members", "--region", "eu-west-1", "--queue", "forward-undelivered", "--yes"];
    let done = story.dead_letters(&redrive).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    assert_eq!(story.dead_letters(&there).await.status, Some(0));
    story.emptied(LIMIT).await;
}
