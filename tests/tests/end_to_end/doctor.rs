//! `manifold doctor`, with each thing taken away in turn.

use aws_sdk_eventbridge::types::Target;
use manifold_tests::local_aws::front::codepipeline::{Pipeline, PipelineId};
use manifold_tests::local_aws::organization::{CHANNEL, HUB_REGION, Organization, PIPELINE, RELEASE_PIPELINE};
use serde_json::{Value, json};

/// What doctor found that is not well and follows from nothing else: check, subjects, and the fix.
#[derive(Debug)]
#[expect(dead_code, reason = "a story that fails prints all of it")]
struct Found {
    check: String,
    state: String,
    subjects: String,
    cause: String,
    detail: String,
    remedy: String,
}

async fn doctor(story: &Organization) -> (Option<i32>, Vec<Found>) {
    let done = story.doctor(&["--output", "json"]).await;
    let report = done.json();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = report["causes"].as_array().unwrap_or_else(|| panic!("{done:#?}"));
    let found = causes.iter().map(|cause| Found {
        check: word(&cause["check"]),
        state: word(&cause["state"]),
        subjects: cause["subjects"].to_string(),
        cause: word(&cause["cause"]),
        detail: word(&cause["detail"]),
        remedy: word(&cause["remedy"]),
    });
    (done.status, found.collect())
}

/// Doctor finds one thing, in one place, and says how to mend it.
async fn finds(story: &Organization, check: &str, subject: &str, remedy: &str) {
    let (status, found) = doctor(story).await;
    assert_eq!(status, Some(1), "{check}: {found:#?}");
    let fails: Vec<&Found> = found.iter().filter(|found| found.state == "fails").collect();
    let [only] = fails.as_slice() else { panic!("{check}: expected one cause: {found:#?}") };
    assert_eq!(only.check, check, "{only:#?}");
    assert!(only.subjects.contains(subject), "{subject}: {only:#?}");
    assert!(only.remedy.contains(remedy), "{remedy}: {only:#?}");
}

#[tokio::test]
async fn where_everything_is_there_all_is_well() {
    let story = Organization::installed().await;
    let (status, found) = doctor(&story).await;
    assert_eq!((status, found.len()), (Some(0), 0), "{found:#?}");
    let executions = story.front().pipelines().executions(&story.dev).len();
    assert_eq!(executions, 0, "looking starts nothing");
    assert_eq!(story.slack().messages().len(), 0, "and posts nothing");
}

#[tokio::test]
async fn a_hub_that_is_not_installed_is_told_with_the_command_that_does_it() {
    let story = Organization::new().await;
    let (status, found) = doctor(&story).await;
    assert_eq!(status, Some(1), "{found:#?}");
    assert!(
        found.iter().any(|found| found.check == "hub_function" && found.remedy.contains("manifold install")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn each_part_of_a_member_account_that_is_missing_is_named() {
    let story = Organization::installed().await;
    let iam = story.iam(&story.prod).await;
    let role = iam.get_role().role_name("ManifoldTarget").send().await.unwrap().role.unwrap();
    let trust = percent(role.assume_role_policy_document().unwrap());
    let policy = iam.get_role_policy().role_name("ManifoldTarget").policy_name("targets").send().await.unwrap();
    let policy = percent(policy.policy_document());
    let put = async |document: &str| {
        let put = iam.put_role_policy().role_name("ManifoldTarget").policy_name("targets");
        put.policy_document(document).send().await.unwrap();
    };

    for (action, check) in [
        ("codepipeline:StartPipelineExecution", "start_permission"),
        ("codepipeline:ListPipelineExecutions", "list_pipeline_executions"),
        ("codepipeline:ListActionExecutions", "list_action_executions"),
    ] {
        put(&policy.replace(action, "codepipeline:GetPipelineState")).await;
        finds(&story, check, "prod/eu-west-1", action).await;
    }
    put(&policy).await;

    let other = trust.replace("rollouts-7f3a", "another-id");
    assert_ne!(other, trust);
    let update = iam.update_assume_role_policy().role_name("ManifoldTarget");
    update.clone().policy_document(other).send().await.unwrap();
    finds(&story, "assume_role", "prod/us-east-1", "ExternalId").await;
    update.policy_document(trust).send().await.unwrap();

    story.front().faults().disable_region(&story.prod, "ap-southeast-2");
    finds(&story, "region", "prod/ap-southeast-2", "enable-region").await;
    story.front().faults().clear(&story.prod);

    // Rollouts do not need the role that only reads: what it would have seen is unknown, and not well.
    let inspect = iam.list_role_policies().role_name("ManifoldInspect").send().await.unwrap();
    for name in inspect.policy_names() {
        iam.delete_role_policy().role_name("ManifoldInspect").policy_name(name).send().await.unwrap();
    }
    iam.delete_role().role_name("ManifoldInspect").send().await.unwrap();
    let (status, found) = doctor(&story).await;
    assert_eq!(status, Some(3), "{found:#?}");
    assert!(found.iter().all(|found| found.state == "unknown"), "{found:#?}");
    assert!(found.iter().any(|found| found.check == "inspect_role" && found.subjects.contains("prod")), "{found:#?}");
}

#[tokio::test]
async fn each_way_in_which_a_pipeline_does_not_fit_is_named() {
    let story = Organization::installed().await;
    let pipelines = story.front().pipelines();
    let id = PipelineId::new(&story.dev, "eu-central-1", PIPELINE);
    let right = story.target_pipeline(&id);
    let place = "dev/eu-central-1";

    pipelines.delete(&id);
    finds(&story, "pipeline", place, PIPELINE).await;
    pipelines.define(right.clone().v1());
    finds(&story, "pipeline_type", place, "V2").await;
    let mut other = right.clone();
    other.variables.remove("COMMIT");
    pipelines.define(other);
    finds(&story, "variables", place, "COMMIT").await;
    let mut other: Pipeline = right.clone();
    other.stages[0].actions[0].name = "Checkout".to_owned();
    pipelines.define(other);
    finds(&story, "source_action", place, "source_action").await;
    pipelines.define(right);

    pipelines.delete(&PipelineId::new(&story.hub, HUB_REGION, RELEASE_PIPELINE));
    finds(&story, "release_pipeline", RELEASE_PIPELINE, "apps.*.release").await;
}

#[tokio::test]
async fn each_way_in_which_events_would_not_arrive_is_named() {
    let story = Organization::installed().await;
    let config = story.server().root(&story.dev, "ca-central-1").await;
    let events = aws_sdk_eventbridge::Client::new(&config);
    let place = "dev/ca-central-1";

    for (rule, check) in [("forward-pipeline", "forward_pipeline"), ("forward-failed-action", "forward_failed_action")]
    {
        let rule = &story.name(rule);
        events.disable_rule().name(rule).send().await.unwrap();
        finds(&story, check, place, "enable").await;
        events.enable_rule().name(rule).send().await.unwrap();
    }

    let rule = &story.name("forward-pipeline");
    let targets = events.list_targets_by_rule().rule(rule).send().await.unwrap().targets.unwrap();
    let [hub] = targets.as_slice() else { panic!("one target: {targets:?}") };
    let elsewhere = hub.arn().replace(&story.hub, &story.prod);
    let put = async |target: Target| {
        let put = events.put_targets().rule(rule).targets(target).send().await.unwrap();
        assert_eq!(put.failed_entry_count(), 0);
    };
    let wrong = Target::builder().id(hub.id()).arn(elsewhere).set_role_arn(hub.role_arn.clone()).build().unwrap();
    put(wrong).await;
    finds(&story, "forward_pipeline", place, "HubBusArn").await;
    put(hub.clone()).await;

    let bus = story.bus();
    let trust = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"AWS": story.prod}, "Action": "events:PutEvents", "Resource": bus,
    }]});
    story.front().tell_bus_policy(&bus, &trust);
    finds(&story, "bus_policy", "dev/us-east-1", "MemberAccounts").await;
    story.suit_the_emulator().await;

    events.remove_targets().rule(rule).ids(hub.id()).send().await.unwrap();
    events.delete_rule().name(rule).send().await.unwrap();
    finds(&story, "forward_pipeline", place, "member-region.yaml").await;
}

#[tokio::test]
async fn what_slack_would_refuse_is_named() {
    let story = Organization::installed().await;
    let slack = story.slack();
    slack.with(|workspace| workspace.channel(CHANNEL, "releases").is_member = false);
    finds(&story, "slack_channel", CHANNEL, "/invite").await;
    slack.with(|workspace| workspace.channel(CHANNEL, "releases").is_member = true);
    slack.with(|workspace| workspace.channel(CHANNEL, "releases").is_archived = true);
    finds(&story, "slack_channel", CHANNEL, "archive").await;
    slack.with(|workspace| workspace.channel(CHANNEL, "releases").is_archived = false);

    slack.with(|workspace| workspace.grant(&["chat:write"]));
    let (status, found) = doctor(&story).await;
    assert_eq!(status, Some(3), "{found:#?}");
    assert!(found[0].check == "slack_channel" && found[0].remedy.contains("channels:read"), "{found:#?}");

    slack.with(|workspace| workspace.revoke_token());
    finds(&story, "slack_token", CHANNEL, "bot token").await;
}

#[tokio::test]
async fn another_fleet_file_than_the_hub_has_is_told() {
    let story = Organization::installed().await;
    story.write_fleet(&story.fleet().replace("deadline: 2h", "deadline: 3h"));
    finds(&story, "fleet_file", "", "manifold install").await;
}

/// IAM answers with policies in percent-encoding.
fn percent(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
