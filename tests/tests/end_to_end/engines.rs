//! One run over all four engines.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use manifold_core::ids::RunId;
use manifold_core::run::{Outcome, Verdict};
use manifold_tests::local_aws::front::codepipeline::{Behaviour, PipelineId};
use manifold_tests::local_aws::organization::{COMMIT, Organization, PIPELINE, REGIONS};
use manifold_tests::mixed::{self, OF_BUILDS, OF_DEPLOYMENTS, OF_STACKS, STACK, STACK_ROLE, place};
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::cloudformation::{Change, Stack};
use serde_json::json;

use crate::story::{LIMIT, one_message, outcome, release, target};

/// Builds, stacks and deployments in three of the five Regions.
async fn mixed_fleet() -> Organization {
    let story = Organization::new().await;
    // The emulator's IAM knows no `iam:PassedToService`, so that nobody may pass a role there.
    let fleet = mixed::fleet(&story.fleet());
    story.write_fleet(&fleet.replace(&format!("            role: {STACK_ROLE}\n"), ""));
    for account in [&story.dev, &story.prod] {
        for region in REGIONS {
            let pipeline = story.target_pipeline(&PipelineId::new(account, region, PIPELINE));
            story.front().pipelines().define(pipeline.variable("LogLevel", Some("none")));
        }
        story.front().engines(|engines| mixed::set(engines, account));
        let (bucket, key, text) = mixed::parameters_file(account, COMMIT);
        let root = story.server().root(account, OF_STACKS).await;
        let root = aws_sdk_s3::config::Builder::from(&root).force_path_style(true).build();
        let objects = aws_sdk_s3::Client::from_conf(root);
        let there = BucketLocationConstraint::from(OF_STACKS);
        let there = CreateBucketConfiguration::builder().location_constraint(there).build();
        objects.create_bucket().bucket(&bucket).create_bucket_configuration(there).send().await.unwrap();
        objects.put_object().bucket(&bucket).key(key).body(text.into_bytes().into()).send().await.unwrap();
    }
    story.install().await;
    story
}

/// What was started in the run, by the Region and what it is: twice each, once in each account.
fn started(story: &Organization, run: &RunId) -> BTreeMap<(String, &'static str), usize> {
    let session = format!("/mf-{run}");
    let mut started = BTreeMap::new();
    let mut count = |region: &str, what, by: &str| {
        assert!(by.ends_with(&session), "{what} in {region} by {by}");
        *started.entry((region.to_owned(), what)).or_default() += 1;
    };
    let members = [story.dev.as_str(), story.prod.as_str()];
    let is_ours = |account: &str| members.contains(&account);
    for account in members {
        for execution in story.front().pipelines().executions(account) {
            count(&execution.pipeline.region, "execution", execution.cause.detail());
        }
    }
    story.front().engines(|engines| {
        for build in engines.codebuild.builds().iter().filter(|each| is_ours(each.place.account.as_str())) {
            assert_eq!(build.source_version.as_deref(), Some(COMMIT));
            count(build.place.region.as_str(), "build", &build.started_by);
        }
        let executions = engines.cloudformation.executions().iter();
        for execution in executions.filter(|each| is_ours(each.place.account.as_str())) {
            assert_eq!(execution.parameters["Table"], "web-7", "of the parameters file");
            count(execution.place.region.as_str(), "change set", &execution.started_by);
        }
        let deployments = engines.codedeploy.deployments().iter();
        for deployment in deployments.filter(|each| is_ours(each.place.account.as_str())) {
            count(deployment.place.region.as_str(), "deployment", &deployment.started_by);
        }
    });
    started
}

fn one_of_each(story: &Organization, run: &RunId) {
    let expected = REGIONS.map(|region| {
        let what = match region {
            OF_BUILDS => "build",
            OF_STACKS => "change set",
            OF_DEPLOYMENTS => "deployment",
            _ => "execution",
        };
        ((region.to_owned(), what), 2)
    });
    assert_eq!(started(story, run), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_fleet_of_four_engines_is_one_run_and_one_message() {
    let story = mixed_fleet().await;
    let (run, summary) = release(&story).await;
    let ended = (summary.verdict, summary.tally.succeeded);
    let refused = [&story.dev, &story.prod].map(|account| story.front().refusals(account));
    assert_eq!(ended, (Some(Verdict::Succeeded), 10), "{:#?}, {refused:#?}", summary.causes);
    assert_eq!(summary.asked_for, 0, "every event was forwarded");
    one_of_each(&story, &run);
    let message = one_message(&story);
    for words in ["succeeded", &COMMIT[..8], "Mary Major"] {
        assert!(message.contains(words), "{words} is missing: {message}");
    }
    story.emptied(LIMIT).await;
    assert_eq!(story.refused(), []);
    assert_eq!(story.front().troubles(), [""; 0]);
    for account in [&story.dev, &story.prod] {
        let refused = story.front().refusals(account);
        // That there is no change set of the attempt yet is how its first start is known.
        assert!(refused.iter().all(|refusal| refusal.contains("ChangeSetNotFound")), "{refused:#?}");
    }
}

#[tokio::test]
async fn one_failure_of_each_engine_is_told_with_its_reason() {
    let story = mixed_fleet().await;
    let failure = Behaviour::fails("Deploy", "JobFailed", "The health checks of 3 of 4 instances failed");
    story.front().pipelines().behave(&target(&story.prod, "us-east-1"), failure);
    let failures = [
        (
            OF_BUILDS,
            Fate::fails(60, "BUILD", "COMMAND_EXECUTION_ERROR", "ansible-playbook: exit status 2"),
            "FAILED in phase BUILD",
            "ansible-playbook: exit status 2",
        ),
        (
            OF_STACKS,
            Fate::fails(60, "Function", "AccessDenied", "not authorized to perform lambda:UpdateFunctionCode"),
            "UPDATE_FAILED of Function (AWS::Lambda::Function)",
            "not authorized to perform lambda:UpdateFunctionCode",
        ),
        (
            OF_DEPLOYMENTS,
            Fate::fails(60, "AfterAllowTestTraffic", "HOOK_EXECUTION_FAILURE", "The function smoke-test failed"),
            "HOOK_EXECUTION_FAILURE in lifecycle event AfterAllowTestTraffic",
            "The function smoke-test failed",
        ),
    ];
    for (region, fate, _, _) in &failures {
        story.front().engines(|engines| engines.behave(&place(&story.prod, region), fate.clone()));
    }
    let (run, summary) = release(&story).await;
    let ended = (summary.verdict, summary.tally.succeeded);
    assert_eq!(ended, (Some(Verdict::CompletedWithFailures), 6), "{:#?}", summary.causes);
    one_of_each(&story, &run);
    // Without what keeps Slack from reading `:Lambda:` as an emoji.
    let plain = |text: String| text.replace('\u{2236}', ":");
    let message = plain(one_message(&story));
    let messages = story.slack().messages();
    let thread: Vec<String> =
        messages.iter().filter(|each| each.thread_ts.is_some()).map(|each| plain(each.shown().to_string())).collect();
    assert_eq!(thread.len(), 1, "{messages:#?}");
    let pipeline = ("us-east-1", "JobFailed in action Deploy", "JobFailed");
    let others = failures.iter().map(|(region, _, cause, why)| (*region, *cause, *why));
    for (region, cause, why) in others.chain([pipeline]) {
        assert_eq!(outcome(&summary, &format!("prod/{region}")), Some(Outcome::Failed), "{region}");
        assert!(message.contains(cause), "{cause} is missing: {message}");
        assert!(thread[0].contains(why), "{why} is missing: {}", thread[0]);
    }
    assert_eq!(story.front().troubles(), [""; 0]);
}

#[tokio::test]
async fn what_change_sets_would_do_is_told_before_the_release_and_nothing_is_left_of_them() {
    let story = mixed_fleet().await;
    let mut web = Stack::new(STACK);
    web.changes.push(Change::replace("Table", "AWS::DynamoDB::Table"));
    story.front().engines(|engines| engines.cloudformation.declare(&place(&story.prod, OF_STACKS), web));
    let plan = async |more: &[&str]| {
        let arguments = ["web", "--revision", COMMIT, "--change-sets"];
        story.control("plan", &[arguments.as_slice(), more].concat()).await
    };
    let done = plan(&[]).await;
    assert_eq!(done.status, Some(1), "{done:#?}");
    for words in [
        "✔ 1 target: would be executed\n    in dev/eu-central-1\n    changes Function (AWS::Lambda::Function)\n",
        "✖ 1 target: would not be executed",
        "    in prod/eu-central-1\n    replaces Table (AWS::DynamoDB::Table)\n",
    ] {
        assert!(done.out.contains(words), "{words} is missing: {}", done.out);
    }

    // Once nothing is lost, in the form that scripts read.
    story.front().engines(|engines| mixed::set(engines, &story.prod));
    let done = plan(&["--output", "json"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    let told = done.json();
    let told: Vec<_> =
        told["targets"].as_array().unwrap().iter().filter(|told| !told["change_set"].is_null()).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for target in told {
        assert_eq!(target["region"], OF_STACKS);
        let change = json!([
            {"effect": "changes", "resource": "Function", "kind": "AWS::Lambda::Function"},
            {"effect": "changes", "resource": "Alias", "kind": "AWS::Lambda::Alias"},
        ]);
        assert_eq!(target["change_set"], json!({"told": {"changes": change}, "executed": true}));
    }

    for account in [&story.dev, &story.prod] {
        let place = place(account, OF_STACKS);
        let left = story.front().engines(|engines| engines.cloudformation.change_sets(&place, STACK));
        assert_eq!(left, [""; 0]);
        let refused = story.front().refusals(account);
        assert!(refused.iter().all(|refusal| refusal.contains("ChangeSetNotFound")), "{refused:#?}");
    }
    let members = [story.dev.as_str(), story.prod.as_str()];
    story.front().engines(|engines| {
        let executed = engines.cloudformation.executions().iter();
        assert_eq!(executed.filter(|each| members.contains(&each.place.account.as_str())).count(), 0);
    });
    assert_eq!(story.refused(), []);
    assert_eq!(story.front().troubles(), [""; 0]);
}
