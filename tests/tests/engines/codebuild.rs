//! CodeBuild.

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::{Build, EnvironmentVariable, SortOrderType, StatusType};
use manifold_tests::wire::engines::codebuild::Project;
use manifold_tests::wire::engines::{Fate, Mishap};

use crate::stage::{COMMIT, SESSION, Stage, TARGET, code, place, refused};

async fn set() -> (Stage, Client) {
    let stage = Stage::set().await;
    let mut project = Project::new("web-deploy");
    project.variables.insert("STAGE".to_owned(), "prod".to_owned());
    stage.engines(|engines| engines.codebuild.define(&place(), project));
    let client = stage.codebuild();
    (stage, client)
}

async fn start(client: &Client, token: &str) -> String {
    let start = client.start_build().project_name("web-deploy").idempotency_token(token);
    start.send().await.unwrap().build_value.unwrap().id.unwrap()
}

async fn get(client: &Client, id: &str) -> Build {
    let found = client.batch_get_builds().ids(id).send().await.unwrap();
    assert!(found.builds_not_found().is_empty());
    found.builds.unwrap().remove(0)
}

/// Each phase with its status.
fn phases(build: &Build) -> Vec<String> {
    let phase = |phase: &aws_sdk_codebuild::types::BuildPhase| {
        let status = phase.phase_status().map_or("", StatusType::as_str);
        format!("{} {status}", phase.phase_type().unwrap().as_str())
    };
    build.phases().iter().map(phase).collect()
}

#[tokio::test]
async fn a_token_starts_one_build_for_five_minutes() {
    let (stage, client) = set().await;
    let first = start(&client, "t-1").await;
    stage.pass(299);
    assert_eq!(start(&client, "t-1").await, first);
    let other = client.start_build().project_name("web-deploy").idempotency_token("t-1").source_version(COMMIT);
    assert_eq!(code(other.send().await), "InvalidInputException");
    assert_ne!(start(&client, "t-2").await, first);
    stage.pass(2);
    assert_ne!(start(&client, "t-1").await, first);
    let without =
        || async { client.start_build().project_name("web-deploy").send().await.unwrap().build_value.unwrap().id };
    assert_ne!(without().await, without().await);
    let requests =
        stage.engines(|engines| engines.codebuild.builds().iter().map(|each| each.requests).collect::<Vec<_>>());
    assert_eq!(requests, [2, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_build_tells_what_it_runs_with_and_who_started_it() {
    let (stage, client) = set().await;
    let variable = EnvironmentVariable::builder().name("COLOR").value("blue").build().unwrap();
    let start = client.start_build().project_name("web-deploy").source_version(COMMIT);
    let started = start.environment_variables_override(variable).send().await.unwrap().build_value.unwrap();
    assert_eq!(started.build_status(), Some(&StatusType::InProgress));
    assert_eq!((started.current_phase(), started.build_complete()), (Some("SUBMITTED"), false));
    assert_eq!(started.resolved_source_version(), None, "nobody knows before it is downloaded");
    assert_eq!(started.build_number(), Some(1));
    let id = started.id().unwrap();
    stage.settle();
    let build = get(&client, id).await;
    assert_eq!(build.build_status(), Some(&StatusType::Succeeded));
    assert_eq!((build.current_phase(), build.build_complete()), (Some("COMPLETED"), true));
    assert!(build.end_time().unwrap().secs() >= build.start_time().unwrap().secs() + 119);
    assert_eq!(build.resolved_source_version(), Some(COMMIT));
    assert_eq!(build.initiator(), Some(format!("ManifoldTarget/{SESSION}").as_str()));
    let variables = build.environment().unwrap().environment_variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|each| (each.name(), each.value())).collect();
    assert_eq!(variables, [("COLOR", "blue"), ("STAGE", "prod")]);
    let (project, uuid) = id.split_once(':').unwrap();
    assert_eq!(project, "web-deploy");
    let link = build.logs().unwrap().deep_link().unwrap();
    assert!(link.contains("region=eu-west-1") && link.ends_with(&format!("stream={uuid}")), "{link}");
    let arn = format!("arn:aws:codebuild:eu-west-1:{TARGET}:build/{id}");
    assert_eq!(build.arn(), Some(arn.as_str()));
    assert_eq!(get(&client, &arn).await.id(), Some(id));
    assert_eq!(phases(&build).first().unwrap(), "SUBMITTED SUCCEEDED");
    assert_eq!(phases(&build).last().unwrap(), "COMPLETED ");
    assert_eq!(phases(&build).len(), 11);
    // A branch is built at its head.
    let branch = client.start_build().project_name("web-deploy").source_version("main").send().await.unwrap();
    stage.settle();
    let build = get(&client, branch.build_value().unwrap().id().unwrap()).await;
    assert_eq!(build.resolved_source_version(), Some(Project::new("web-deploy").head.as_str()));
    assert_eq!((build.source_version(), build.build_number()), (Some("main"), Some(2)));
}

#[tokio::test]
async fn a_build_that_nobody_started_is_named_as_not_found() {
    let (_stage, client) = set().await;
    let known = start(&client, "t-1").await;
    let found = client.batch_get_builds().ids("web-deploy:nobody").ids(&known).send().await.unwrap();
    assert_eq!(found.builds_not_found(), ["web-deploy:nobody"]);
    assert_eq!(found.builds().len(), 1);
    assert_eq!(code(client.batch_get_builds().ids("nobody").send().await), "InvalidInputException");
    assert_eq!(code(client.stop_build().id("web-deploy:nobody").send().await), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_failed_phase_tells_its_context_and_what_runs_after_it() {
    let (stage, client) = set().await;
    let table = [
        ("PROVISIONING", "INTERNAL_SERVICE_ERROR", "FAULT", vec!["FINALIZING SUCCEEDED"]),
        ("PRE_BUILD", "COMMAND_EXECUTION_ERROR", "FAILED", vec!["FINALIZING SUCCEEDED"]),
        (
            "BUILD",
            "COMMAND_EXECUTION_ERROR",
            "FAILED",
            vec!["POST_BUILD SUCCEEDED", "UPLOAD_ARTIFACTS SUCCEEDED", "FINALIZING SUCCEEDED"],
        ),
        ("INSTALL", "BUILD_TIMED_OUT", "TIMED_OUT", vec!["FINALIZING SUCCEEDED"]),
    ];
    for (phase, status_code, status, after) in table {
        let reason = "Error while executing command: make deploy. Reason: exit status 2";
        stage.engines(|engines| engines.behave_next(&place(), Fate::fails(60, phase, status_code, reason)));
        let id = start(&client, phase.to_lowercase().as_str()).await;
        stage.settle();
        let build = get(&client, &id).await;
        assert_eq!(build.build_status().unwrap().as_str(), status, "{phase}");
        let told = phases(&build);
        let at = told.iter().position(|told| *told == format!("{phase} {status}")).unwrap();
        let mut expected = after;
        expected.push("COMPLETED ");
        assert_eq!(told[at + 1..], expected, "{phase}");
        assert!(told[..at].iter().all(|told| told.ends_with(" SUCCEEDED")), "{told:?}");
        let context = &build.phases()[at].contexts()[0];
        assert_eq!((context.status_code(), context.message()), (Some(status_code), Some(reason)));
    }
}

#[tokio::test]
async fn builds_are_listed_newest_first_in_pages() {
    let (stage, client) = set().await;
    stage.engines(|engines| engines.page_size(2));
    let mut started = Vec::new();
    for token in ["a", "b", "c", "d", "e"] {
        started.push(start(&client, token).await);
    }
    let list = async |order: Option<SortOrderType>| {
        let (mut ids, mut next, mut pages) = (Vec::new(), None, 0);
        loop {
            let list = client.list_builds_for_project().project_name("web-deploy").set_sort_order(order.clone());
            let page = list.set_next_token(next).send().await.unwrap();
            ids.extend(page.ids.unwrap());
            next = page.next_token;
            pages += 1;
            if next.is_none() {
                return (ids, pages);
            }
        }
    };
    let oldest_first = list(Some(SortOrderType::Ascending)).await;
    assert_eq!(oldest_first, (started.clone(), 3));
    started.reverse();
    assert_eq!(list(None).await, (started, 3));
    let unknown = client.list_builds_for_project().project_name("web-deploy").next_token("from-99").send().await;
    assert_eq!(code(unknown), "InvalidInputException");
    let nobodys = client.list_builds_for_project().project_name("nobody").send().await;
    assert_eq!(code(nobodys), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_build_is_stopped_in_the_phase_that_runs() {
    let (stage, client) = set().await;
    stage.engines(|engines| engines.behave(&place(), Fate::NeverEnds));
    let id = start(&client, "t-1").await;
    stage.settle();
    stage.pass(3_000);
    stage.settle();
    assert_eq!(get(&client, &id).await.current_phase(), Some("BUILD"));
    let stopped = client.stop_build().id(&id).send().await.unwrap().build_value.unwrap();
    assert_eq!(stopped.build_status(), Some(&StatusType::Stopped));
    assert_eq!(phases(&stopped)[6..], ["BUILD STOPPED", "COMPLETED "]);
    let events = stage.settle();
    assert_eq!(events.last().unwrap()["detail"]["build-status"], "STOPPED");
    // Once is enough, and what has ended does not change.
    let again = client.stop_build().id(&id).send().await.unwrap().build_value.unwrap();
    assert_eq!(again.end_time(), stopped.end_time());
    assert_eq!(stage.settle(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_project_is_described_and_a_missing_one_named() {
    let (_stage, client) = set().await;
    let found = client.batch_get_projects().names("web-deploy").names("nobody").send().await.unwrap();
    assert_eq!(found.projects_not_found(), ["nobody"]);
    let project = &found.projects()[0];
    assert_eq!(project.name(), Some("web-deploy"));
    assert_eq!(project.arn(), Some("arn:aws:codebuild:eu-west-1:444455556666:project/web-deploy"));
    assert_eq!(project.environment().unwrap().environment_variables()[0].name(), "STAGE");
    let (code, message) = refused(client.start_build().project_name("nobody").send().await);
    assert_eq!(code, "ResourceNotFoundException");
    assert!(message.contains("project/nobody"), "{message}");
}

#[tokio::test]
async fn an_account_has_a_limit_on_request() {
    let (stage, client) = set().await;
    let mishap = Mishap::Refused {
        code: "AccountLimitExceededException".to_owned(),
        message: "Cannot have more than 1 active builds for the account".to_owned(),
    };
    stage.engines(|engines| engines.befall(&place(), "StartBuild", mishap));
    let start = || client.start_build().project_name("web-deploy").idempotency_token("t-1").send();
    let refused = start().await.unwrap_err().into_service_error();
    assert!(refused.is_account_limit_exceeded_exception(), "{refused:?}");
    assert!(stage.engines(|engines| engines.codebuild.builds().is_empty()));
    start().await.unwrap();
}
