//! What is the same for all engines: who may call, what nobody should ask, and what goes wrong on request.

use aws_credential_types::Credentials;
use aws_sdk_codedeploy::types::{AppSpecContent, RevisionLocation, RevisionLocationType};
use manifold_core::ids::TargetKey;
use manifold_tests::standin::Setting;
use manifold_tests::wire::engines::cloudformation::Stack;
use manifold_tests::wire::engines::codebuild::Project;
use manifold_tests::wire::engines::codedeploy::{Group, Platform};
use manifold_tests::wire::engines::{Fate, Mishap};
use serde_json::json;

use crate::stage::{REGION, Stage, TARGET, code, config, everything, place};

async fn set(setting: Setting, statements: serde_json::Value) -> Stage {
    let stage = Stage::with(setting, statements).await;
    stage.engines(|engines| {
        engines.codebuild.define(&place(), Project::new("web-deploy"));
        engines.codedeploy.define(&place(), Group::new("shop", "shop-blue-green", Platform::Ecs));
        engines.cloudformation.declare(&place(), Stack::new("web"));
    });
    stage
}

fn revision() -> RevisionLocation {
    let content = AppSpecContent::builder().content("version: 0.0").build();
    RevisionLocation::builder().revision_type(RevisionLocationType::AppSpecContent).app_spec_content(content).build()
}

#[tokio::test]
async fn only_the_targets_role_may_call_and_only_what_its_session_allows() {
    let project = "arn:aws:codebuild:eu-west-1:444455556666:project/web-*";
    let statement = json!({"Effect": "Allow", "Action": ["codebuild:StartBuild"], "Resource": [project, "arn:x"]});
    let stage = set(Setting::default(), json!([statement])).await;
    let started = stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
    assert_eq!(stage.standin.violations(), Vec::<String>::new());
    let id = started.build_value().unwrap().id().unwrap();
    stage.codebuild().batch_get_builds().ids(id).send().await.unwrap_err();
    stage.codebuild().start_build().project_name("other").send().await.unwrap_err();
    let hub = Credentials::new("ASIAHUB0000000000000", "x", Some("hub-session-token".to_owned()), None, "test");
    let hub = aws_sdk_codebuild::Client::new(&config(&stage.standin.url(), REGION, hub).await);
    hub.start_build().project_name("web-deploy").send().await.unwrap_err();
    let nobody = Credentials::new("ASIANOBODY", "x", Some("token".to_owned()), None, "test");
    let nobody = aws_sdk_codebuild::Client::new(&config(&stage.standin.url(), REGION, nobody).await);
    nobody.start_build().project_name("web-deploy").send().await.unwrap_err();
    let violations = stage.standin.violations();
    let expected = [
        "does not allow codebuild:BatchGetBuilds on arn:aws:codebuild:eu-west-1:444455556666:project/web-deploy",
        "does not allow codebuild:StartBuild on arn:aws:codebuild:eu-west-1:444455556666:project/other",
        "codebuild is not in the hub",
        "nobody was given the key",
    ];
    assert_eq!(violations.len(), expected.len(), "{violations:?}");
    for (violation, expected) in violations.iter().zip(expected) {
        assert!(violation.contains(expected), "{violation}");
    }
    assert_eq!(stage.engines(|engines| engines.codebuild.builds().len()), 1);
}

#[tokio::test]
async fn to_start_needs_more_permissions_than_one() {
    let without = |action: &str| {
        let mut statements = everything();
        statements[0]["Action"].as_array_mut().unwrap().retain(|each| each != action);
        statements
    };
    for action in [
        "codedeploy:GetDeploymentConfig",
        "codedeploy:GetApplicationRevision",
        "codedeploy:RegisterApplicationRevision",
        "s3:GetObject",
        "iam:PassRole",
    ] {
        let stage = set(Setting::default(), without(action)).await;
        let create = stage.codedeploy().create_deployment().application_name("shop");
        let create = create.deployment_group_name("shop-blue-green").revision(revision());
        let deployed = create.send().await.is_ok();
        let change = stage.cloudformation().create_change_set().stack_name("web").change_set_name("mf-1");
        let change = change.template_url("https://artifacts.s3.eu-west-1.amazonaws.com/t.yaml");
        let changed = change.role_arn(format!("arn:aws:iam::{TARGET}:role/web-stack")).send().await.is_ok();
        assert_eq!(
            (deployed, changed),
            (!action.starts_with("codedeploy"), action.starts_with("codedeploy")),
            "{action}"
        );
        let violations = stage.standin.violations();
        assert!(
            violations.len() == 1 && violations[0].contains(&format!("does not allow {action} on ")),
            "{violations:?}"
        );
    }
}

#[tokio::test]
async fn what_no_engine_asks_is_a_violation() {
    let stage = set(Setting::default(), everything()).await;
    let (builds, deployments, stacks) = (stage.codebuild(), stage.codedeploy(), stage.cloudformation());
    builds.start_build().project_name("web-deploy").buildspec_override("x").send().await.unwrap_err();
    builds.list_projects().send().await.unwrap_err();
    let create = deployments.create_deployment().application_name("shop").deployment_group_name("shop-blue-green");
    create.revision(revision()).ignore_application_stop_failures(true).send().await.unwrap_err();
    deployments.list_applications().send().await.unwrap_err();
    let change = stacks.create_change_set().stack_name("web").change_set_name("mf-1").template_body("{}");
    change.send().await.unwrap_err();
    stacks.list_stacks().send().await.unwrap_err();
    stacks.create_change_set().stack_name("web").change_set_name("no spaces").send().await.unwrap_err();
    let violations = stage.standin.violations();
    let expected = [
        "there is no member 'buildspecOverride'",
        "no engine calls CodeBuild's ListProjects",
        "there is no member 'ignoreApplicationStopFailures'",
        "no engine calls CodeDeploy's ListApplications",
        "there is no member 'TemplateBody'",
        "does not allow cloudformation:ListStacks",
        "Value 'no spaces' at 'ChangeSetName'",
    ];
    assert_eq!(violations.len(), expected.len(), "{violations:#?}");
    for (violation, expected) in violations.iter().zip(expected) {
        assert!(violation.contains(expected), "{violation}");
    }
    assert!(stage.engines(|engines| engines.codebuild.builds().is_empty()));
    assert!(stage.engines(|engines| engines.codedeploy.deployments().is_empty()));
}

#[tokio::test]
async fn every_target_has_its_own() {
    let stage = set(Setting::default(), everything()).await;
    let elsewhere = TargetKey { region: "us-east-1".parse().unwrap(), ..place() };
    stage.engines(|engines| engines.behave(&elsewhere, Fate::NeverEnds));
    stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
    let start = stage.codebuild().start_build().project_name("web-deploy").customize();
    let there = aws_sdk_codebuild::config::Builder::new().region(aws_config::Region::new("us-east-1"));
    let refused = start.config_override(there).send().await;
    assert_eq!(code(refused), "ResourceNotFoundException");
    stage.settle();
    assert_eq!(stage.engines(|engines| engines.codebuild.builds()[0].status), "SUCCEEDED");
    assert_eq!(stage.engines(|engines| engines.calls(&elsewhere)["StartBuild"]), 1);
}

#[tokio::test]
async fn a_call_is_throttled_in_the_words_of_its_service() {
    let stage = set(Setting::default(), everything()).await;
    for operation in ["StartBuild", "CreateDeployment", "DescribeStacks"] {
        stage.engines(|engines| engines.befall(&place(), operation, Mishap::Throttled));
    }
    let start = || stage.codebuild().start_build().project_name("web-deploy").send();
    let create = || {
        let create = stage.codedeploy().create_deployment().application_name("shop");
        create.deployment_group_name("shop-blue-green").revision(revision()).send()
    };
    let describe = || stage.cloudformation().describe_stacks().stack_name("web").send();
    assert_eq!(code(start().await), "ThrottlingException");
    assert_eq!(code(create().await), "ThrottlingException");
    assert_eq!(code(describe().await), "Throttling");
    start().await.unwrap();
    create().await.unwrap();
    describe().await.unwrap();
    let calls = stage.engines(|engines| engines.calls(&place()));
    assert!(calls.values().all(|calls| *calls == 2), "{calls:?}");
}

#[tokio::test]
async fn an_answer_is_lost_and_the_call_was_carried_out() {
    let stage = set(Setting::default(), everything()).await;
    stage.engines(|engines| engines.befall(&place(), "CreateDeployment", Mishap::Unanswered));
    let create = || {
        let create = stage.codedeploy().create_deployment().application_name("shop");
        create.deployment_group_name("shop-blue-green").revision(revision()).send()
    };
    let lost = create().await.unwrap_err();
    assert_eq!(lost.raw_response().unwrap().status().as_u16(), 500);
    assert_eq!(stage.engines(|engines| engines.codedeploy.deployments().len()), 1);
    assert_eq!(stage.standin.lost()["codedeploy.CreateDeployment"], 1);
    assert_eq!(code(create().await), "DeploymentLimitExceededException");
}

#[tokio::test]
async fn every_nth_answer_is_lost_of_what_changes_something() {
    let setting = Setting { lose_answers: Some(2), ..Setting::default() };
    let stage = set(setting, everything()).await;
    let start = async || stage.codebuild().start_build().project_name("web-deploy").send().await.is_ok();
    assert_eq!([start().await, start().await, start().await, start().await], [true, false, true, false]);
    assert_eq!(stage.engines(|engines| engines.codebuild.builds().len()), 4);
}

#[tokio::test]
async fn events_are_lost_for_a_target_as_long_as_a_story_says() {
    let stage = set(Setting::default(), everything()).await;
    stage.engines(|engines| engines.lose_events(&place(), true));
    stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
    assert_eq!(stage.settle(), Vec::<serde_json::Value>::new());
    assert_eq!(stage.engines(|engines| engines.codebuild.builds()[0].status), "SUCCEEDED");
    stage.engines(|engines| engines.lose_events(&place(), false));
    stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
    assert_eq!(stage.settle().len(), 12, "two of its state, ten of its phases");
}

#[tokio::test]
async fn no_event_arrives_where_none_does() {
    let stage = set(Setting { no_events: true, ..Setting::default() }, everything()).await;
    stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
    assert_eq!(stage.settle(), Vec::<serde_json::Value>::new());
    assert_eq!(stage.engines(|engines| engines.codebuild.builds()[0].status), "SUCCEEDED");
}

#[tokio::test]
async fn nothing_moves_before_it_is_due_and_by_steps_only_what_is_meant() {
    let stage = set(Setting::default(), everything()).await;
    let start = async || {
        let started = stage.codebuild().start_build().project_name("web-deploy").send().await.unwrap();
        started.build_value.unwrap().id.unwrap()
    };
    stage.engines(|engines| engines.behave(&place(), Fate::succeeds(1000)));
    start().await;
    let phase = || stage.engines(|engines| engines.codebuild.builds()[0].phase());
    stage.pass(90);
    let _ = stage.standin.take_events();
    assert_eq!(phase(), "SUBMITTED");
    stage.pass(20);
    let _ = stage.standin.take_events();
    assert_eq!(phase(), "QUEUED");
    let now = stage.now();
    assert_eq!(stage.engines(|engines| engines.step(&["777788889999"], now)), 0);
    assert_eq!(stage.engines(|engines| engines.step(&[TARGET], now)), 1);
    assert_eq!(phase(), "PROVISIONING");
    assert!(stage.engines(|engines| engines.are_busy(&[TARGET]) && !engines.are_busy(&["777788889999"])));
    while stage.engines(|engines| engines.step(&[TARGET], now)) > 0 {}
    assert_eq!(phase(), "COMPLETED");
    assert!(stage.engines(|engines| !engines.are_busy(&[TARGET])));
}
