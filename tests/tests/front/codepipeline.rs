//! CodePipeline: what it refuses, and how executions go.

use manifold_aws::releases::CodePipelineReleases;
use manifold_core::ids::{ExecutionRef, TargetKey};
use manifold_core::run::Refusal;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::engine::Engine;
use manifold_ports::releases::Releases;
use manifold_tests::local_aws::front::codepipeline::{
    Action, Behaviour, Cause, ExecutionMode, Pipeline, PipelineId, Push, Revision, Stage as PipelineStage,
};
use serde_json::{Value, json};

use crate::stage::{COMMIT, HUB, REGION, Stage, TARGET, order, planned, run, svc, svc_deploy};

const NOBODYS: &str = "3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01";

#[tokio::test]
async fn a_request_that_is_not_of_the_operations_shape_is_refused() {
    let stage = Stage::set().await;
    let variable = json!({"name": "LOG_LEVEL", "value": "warn"});
    let many = |count: usize| vec![variable.clone(); count];
    let start = |more: Value| {
        let mut body = json!({"name": "svc-deploy"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("StartPipelineExecution", body)
    };
    let table = [
        (("StartPipelineExecution", json!({})), "Value null at 'name'"),
        (("StartPipelineExecution", json!({"name": "no spaces"})), "at 'name' failed to satisfy constraint"),
        (("StartPipelineExecution", json!({"name": 7})), "must be of another type"),
        (start(json!({"nmae": 1})), "there is no member 'nmae'"),
        (start(json!({"clientRequestToken": ""})), "greater than or equal to 1"),
        (start(json!({"clientRequestToken": "a".repeat(129)})), "less than or equal to 128"),
        (start(json!({"clientRequestToken": "web_1"})), "regular expression"),
        (start(json!({"variables": []})), "between 1 and 50"),
        (start(json!({"variables": many(51)})), "between 1 and 50"),
        (start(json!({"variables": [{"name": "LOG_LEVEL"}]})), "Value null at 'variables.1.member.value'"),
        (start(json!({"variables": [{"name": "LOG_LEVEL", "value": ""}]})), "greater than or equal to 1"),
        (start(json!({"variables": [{"name": "LOG_LEVEL", "value": "v".repeat(1001)}]})), "or equal to 1000"),
        (start(json!({"variables": [{"name": "A B", "value": "v"}]})), "regular expression"),
        (
            start(
                json!({"sourceRevisions": [{"actionName": "Source", "revisionType": "COMMIT", "revisionValue": "a"}]}),
            ),
            "enum value set",
        ),
        (start(json!({"sourceRevisions": [{"actionName": "Source", "revisionType": "COMMIT_ID"}]})), "revisionValue"),
        (("GetPipelineExecution", json!({"pipelineName": "svc-deploy"})), "Value null at 'pipelineExecutionId'"),
        (
            (
                "GetPipelineExecution",
                json!({"pipelineName": "svc-deploy", "pipelineExecutionId": NOBODYS.to_uppercase()}),
            ),
            "regular expression",
        ),
        (("ListPipelineExecutions", json!({"pipelineName": "svc-deploy", "maxResults": 101})), "between 1 and 100"),
        (("ListActionExecutions", json!({"pipelineName": "svc-deploy", "filter": {"id": "x"}})), "'filter.id'"),
        (
            (
                "StopPipelineExecution",
                json!({"pipelineName": "svc-deploy", "pipelineExecutionId": NOBODYS, "abandon": "yes"}),
            ),
            "another type",
        ),
        (
            (
                "RetryStageExecution",
                json!({"pipelineName": "svc-deploy", "pipelineExecutionId": NOBODYS, "stageName": "Deploy"}),
            ),
            "Value null at 'retryMode'",
        ),
        (
            (
                "DisableStageTransition",
                json!({"pipelineName": "svc-deploy", "stageName": "Deploy", "transitionType": "Outbound", "reason": "no"}),
            ),
            "enum value set",
        ),
        (
            (
                "DisableStageTransition",
                json!({"pipelineName": "svc-deploy", "stageName": "Deploy", "transitionType": "Inbound", "reason": "a_b"}),
            ),
            "regular expression",
        ),
    ];
    for ((operation, body), expected) in table {
        let answer = stage.call(operation, body.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, "ValidationException"), "{operation} {body}");
        assert!(answer.message().contains(expected), "{operation} {body}: {}", answer.message());
    }
    let garbled = stage.call_as((TARGET, ""), REGION, "GetPipeline", "{").await;
    assert_eq!(garbled.code(), "SerializationException");
    let unknown = stage.call("DeletePipeline", json!({"name": "svc-deploy"})).await;
    assert_eq!(unknown.code(), "UnknownOperationException");
    assert!(stage.pipelines().executions(TARGET).is_empty());
}

#[tokio::test]
async fn a_start_that_does_not_fit_the_pipeline_is_refused() {
    let stage = Stage::set().await;
    let source = |name: &str, provider: &str| {
        let deploy = PipelineStage::new("Deploy", vec![Action::new("Deploy", "Deploy", "CodeDeploy")]);
        Pipeline::new(TARGET, REGION, name)
            .stages(vec![PipelineStage::new("Source", vec![Action::source("Source", provider)]), deploy])
    };
    stage.pipelines().define(Pipeline::new(TARGET, REGION, "old").v1());
    stage.pipelines().define(source("image", "ECR"));
    stage.pipelines().define(source("bucket", "S3"));
    stage.pipelines().define(Pipeline::new(TARGET, REGION, "wants").variable("STAGE", None));
    let variables = json!([{"name": "LOG_LEVEL", "value": "warn"}]);
    let revision =
        |action: &str, kind: &str| json!([{"actionName": action, "revisionType": kind, "revisionValue": "a"}]);
    let table = [
        (json!({"name": "nobody"}), "PipelineNotFoundException", "does not have a pipeline with name 'nobody'"),
        (json!({"name": "old", "variables": variables}), "ValidationException", "type V1"),
        (json!({"name": "old", "sourceRevisions": revision("Source", "COMMIT_ID")}), "ValidationException", "type V1"),
        (json!({"name": "image", "variables": variables}), "ValidationException", "LOG_LEVEL is not declared"),
        (json!({"name": "wants"}), "ValidationException", "STAGE of pipeline wants has no default"),
        (
            json!({"name": "svc-deploy", "sourceRevisions": revision("Deploy", "COMMIT_ID")}),
            "ValidationException",
            "no source action \"Deploy\"",
        ),
        (
            json!({"name": "svc-deploy", "sourceRevisions": revision("Source", "IMAGE_DIGEST")}),
            "ValidationException",
            "IMAGE_DIGEST is not one of source action",
        ),
        (
            json!({"name": "bucket", "sourceRevisions": revision("Source", "S3_OBJECT_KEY")}),
            "ValidationException",
            "S3_OBJECT_KEY is not one of source action",
        ),
    ];
    for (body, code, message) in table {
        let answer = stage.call("StartPipelineExecution", body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(answer.message().contains(message), "{body}: {}", answer.message());
    }
    assert!(stage.pipelines().executions(TARGET).is_empty());
    for body in [
        json!({"name": "old"}),
        json!({"name": "image", "sourceRevisions": revision("Source", "IMAGE_DIGEST")}),
        json!({"name": "bucket", "sourceRevisions": revision("Source", "S3_OBJECT_VERSION_ID")}),
        json!({"name": "wants", "variables": [{"name": "STAGE", "value": "prod"}]}),
    ] {
        stage.call("StartPipelineExecution", body).await.ok();
    }
    // The same name in another Region is another pipeline.
    let start = json!({"name": "svc-deploy"}).to_string();
    let elsewhere = stage.call_as((TARGET, ""), "us-east-1", "StartPipelineExecution", &start).await;
    assert_eq!(elsewhere.code(), "PipelineNotFoundException");
}

#[tokio::test]
async fn a_token_starts_one_execution_as_long_as_it_is_remembered() {
    let stage = Stage::set().await;
    let start = async |token: Option<&str>, level: &str| {
        let mut body = json!({"name": "svc-deploy", "variables": [{"name": "LOG_LEVEL", "value": level}]});
        if let Some(token) = token {
            body["clientRequestToken"] = json!(token);
        }
        stage.call("StartPipelineExecution", body).await
    };
    let first = start(Some("t-1"), "warn").await.ok();
    assert_eq!(start(Some("t-1"), "warn").await.ok(), first);
    let other = start(Some("t-1"), "debug").await;
    assert_eq!(other.code(), "ValidationException");
    assert!(other.message().contains("was used before"));
    assert_eq!(stage.pipelines().executions(TARGET)[0].start_calls, 2);
    assert_ne!(start(Some("t-2"), "warn").await.ok(), first);
    assert_ne!(start(None, "warn").await.ok(), start(None, "warn").await.ok());
    stage.pipelines().forget_tokens(TARGET, true);
    assert_ne!(start(Some("t-1"), "warn").await.ok(), first);
    assert_eq!(stage.pipelines().executions(TARGET).len(), 5);
}

#[tokio::test]
async fn the_revision_is_the_one_given_or_else_the_latest_at_the_start() {
    let stage = Stage::set().await;
    let pinned = stage.deploy().await.unwrap();
    stage.pipelines().edit(&svc(), |pipeline| {
        let revision = Revision { message: Some("Fix it".to_owned()), ..Revision::new("feedc0de") };
        pipeline.latest.insert("Source".to_owned(), revision);
    });
    let latest = stage.start().await;
    // Until the source action has ended, nobody knows.
    let get = async |id: &str| {
        let body = json!({"pipelineName": "svc-deploy", "pipelineExecutionId": id});
        stage.call("GetPipelineExecution", body).await.ok()["pipelineExecution"].take()
    };
    assert_eq!(get(&latest).await["artifactRevisions"], json!([]));
    stage.pipelines().settle(&[TARGET]);
    let told = get(&latest).await;
    assert_eq!(told["artifactRevisions"][0]["revisionId"], "feedc0de");
    let summary = r#"{"CommitMessage":"Fix it","ProviderType":"GitHub"}"#;
    let told_summary: Value =
        serde_json::from_str(told["artifactRevisions"][0]["revisionSummary"].as_str().unwrap()).unwrap();
    assert_eq!(told_summary, serde_json::from_str::<Value>(summary).unwrap());
    assert_eq!(told["variables"], json!([{"name": "LOG_LEVEL", "resolvedValue": "info"}]));
    assert_eq!(told["pipelineVersion"], 2);
    assert_eq!(stage.execution(&pinned).revisions["Source"].id, COMMIT);
    let executions = stage.call("ListPipelineExecutions", json!({"pipelineName": "svc-deploy"})).await.ok();
    let newest = &executions["pipelineExecutionSummaries"][0];
    assert_eq!(
        (&newest["pipelineExecutionId"], &newest["sourceRevisions"][0]["revisionId"]),
        (&json!(latest), &json!("feedc0de"))
    );
}

#[tokio::test]
async fn nothing_moves_by_itself_and_a_success_is_told_step_by_step() {
    let stage = Stage::set().await;
    let id = stage.start().await;
    assert_eq!(stage.told(), ["pipeline STARTED"]);
    let mut steps = Vec::new();
    while stage.pipelines().advance(&[TARGET]) > 0 {
        steps.push(stage.told().join(", "));
    }
    assert_eq!(
        steps,
        [
            "stage Source STARTED",
            "action Source/Source STARTED",
            "action Source/Source SUCCEEDED",
            "stage Source SUCCEEDED",
            "stage Deploy STARTED",
            "action Deploy/Deploy STARTED",
            "action Deploy/Deploy SUCCEEDED",
            "stage Deploy SUCCEEDED",
            "pipeline SUCCEEDED",
        ]
    );
    assert_eq!(stage.execution(&id).status.name(), "Succeeded");
    assert_eq!(stage.pipelines().advance(&[TARGET]), 0);
}

#[tokio::test]
async fn accounts_move_apart_from_each_other() {
    let stage = Stage::set().await;
    stage.pipelines().define(Pipeline::new("777788889999", REGION, "svc-deploy"));
    let other = PipelineId::new("777788889999", REGION, "svc-deploy");
    let _id = stage.pipelines().start(&other, Cause::Rule("arn:aws:events:eu-west-1:777788889999:rule/r".to_owned()));
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.pipelines().executions("777788889999")[0].status.name(), "InProgress");
    assert_eq!(stage.pipelines().take_events("777788889999").len(), 1);
    assert_eq!(stage.statuses(), ["Succeeded"]);
}

#[tokio::test]
async fn actions_run_by_their_order_and_those_of_one_order_at_once() {
    let stage = Stage::set().await;
    let deploy = |name: &str| Action::new(name, "Deploy", "CodeDeploy");
    stage.pipelines().edit(&svc(), |pipeline| {
        pipeline.stages[1].actions = vec![deploy("Blue"), deploy("Green"), deploy("Smoke").run_order(2)];
    });
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    let told = stage.told();
    let deploys: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("action Deploy/")).collect();
    assert_eq!(
        deploys,
        ["Blue STARTED", "Green STARTED", "Blue SUCCEEDED", "Green SUCCEEDED", "Smoke STARTED", "Smoke SUCCEEDED"]
    );
}

#[tokio::test]
async fn a_failure_is_explained_and_a_retry_revives_the_same_execution() {
    let stage = Stage::set().await;
    stage.pipelines().behave(&svc(), Behaviour::fails_at_first("Deploy", "JobFailed", "3 of 4 are not healthy", 1));
    let id = stage.deploy().await.unwrap();
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(
        stage.told().split_off(6),
        ["action Deploy/Deploy STARTED", "action Deploy/Deploy FAILED", "stage Deploy FAILED", "pipeline FAILED"]
    );
    let engine = stage.engine().await;
    let (run, planned) = (run(), planned());
    let reason = engine.explain(order(&run, &planned), &id.parse().unwrap()).await.unwrap();
    assert_eq!(reason.cause, "JobFailed in action Deploy");
    assert_eq!(reason.detail.as_deref(), Some("3 of 4 are not healthy"));
    assert!(reason.link.unwrap().starts_with("https://eu-west-1.console.aws.amazon.com/"));

    let retry = json!({"pipelineName": "svc-deploy", "stageName": "Deploy", "pipelineExecutionId": id,
        "retryMode": "FAILED_ACTIONS"});
    assert_eq!(stage.call("RetryStageExecution", retry).await.ok()["pipelineExecutionId"], json!(id));
    let execution = stage.execution(&id);
    assert_eq!((execution.status.name(), execution.attempt), ("InProgress", 2));
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(
        stage.told(),
        [
            "pipeline RESUMED",
            "stage Deploy RESUMED",
            "action Deploy/Deploy STARTED",
            "action Deploy/Deploy SUCCEEDED",
            "stage Deploy SUCCEEDED",
            "pipeline SUCCEEDED"
        ]
    );
    // Both runs of the action are listed, the newest first; on request only the latest.
    let list = async |filter: Value| {
        let answer =
            stage.call("ListActionExecutions", json!({"pipelineName": "svc-deploy", "filter": filter})).await.ok();
        let told = answer["actionExecutionDetails"].as_array().unwrap().clone();
        told.iter().map(|action| format!("{} {}", action["actionName"], action["status"])).collect::<Vec<_>>()
    };
    let all = ["\"Deploy\" \"Succeeded\"", "\"Deploy\" \"Failed\"", "\"Source\" \"Succeeded\""];
    assert_eq!(list(json!({"pipelineExecutionId": id})).await, all);
    let latest = json!({"latestInPipelineExecution": {"pipelineExecutionId": id, "startTimeRange": "Latest"}});
    assert_eq!(list(latest).await, [all[0], all[2]]);
}

#[tokio::test]
async fn what_can_not_be_retried_is_refused_with_its_own_error() {
    let stage = Stage::set().await;
    stage.pipelines().behave_next(&svc(), Behaviour::fails("Deploy", "JobFailed", "no"));
    stage.pipelines().behave_next(&svc(), Behaviour::fails("Deploy", "JobFailed", "no"));
    let retry = async |id: &str, name: &str| {
        let body = json!({"pipelineName": "svc-deploy", "stageName": name, "pipelineExecutionId": id,
            "retryMode": "ALL_ACTIONS"});
        stage.call("RetryStageExecution", body).await
    };
    let first = stage.start().await;
    assert_eq!(retry(&first, "Deploy").await.code(), "StageNotRetryableException", "it runs");
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(retry(&first, "Approve").await.code(), "StageNotFoundException");
    assert_eq!(retry(&first, "Source").await.code(), "StageNotRetryableException", "it has succeeded");
    assert_eq!(retry(NOBODYS, "Deploy").await.code(), "ValidationException");
    let second = stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(retry(&first, "Deploy").await.code(), "NotLatestPipelineExecutionException");
    stage.pipelines().edit(&svc(), |pipeline| pipeline.tags.clear());
    assert_eq!(retry(&second, "Deploy").await.code(), "StageNotRetryableException", "the pipeline was changed");
}

#[tokio::test]
async fn in_mode_superseded_a_newer_execution_takes_the_place_of_one_that_waits() {
    let stage = Stage::set().await;
    stage.pipelines().behave_next(&svc(), Behaviour::hangs("Deploy"));
    let first = stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["InProgress", "InProgress"], "the second waits for the stage");
    let _told = stage.told();
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["InProgress", "Superseded", "InProgress"]);
    assert!(stage.told().contains(&"pipeline SUPERSEDED".to_owned()));
    stage.pipelines().release(&svc(), &first);
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Succeeded", "Superseded", "Succeeded"]);
}

#[tokio::test]
async fn a_disabled_transition_lets_nobody_into_its_stage_and_is_told_with_who_disabled_it() {
    let stage = Stage::set().await;
    stage.pipelines().disable_transition(&svc(), "Deploy", "a freeze");
    let state = async || {
        let state = stage.call("GetPipelineState", json!({"name": "svc-deploy"})).await.ok();
        state["stageStates"][1]["inboundTransitionState"].clone()
    };
    let told = state().await;
    let root = format!("arn:aws:iam::{TARGET}:root");
    assert_eq!((&told["enabled"], &told["disabledReason"]), (&json!(false), &json!("a freeze")));
    assert_eq!(told["lastChangedBy"], json!(root));
    assert!(told["lastChangedAt"].is_number(), "{told}");
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["InProgress"]);
    // Of those that wait only the newest stays, as before a stage that is busy.
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Superseded", "InProgress"]);
    stage.pipelines().enable_transition(&svc(), "Deploy");
    assert_eq!(state().await["enabled"], json!(true));
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Superseded", "Succeeded"]);
    let nowhere = json!({"pipelineName": "svc-deploy", "stageName": "Nowhere", "transitionType": "Inbound"});
    assert_eq!(stage.call("EnableStageTransition", nowhere).await.code(), "StageNotFoundException");
}

#[tokio::test]
async fn an_approval_waits_with_a_token_until_somebody_approves() {
    let stage = Stage::set().await;
    stage.pipelines().edit(&svc(), |pipeline| {
        pipeline.stages.insert(1, PipelineStage::new("Ask", vec![Action::new("Ask", "Approval", "Manual")]));
    });
    let id = stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["InProgress"]);
    let latest = async || {
        let state = stage.call("GetPipelineState", json!({"name": "svc-deploy"})).await.ok();
        state["stageStates"][1]["actionStates"][0]["latestExecution"].clone()
    };
    let asks = latest().await;
    assert_eq!(asks["status"], "InProgress");
    assert!(asks["token"].is_string(), "{asks}");
    stage.pipelines().release(&svc(), &id);
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Succeeded"]);
    assert!(latest().await.get("token").is_none());
}

#[tokio::test]
async fn in_mode_queued_executions_wait_for_each_other_in_order() {
    let stage = Stage::set().await;
    stage.pipelines().define(svc_deploy().mode(ExecutionMode::Queued));
    stage.pipelines().behave_next(&svc(), Behaviour::hangs("Deploy"));
    let first = stage.start().await;
    for _ in 0..2 {
        stage.start().await;
    }
    stage.pipelines().settle(&[TARGET]);
    let state = stage.call("GetPipelineState", json!({"name": "svc-deploy"})).await.ok();
    let deploy = &state["stageStates"][1];
    assert_eq!(
        deploy["latestExecution"],
        json!({"pipelineExecutionId": first, "status": "InProgress", "type": "STANDARD"})
    );
    assert_eq!(deploy["inboundExecutions"].as_array().unwrap().len(), 2);
    assert_eq!(stage.statuses(), ["InProgress"; 3]);
    let _told = stage.told();
    stage.pipelines().release(&svc(), &first);
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Succeeded"; 3]);
    let ended: Vec<String> = stage.told().into_iter().filter(|line| line.starts_with("stage")).collect();
    let turn = ["stage Deploy STARTED", "stage Deploy SUCCEEDED"];
    assert_eq!(ended, ["stage Deploy SUCCEEDED", turn[0], turn[1], turn[0], turn[1]]);
}

#[tokio::test]
async fn in_mode_parallel_nobody_waits_and_there_is_no_state() {
    let stage = Stage::set().await;
    stage.pipelines().define(svc_deploy().mode(ExecutionMode::Parallel));
    stage.pipelines().behave_next(&svc(), Behaviour::hangs("Deploy"));
    let first = stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["InProgress", "Succeeded"]);
    let state = stage.call("GetPipelineState", json!({"name": "svc-deploy"})).await.ok();
    assert_eq!(state["stageStates"], json!([]));
    // A change does not cancel them.
    stage.pipelines().edit(&svc(), |pipeline| pipeline.tags.clear());
    stage.pipelines().release(&svc(), &first);
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Succeeded"; 2]);
}

#[tokio::test]
async fn a_failed_stage_releases_its_lock() {
    let stage = Stage::set().await;
    stage.pipelines().behave_next(&svc(), Behaviour::fails("Deploy", "JobFailed", "no"));
    stage.start().await;
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Failed", "Succeeded"]);
}

#[tokio::test]
async fn fifty_executions_at_once_are_the_limit() {
    let stage = Stage::set().await;
    stage.pipelines().define(svc_deploy().mode(ExecutionMode::Queued));
    stage.pipelines().behave(&svc(), Behaviour::hangs("Deploy"));
    for _ in 0..50 {
        stage.start().await;
    }
    let refused = stage.call("StartPipelineExecution", json!({"name": "svc-deploy"})).await;
    assert_eq!(refused.code(), "ConcurrentPipelineExecutionsLimitExceededException");
    let refusal = stage.deploy().await.unwrap_err();
    assert!(matches!(refusal, Refusal::Busy { .. }), "{refusal:?}");
}

#[tokio::test]
async fn stop_and_wait_lets_actions_end_and_stop_and_abandon_does_not() {
    let stage = Stage::set().await;
    let stop = async |id: &str, abandon: bool| {
        let body =
            json!({"pipelineName": "svc-deploy", "pipelineExecutionId": id, "abandon": abandon, "reason": "Enough"});
        stage.call("StopPipelineExecution", body).await
    };
    let waits = stage.start().await;
    for _ in 0..2 {
        stage.pipelines().advance(&[TARGET]);
    }
    let _told = stage.told();
    stop(&waits, false).await.ok();
    assert_eq!(stop(&waits, false).await.code(), "DuplicatedStopRequestException");
    assert_eq!(stage.statuses(), ["Stopping"]);
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(
        stage.told(),
        [
            "pipeline STOPPING",
            "stage Source STOPPING",
            "action Source/Source SUCCEEDED",
            "stage Source STOPPED",
            "pipeline STOPPED"
        ]
    );
    assert_eq!(stop(&waits, true).await.code(), "PipelineExecutionNotStoppableException");

    stage.pipelines().behave_next(&svc(), Behaviour::hangs("Deploy"));
    let abandons = stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    let _told = stage.told();
    stop(&abandons, false).await.ok();
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Stopped", "Stopping"], "it waits for an action that never ends");
    stop(&abandons, true).await.ok();
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(
        stage.told().split_off(2),
        ["action Deploy/Deploy ABANDONED", "stage Deploy STOPPED", "pipeline STOPPED"]
    );
    let listed = stage.call("ListPipelineExecutions", json!({"pipelineName": "svc-deploy"})).await.ok();
    assert_eq!(listed["pipelineExecutionSummaries"][0]["stopTrigger"]["reason"], "Enough");
}

#[tokio::test]
async fn a_changed_pipeline_cancels_what_runs_once_its_actions_have_ended() {
    let stage = Stage::set().await;
    stage.start().await;
    for _ in 0..2 {
        stage.pipelines().advance(&[TARGET]);
    }
    let _told = stage.told();
    stage.pipelines().edit(&svc(), |pipeline| pipeline.tags.clear());
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.told(), ["action Source/Source SUCCEEDED", "stage Source CANCELED", "pipeline CANCELED"]);
    assert_eq!(stage.statuses(), ["Cancelled"]);
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    assert_eq!(stage.statuses(), ["Cancelled", "Succeeded"]);
}

#[tokio::test]
async fn lists_have_pages_and_a_new_execution_moves_none() {
    let stage = Stage::set().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, stage.start().await);
        stage.pipelines().settle(&[TARGET]);
    }
    let mut listed = Vec::new();
    let mut body = json!({"pipelineName": "svc-deploy", "maxResults": 2});
    loop {
        let page = stage.call("ListPipelineExecutions", body.clone()).await.ok();
        let summaries = page["pipelineExecutionSummaries"].as_array().unwrap();
        assert!(summaries.len() <= 2);
        listed.extend(summaries.iter().map(|summary| summary["pipelineExecutionId"].as_str().unwrap().to_owned()));
        stage.start().await;
        let Some(next) = page.get("nextToken") else { break };
        body["nextToken"] = next.clone();
    }
    assert_eq!(listed, ids);
    body["nextToken"] = json!("somewhere");
    assert_eq!(stage.call("ListPipelineExecutions", body).await.code(), "InvalidNextTokenException");

    let filter = json!({"succeededInStage": {"stageName": "Deploy"}});
    let done = stage.call("ListPipelineExecutions", json!({"pipelineName": "svc-deploy", "filter": filter})).await.ok();
    assert_eq!(done["pipelineExecutionSummaries"].as_array().unwrap().len(), 5);
    let nobodys = json!({"pipelineName": "svc-deploy", "filter": {"pipelineExecutionId": NOBODYS}});
    assert_eq!(stage.call("ListActionExecutions", nobodys).await.code(), "PipelineExecutionNotFoundException");
}

#[tokio::test]
async fn the_engine_finds_its_execution_by_the_session_that_started_it() {
    let stage = Stage::set().await;
    let since = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    stage.start().await;
    let id = stage.deploy().await.unwrap();
    let engine = stage.engine().await;
    let (run, planned) = (run(), planned());
    let found = engine.find(order(&run, &planned), since, &[]).await.unwrap();
    assert_eq!(found.unwrap().to_string(), id);
    assert_eq!(engine.find(order(&run, &planned), since, &[id.parse().unwrap()]).await.unwrap(), None);
}

#[tokio::test]
async fn a_release_by_a_push_tells_its_commit_and_its_author() {
    let stage = Stage::set().await;
    stage.pipelines().define(Pipeline::new(HUB, REGION, "web-release"));
    let release = PipelineId::new(HUB, REGION, "web-release");
    let id = stage.pipelines().start(&release, Cause::Push(push()));
    stage.pipelines().settle(&[HUB]);
    let source = ExecutionRef {
        target: TargetKey { account: HUB.parse().unwrap(), region: REGION.parse().unwrap() },
        id: id.parse().unwrap(),
    };
    let releases = CodePipelineReleases::new(stage.clients().await);
    let details = releases.describe(&"web-release".parse().unwrap(), &source).await.unwrap();
    let revision = &details.revisions[0];
    assert_eq!((revision.id.as_str(), revision.action.as_str()), (COMMIT, "Source"));
    assert_eq!(revision.message.as_deref(), Some("Fix it\n\nAll of it"));
    assert_eq!(revision.author.as_deref(), Some("Mary Major"));
    assert_eq!(revision.repository.as_deref(), Some("example-org/web"));
    assert_eq!(revision.reference.as_deref(), Some("main"));
    assert_eq!(revision.url, Some(format!("https://github.com/example-org/web/commit/{COMMIT}")));
    assert_eq!(details.trigger.kind.as_deref(), Some("WebhookV2"));
}

pub(crate) fn push() -> Push {
    Push {
        repository: "example-org/web".to_owned(),
        branch: "main".to_owned(),
        commit: COMMIT.to_owned(),
        message: "Fix it\n\nAll of it".to_owned(),
        author: "Mary Major".to_owned(),
        connection_arn: "arn:aws:codestar-connections:eu-west-1:111122223333:connection/0f5b706a".to_owned(),
    }
}

#[tokio::test]
async fn a_pipeline_tells_its_structure_its_versions_and_its_tags() {
    let stage = Stage::set().await;
    stage.pipelines().define(svc_deploy().mode(ExecutionMode::Queued).tag("team", "web").variable("STAGE", None));
    stage.pipelines().edit(&svc(), |pipeline| {
        pipeline.stages.remove(1);
    });
    let get = async |version: Option<u32>| {
        let mut body = json!({"name": "svc-deploy"});
        if let Some(version) = version {
            body["version"] = json!(version);
        }
        stage.call("GetPipeline", body).await
    };
    let newest = get(None).await.ok();
    assert_eq!(newest["metadata"]["pipelineArn"], svc().arn());
    assert_eq!(
        (&newest["pipeline"]["version"], newest["pipeline"]["stages"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    let first = get(Some(1)).await.ok();
    insta::assert_json_snapshot!(first["pipeline"]);
    assert_eq!(get(Some(3)).await.code(), "PipelineVersionNotFoundException");
    let tags = stage.call("ListTagsForResource", json!({"resourceArn": svc().arn()})).await.ok();
    assert_eq!(tags, json!({"tags": [{"key": "team", "value": "web"}]}));
    let listed = stage.call("ListPipelines", json!({})).await.ok();
    let listed = &listed["pipelines"][0];
    assert_eq!(
        (&listed["name"], &listed["pipelineType"], &listed["executionMode"]),
        (&json!("svc-deploy"), &json!("V2"), &json!("QUEUED"))
    );
}

#[tokio::test]
async fn an_account_lives_by_its_own_clock() {
    let stage = Stage::set().await;
    stage.pipelines().set_ahead(TARGET, Span::from_minutes(600));
    let id = stage.start().await;
    let ahead = stage.execution(&id).started_at;
    let event = stage.pipelines().take_events(TARGET).remove(0);
    assert_eq!(event["time"], json!(ahead.to_string()));
    stage.pipelines().set_ahead(TARGET, Span::default());
    let now = stage.execution(&stage.start().await).started_at;
    assert!(ahead.since(now) > Span::from_minutes(599), "{ahead} {now}");
}
