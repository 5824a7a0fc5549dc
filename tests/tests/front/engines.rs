//! CodeBuild, CodeDeploy and the declared stacks of CloudFormation behind the front: who may call, what is passed on,
//! and how they move. What the services themselves do is told in `tests/engines`.

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_codedeploy::types::{AppSpecContent, RevisionLocation, RevisionLocationType};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use manifold_aws::clients;
use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use manifold_tests::local_aws::front::faults::{Fault, Lost, Which};
use manifold_tests::wire::engines::Mishap;
use manifold_tests::wire::engines::cloudformation::Stack;
use manifold_tests::wire::engines::codebuild::Project;
use manifold_tests::wire::engines::codedeploy::{Group, Platform};
use serde_json::json;

use crate::stage::{REGION, ROLE, Stage, TARGET};

fn place() -> TargetKey {
    TargetKey { account: TARGET.parse().unwrap(), region: REGION.parse().unwrap() }
}

async fn set() -> Stage {
    let stage = Stage::set().await;
    stage.front.engines(|engines| {
        engines.codebuild.define(&place(), Project::new("web-deploy"));
        engines.codedeploy.define(&place(), Group::new("shop", "shop-blue-green", Platform::Ecs));
        engines.cloudformation.declare(&place(), Stack::new("web"));
    });
    stage
}

async fn config(stage: &Stage, credentials: Credentials) -> SdkConfig {
    clients::loader()
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .endpoint_url(stage.front.uri())
        .retry_config(RetryConfig::disabled())
        .load()
        .await
}

/// The target's root.
async fn root(stage: &Stage) -> SdkConfig {
    config(stage, Credentials::new(TARGET, "test", None, None, "test")).await
}

/// A session of the target's role, whose policy allows these actions on this.
async fn session(stage: &Stage, actions: &[&str], resource: &str) -> SdkConfig {
    let statement = json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let assume = stage.clients().await.sts().assume_role().role_arn(ROLE).role_session_name("web-1").policy(policy);
    let session = assume.send().await.unwrap().credentials.unwrap();
    let token = Some(session.session_token);
    config(stage, Credentials::new(session.access_key_id, session.secret_access_key, token, None, "test")).await
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answered: Result<T, SdkError<E, R>>,
) -> String {
    answered.unwrap_err().code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_role_and_the_sessions_policy_must_both_allow_it() {
    let stage = set().await;
    stage.emulator.allow_action(ROLE, "codebuild:StartBuild");
    let project = "arn:aws:codebuild:eu-west-1:444455556666:project/*";
    let both = session(&stage, &["codebuild:StartBuild", "codebuild:BatchGetBuilds"], project).await;
    let both = aws_sdk_codebuild::Client::new(&both);
    let started = both.start_build().project_name("web-deploy").send().await.unwrap();
    let build = started.build_value().unwrap();
    assert_eq!(build.initiator(), Some("ManifoldTarget/web-1"));
    // The role does not allow it.
    assert_eq!(code(both.batch_get_builds().ids(build.id().unwrap()).send().await), "AccessDeniedException");
    // The session does not.
    let less = session(&stage, &["codebuild:StopBuild"], project).await;
    let less = aws_sdk_codebuild::Client::new(&less);
    assert_eq!(code(less.start_build().project_name("web-deploy").send().await), "AccessDeniedException");
    assert_eq!(stage.front.engines(|engines| engines.codebuild.builds().len()), 1);
    assert_eq!(stage.front.refusals(TARGET).len(), 2);
    assert_eq!(stage.front.calls(TARGET)["codebuild.StartBuild"], 2);
    // Nobody is let in whom STS does not know.
    let nobody = config(&stage, Credentials::new("ASIANOBODY", "x", Some("t".to_owned()), None, "test")).await;
    let nobody = aws_sdk_codebuild::Client::new(&nobody).start_build().project_name("web-deploy").send().await;
    assert_eq!(code(nobody), "UnrecognizedClientException");
}

#[tokio::test]
async fn a_deployment_needs_what_it_registers_and_a_stack_what_it_passes() {
    let stage = set().await;
    let all = ["codedeploy:CreateDeployment", "cloudformation:CreateChangeSet", "s3:GetObject"];
    for action in all {
        stage.emulator.allow_action(ROLE, action);
    }
    let config = session(&stage, &all, "*").await;
    let content = AppSpecContent::builder().content("version: 0.0").build();
    let revision = RevisionLocation::builder().revision_type(RevisionLocationType::AppSpecContent);
    let create = aws_sdk_codedeploy::Client::new(&config).create_deployment().application_name("shop");
    let create = create.deployment_group_name("shop-blue-green").revision(revision.app_spec_content(content).build());
    assert_eq!(code(create.send().await), "AccessDeniedException");
    let stacks = aws_sdk_cloudformation::Client::new(&config);
    let create = |name: &str| {
        let create = stacks.create_change_set().stack_name("web").change_set_name(name);
        create.template_url("https://artifacts.s3.eu-west-1.amazonaws.com/t.yaml")
    };
    let role = "arn:aws:iam::444455556666:role/web-stack";
    assert_eq!(code(create("mf-1").role_arn(role).send().await), "AccessDenied");
    create("mf-2").send().await.unwrap();
    let refused = stage.front.refusals(TARGET).join("\n");
    assert!(refused.contains("codedeploy:GetApplicationRevision") && refused.contains("iam:PassRole"), "{refused}");
}

#[tokio::test]
async fn only_a_declared_stack_is_answered_here() {
    let stage = set().await;
    let stacks = aws_sdk_cloudformation::Client::new(&root(&stage).await);
    let found = stacks.describe_stacks().stack_name("web").send().await.unwrap();
    assert_eq!(found.stacks()[0].stack_name(), Some("web"));
    let id = found.stacks()[0].stack_id().unwrap();
    stacks.describe_stack_events().stack_name(id).send().await.unwrap();
    assert!(stage.emulator.arrived("cloudformation").is_empty());
    // The emulator's answer is none of CloudFormation's here; that it was asked is what counts.
    let _ = stacks.describe_stacks().stack_name("other").send().await;
    let _ = stacks.describe_stacks().send().await;
    let elsewhere = aws_sdk_cloudformation::config::Builder::new().region(Region::new("us-east-1"));
    let _ = stacks.describe_stacks().stack_name("web").customize().config_override(elsewhere).send().await;
    let _ = stacks.detect_stack_drift().stack_name("other").send().await;
    assert_eq!(stage.emulator.arrived("cloudformation").len(), 4);
    assert_eq!(code(stacks.delete_stack().stack_name("web").send().await), "NotUnderstoodByTheStandIn");
    assert!(stage.front.troubles()[0].contains("no engine calls CloudFormation's DeleteStack"));
}

#[tokio::test]
async fn nothing_moves_by_itself_and_events_tell_the_accounts_time() {
    let stage = set().await;
    stage.pipelines().set_ahead(TARGET, Span::from_minutes(600));
    let builds = aws_sdk_codebuild::Client::new(&root(&stage).await);
    let started = builds.start_build().project_name("web-deploy").send().await.unwrap();
    let id = started.build_value().unwrap().id().unwrap().to_owned();
    assert_eq!(stage.front.advance_engines(&["777788889999"]), 0);
    let phase = async || {
        let found = builds.batch_get_builds().ids(&id).send().await.unwrap();
        found.builds()[0].current_phase().unwrap().to_owned()
    };
    assert_eq!(phase().await, "SUBMITTED");
    assert_eq!(stage.front.advance_engines(&[TARGET, "777788889999"]), 1);
    assert_eq!(phase().await, "QUEUED");
    let steps = (0..).take_while(|_| stage.front.advance_engines(&[TARGET]) > 0).count();
    assert_eq!((steps, phase().await.as_str()), (9, "COMPLETED"));
    let events = stage.front.engines(|engines| engines.take_events_of(TARGET));
    assert_eq!(events.len(), 12);
    assert_eq!(stage.front.engines(|engines| engines.take_events_of(TARGET)), Vec::<serde_json::Value>::new());
    let told = Timestamp::parse_rfc3339(events[0]["time"].as_str().unwrap()).unwrap();
    let started = started.build_value().unwrap().start_time().unwrap().secs();
    assert_eq!(told.as_seconds(), started);
    let elsewhere = Stage::set().await;
    assert!(told.since(elsewhere.pipelines().now("777788889999")).as_millis() > 590 * 60_000, "ten hours ahead");
}

#[tokio::test]
async fn the_fronts_faults_and_a_storys_mishaps_befall_engines() {
    let stage = set().await;
    let builds = aws_sdk_codebuild::Client::new(&root(&stage).await);
    let start = |token: &str| builds.start_build().project_name("web-deploy").idempotency_token(token).send();
    let count = || stage.front.engines(|engines| engines.codebuild.builds().len());
    stage.front.faults().inject(TARGET, "codebuild.StartBuild", Fault::Throttled, Which::Next(1));
    assert_eq!(code(start("t-1").await), "ThrottlingException");
    assert_eq!(count(), 0);
    stage.front.faults().inject(TARGET, "codebuild", Fault::Lost(Lost::Connection), Which::Next(1));
    start("t-1").await.unwrap_err();
    assert_eq!(count(), 1);
    stage.front.engines(|engines| engines.befall(&place(), "StartBuild", Mishap::Unanswered));
    let lost = start("t-2").await.unwrap_err();
    assert!(lost.as_service_error().is_none(), "the connection is closed: {lost:?}");
    assert_eq!(count(), 2);
    start("t-2").await.unwrap();
    assert_eq!(count(), 2, "the token's own");
    stage.front.faults().disable_region(TARGET, REGION);
    assert_eq!(code(start("t-3").await), "UnrecognizedClientException");
}
