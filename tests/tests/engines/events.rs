//! Events: as the services document them.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::ChangeSetType;
use aws_sdk_codebuild::types::EnvironmentVariable;
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::cloudformation::Stack;
use manifold_tests::wire::engines::codebuild::Project;
use manifold_tests::wire::engines::codedeploy::{Group, Platform};
use serde_json::{Value, json};

use crate::stage::{COMMIT, REGION, SESSION, Stage, TARGET, place};

/// A documented event.
macro_rules! documented {
    ($name:literal) => {
        (include_str!(concat!("../../../shared/core/tests/events/", $name, ".json")), $name)
    };
}

/// The names of all members, each with the type of its value.
fn shape(value: &Value, at: &str, names: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Object(object) => {
            for (name, value) in object {
                shape(value, &format!("{at}.{name}"), names);
            }
            return;
        }
        Value::Array(items) => {
            for item in items {
                shape(item, &format!("{at}[]"), names);
            }
            return;
        }
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::Null => "null",
        Value::Bool(_) => "truth",
        Value::String(_) => "text",
    };
    names.insert(format!("{at}: {kind}"));
}

/// The envelope, and everything of an event that does not depend on what the story is about.
fn like(told: &[Value], (documented, name): (&str, &str), is_it: impl Fn(&Value) -> bool, not_here: &[&str]) {
    let documented: Value = serde_json::from_str(documented).unwrap();
    let event = told.iter().find(|event| event["detail-type"] == documented["detail-type"] && is_it(event));
    let event = event.unwrap_or_else(|| panic!("nobody told {name}: {told:#?}"));
    let (mut here, mut there) = (BTreeSet::new(), BTreeSet::new());
    shape(event, "", &mut here);
    shape(&documented, "", &mut there);
    there.retain(|name| !not_here.iter().any(|not_here| name.contains(not_here)));
    here.retain(|name| !not_here.iter().any(|not_here| name.contains(not_here)));
    assert_eq!(here, there, "{name}");
    for path in ["/version", "/source", "/detail-type", "/account", "/region"] {
        assert_eq!(event.pointer(path), documented.pointer(path), "{name} {path}");
    }
    let time = event["time"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    let count = |event: &Value| event["resources"].as_array().unwrap().len();
    assert_eq!(count(event), count(&documented), "{name}");
}

fn ids_are_their_own(events: &[Value]) {
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test]
async fn a_builds_events_have_the_members_of_the_documented_ones() {
    let stage = Stage::set().await;
    stage.engines(|engines| engines.codebuild.define(&place(), Project::new("web-deploy")));
    let client = stage.codebuild();
    let mut told = Vec::new();
    for fate in
        [Fate::succeeds(60), Fate::fails(60, "BUILD", "COMMAND_EXECUTION_ERROR", "exit status 2"), Fate::NeverEnds]
    {
        stage.engines(|engines| engines.behave_next(&place(), fate));
        let variable = EnvironmentVariable::builder().name("RELEASE").value("7").build().unwrap();
        let start = client.start_build().project_name("web-deploy").source_version(COMMIT);
        let started = start.environment_variables_override(variable).send().await.unwrap();
        told.extend(stage.settle());
        client.stop_build().id(started.build_value().unwrap().id().unwrap()).send().await.unwrap();
    }
    told.extend(stage.settle());
    // What the documented build has of its artifact, this one has not: it makes none.
    let not_here = ["artifact."];
    let state = |state: &'static str| move |event: &Value| event["detail"]["build-status"] == state;
    like(&told, documented!("codebuild/build_state_in_progress"), state("IN_PROGRESS"), &not_here);
    like(&told, documented!("codebuild/build_state_succeeded"), state("SUCCEEDED"), &not_here);
    like(&told, documented!("codebuild/build_state_failed"), state("FAILED"), &not_here);
    like(&told, documented!("codebuild/build_state_stopped"), state("STOPPED"), &not_here);
    let failed = |event: &Value| event["detail"]["completed-phase-status"] == "FAILED";
    like(&told, documented!("codebuild/build_phase_change_build_failed"), failed, &not_here);
    let failed = told.iter().find(|event| failed(event)).unwrap();
    let detail = &failed["detail"];
    assert_eq!(detail["completed-phase"], "BUILD");
    assert_eq!(detail["completed-phase-context"], "[COMMAND_EXECUTION_ERROR: exit status 2]");
    assert_eq!(detail["build-id"], failed["resources"][0]);
    let prefix = format!("arn:aws:codebuild:{REGION}:{TARGET}:build/web-deploy:");
    assert!(detail["build-id"].as_str().unwrap().starts_with(&prefix));
    let information = &detail["additional-information"];
    assert_eq!(information["initiator"], format!("ManifoldTarget/{SESSION}"));
    assert_eq!(information["environment"]["environment-variables"][0]["value"], "7");
    ids_are_their_own(&told);
}

#[tokio::test]
async fn a_deployments_events_have_the_members_of_the_documented_ones() {
    let stage = Stage::set().await;
    stage.engines(|engines| engines.codedeploy.define(&place(), Group::new("shop", "web", Platform::Server)));
    let body = json!({
        "applicationName": "shop", "deploymentGroupName": "web",
        "revision": {"revisionType": "GitHub", "gitHubLocation": {"repository": "example-org/shop", "commitId": COMMIT}},
    });
    let mut told = Vec::new();
    for fate in [Fate::succeeds(60), Fate::fails(60, "Install", "HEALTH_CONSTRAINTS", "no"), Fate::NeverEnds] {
        let now = stage.now();
        let made = stage.engines(|engines| {
            engines.behave_next(&place(), fate);
            engines.by_hand(&place(), ("codedeploy", "CreateDeployment"), &body, now)
        });
        told.extend(stage.settle());
        // What has ended is not stopped.
        let _ended =
            stage.codedeploy().stop_deployment().deployment_id(made["deploymentId"].as_str().unwrap()).send().await;
        told.extend(stage.settle());
    }
    let state = |state: &'static str| move |event: &Value| event["detail"]["state"] == state;
    like(&told, documented!("codedeploy/deployment_start"), state("START"), &[]);
    like(&told, documented!("codedeploy/deployment_success"), state("SUCCESS"), &[]);
    like(&told, documented!("codedeploy/deployment_failure"), state("FAILURE"), &[]);
    like(&told, documented!("codedeploy/deployment_stop"), state("STOP"), &[]);
    like(&told, documented!("codedeploy/instance_success"), state("SUCCESS"), &[]);
    let start = told.iter().find(|event| state("START")(event)).unwrap();
    let arn = |rest: &str| format!("arn:aws:codedeploy:{REGION}:{TARGET}:{rest}");
    assert_eq!(start["resources"], json!([arn("application:shop"), arn("deploymentgroup:shop/web")]));
    ids_are_their_own(&told);
}

#[tokio::test]
async fn a_stacks_events_have_the_members_of_the_documented_ones() {
    let stage = Stage::set().await;
    let client = stage.cloudformation();
    stage.engines(|engines| {
        engines.cloudformation.declare(&place(), Stack::new("svc-app"));
        engines.cloudformation.declare(&place(), Stack::absent("new-app"));
        engines.cloudformation.declare(&place(), Stack::absent("bad-app"));
    });
    let mut told = Vec::new();
    let fails = || Fate::fails(60, "Function", "AccessDenied", "User is not authorized");
    for (index, (stack, kind, fate)) in [
        ("svc-app", ChangeSetType::Update, Fate::succeeds(60)),
        ("svc-app", ChangeSetType::Update, fails()),
        ("new-app", ChangeSetType::Create, Fate::succeeds(60)),
        ("bad-app", ChangeSetType::Create, fails()),
    ]
    .into_iter()
    .enumerate()
    {
        stage.engines(|engines| engines.behave_next(&place(), fate));
        let name = format!("mf-{index}");
        let template = format!("https://artifacts.s3.eu-west-1.amazonaws.com/{index}.yaml");
        let create = client.create_change_set().stack_name(stack).change_set_name(&name).template_url(template);
        create.change_set_type(kind).send().await.unwrap();
        stage.pass(5);
        let execute = client.execute_change_set().stack_name(stack).change_set_name(&name);
        execute.client_request_token(format!("mf-web-{index}")).send().await.unwrap();
        told.extend(stage.settle());
    }
    let status = |status: &'static str| move |event: &Value| event["detail"]["status-details"]["status"] == status;
    like(&told, documented!("cloudformation/stack_update_in_progress"), status("UPDATE_IN_PROGRESS"), &[]);
    like(&told, documented!("cloudformation/stack_update_complete"), status("UPDATE_COMPLETE"), &[]);
    let cleanup = status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS");
    like(&told, documented!("cloudformation/stack_update_complete_cleanup"), cleanup, &[]);
    let rollback = status("UPDATE_ROLLBACK_IN_PROGRESS");
    like(&told, documented!("cloudformation/stack_update_rollback_in_progress"), rollback, &[]);
    like(&told, documented!("cloudformation/stack_update_rollback_complete"), status("UPDATE_ROLLBACK_COMPLETE"), &[]);
    like(&told, documented!("cloudformation/stack_create_complete"), status("CREATE_COMPLETE"), &[]);
    like(&told, documented!("cloudformation/stack_rollback_complete"), status("ROLLBACK_COMPLETE"), &[]);
    like(&told, documented!("cloudformation/resource_update_failed"), status("UPDATE_FAILED"), &[]);
    let last = told.last().unwrap();
    assert_eq!(last["detail"]["client-request-token"], "mf-web-3");
    assert_eq!(last["detail"]["stack-id"], last["resources"][0]);
    ids_are_their_own(&told);
}
