//! What EventBridge forwards and what it refuses, as the templates are installed.

use manifold_tests::local_aws::organization::{HUB_REGION, Organization, PIPELINE, REGIONS, RELEASE_PIPELINE};
use manifold_tests::local_aws::router::Delivery;
use serde_json::{Value, json};

fn state_change(account: &str, region: &str, pipeline: &str) -> Value {
    json!({
        "version": "0", "id": "3dafeae8-2f2c-4b9d-9f6c-7f2f6a5d9e10", "time": "2026-10-26T13:58:01Z",
        "detail-type": "CodePipeline Pipeline Execution State Change", "source": "aws.codepipeline",
        "account": account, "region": region,
        "resources": [format!("arn:aws:codepipeline:{region}:{account}:{pipeline}")],
        "detail": {"pipeline": pipeline, "execution-id": "01234567-0123-0123-0123-012345678901",
                   "state": "STARTED", "version": 1.0, "pipeline-execution-attempt": 1.0},
    })
}

#[tokio::test]
async fn a_state_change_reaches_collect_from_every_region_and_others_reach_nothing() {
    let story = Organization::installed().await;
    let collect = format!("arn:aws:sqs:{HUB_REGION}:{}:{}", story.hub, story.name("collect"));
    for account in [&story.dev, &story.prod] {
        for region in REGIONS {
            let deliveries = story.put(&state_change(account, region, PIPELINE)).await;
            assert_eq!(deliveries, [Delivery::Taken { queue: collect.clone() }], "{account} {region}");
        }
    }
    assert_eq!(story.put(&state_change(&story.dev, "eu-west-1", "someone-elses")).await, []);
    assert_eq!(story.put(&state_change(&story.dev, "eu-north-1", PIPELINE)).await, [], "no rule in this Region");
    let stranger = "999999999999";
    assert_eq!(story.put(&state_change(stranger, "eu-west-1", PIPELINE)).await, []);
    assert_eq!(story.put(&state_change(&story.hub, HUB_REGION, RELEASE_PIPELINE)).await, [], "STARTED is no release");
}

#[tokio::test]
async fn without_its_role_nothing_is_forwarded_and_the_dead_letter_says_why() {
    let story = Organization::installed().await;
    let iam = story.iam(&story.dev).await;
    iam.delete_role_policy().role_name(story.name("forward")).policy_name("forward").send().await.unwrap();
    let deliveries = story.put(&state_change(&story.dev, "eu-west-1", PIPELINE)).await;
    let [Delivery::Refused { code: "NO_PERMISSIONS", reason, .. }] = deliveries.as_slice() else {
        panic!("{deliveries:?}")
    };
    assert!(reason.contains("may not put events"), "{reason}");
    let config = story.server().root(&story.dev, "eu-west-1").await;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let url = sqs.get_queue_url().queue_name(story.name("forward-undelivered")).send().await.unwrap();
    let received = sqs.receive_message().set_queue_url(url.queue_url).message_attribute_names("All").send().await;
    let attributes = received.unwrap().messages.unwrap()[0].message_attributes.clone().unwrap();
    assert_eq!(attributes["ERROR_CODE"].string_value(), Some("NO_PERMISSIONS"));
}

#[tokio::test]
async fn an_account_that_the_hub_does_not_know_is_not_let_in() {
    let story = Organization::installed().await;
    // The stack is told of one member only: its bus's policy and its rules' patterns follow.
    let fleet = story.fleet();
    let (before, after) = (fleet.split("  prod:\n    id").next().unwrap(), fleet.split("\napps:").nth(1).unwrap());
    let dev_only = format!("{before}\napps:{after}");
    story.write_fleet(dev_only.split("      - name: prod").next().unwrap());
    story.install().await;
    let deliveries = story.put(&state_change(&story.prod, "eu-west-1", PIPELINE)).await;
    assert!(
        matches!(deliveries.as_slice(), [Delivery::Refused { code: "NO_PERMISSIONS", reason, .. }] if reason.contains("policy")),
        "{deliveries:?}"
    );
}
