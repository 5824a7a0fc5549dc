//! Events: as CodePipeline documents them, and as the functions read them.

use std::collections::BTreeSet;

use manifold_core::event::{Event, decode_event_value};
use manifold_tests::local_aws::front::codepipeline::{Behaviour, Cause, Pipeline, PipelineId};
use serde_json::{Value, json};

use crate::codepipeline::push;
use crate::stage::{HUB, REGION, Stage, TARGET, line, svc};

/// A documented event.
macro_rules! documented {
    ($name:literal) => {
        include_str!(concat!("../../../shared/core/tests/events/codepipeline/", $name, ".json"))
    };
}

/// The names of all fields, with those of the objects in it.
fn fields(value: &Value, at: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = format!("{at}.{name}");
                fields(value, &name, names);
                names.insert(name);
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{at}[]"), names);
            }
        }
        Value::Number(number) => assert!(number.is_f64(), "{at} is {number}: numbers of events are floats"),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_event_has_the_fields_of_the_documented_one() {
    let stage = Stage::set().await;
    let pipelines = stage.pipelines();
    let release = PipelineId::new(HUB, REGION, "web-release");
    pipelines.define(Pipeline::new(HUB, REGION, "web-release"));
    let mut events = Vec::new();

    // It fails, is retried and succeeds.
    pipelines.behave_next(&svc(), Behaviour::fails_at_first("Deploy", "JobFailed", "Deployment d-ABC123DEF failed", 1));
    let retried = stage.deploy().await.unwrap();
    pipelines.settle(&[TARGET]);
    events.extend(pipelines.take_events(TARGET));
    pipelines.retry(&svc(), &retried, "Deploy");
    pipelines.advance(&[TARGET]);
    let resumed = pipelines.take_events(TARGET);
    pipelines.settle(&[TARGET]);
    let after_retry = pipelines.take_events(TARGET);
    // It is stopped.
    pipelines.behave_next(&svc(), Behaviour::hangs("Deploy"));
    let stopped = stage.start().await;
    pipelines.settle(&[TARGET]);
    pipelines.stop(&svc(), &stopped, true, "Stopping the pipeline for an update");
    pipelines.settle(&[TARGET]);
    // It waits, and is superseded; the one that took its place is cancelled.
    pipelines.behave_next(&svc(), Behaviour::hangs("Deploy"));
    for _ in 0..3 {
        stage.start().await;
        pipelines.settle(&[TARGET]);
    }
    pipelines.edit(&svc(), |pipeline| pipeline.tags.clear());
    pipelines.settle(&[TARGET]);
    // Nothing of a stage is cancelled until its actions have ended.
    for execution in pipelines.executions(TARGET) {
        pipelines.release(&svc(), &execution.id);
    }
    pipelines.settle(&[TARGET]);
    events.extend(pipelines.take_events(TARGET));
    let _pushed = pipelines.start(&release, Cause::Push(push()));
    pipelines.settle(&[HUB]);
    let pushed = pipelines.take_events(HUB);

    let table = [
        (&events, "pipeline STARTED", documented!("pipeline_started_api")),
        (&events, "pipeline FAILED", documented!("pipeline_failed")),
        (&events, "pipeline STOPPING", documented!("pipeline_stopping")),
        (&events, "pipeline STOPPED", documented!("pipeline_stopped")),
        (&events, "pipeline SUPERSEDED", documented!("pipeline_superseded")),
        (&events, "pipeline CANCELED", documented!("pipeline_canceled")),
        (&resumed, "pipeline RESUMED", documented!("pipeline_resumed")),
        (&after_retry, "pipeline SUCCEEDED", documented!("pipeline_succeeded_after_retry")),
        (&pushed, "pipeline STARTED", documented!("pipeline_started_webhook")),
        (&pushed, "pipeline SUCCEEDED", documented!("pipeline_succeeded_git_branch")),
        (&events, "stage Source STARTED", documented!("stage_started")),
        (&events, "stage Source SUCCEEDED", documented!("stage_succeeded")),
        (&events, "stage Deploy FAILED", documented!("stage_failed")),
        (&events, "stage Deploy STOPPING", documented!("stage_stopping")),
        (&events, "stage Deploy STOPPED", documented!("stage_stopped")),
        (&events, "stage Deploy CANCELED", documented!("stage_canceled")),
        (&resumed, "stage Deploy RESUMED", documented!("stage_resumed")),
        (&events, "action Deploy/Deploy STARTED", documented!("action_started")),
        (&events, "action Deploy/Deploy FAILED", documented!("action_failed_codedeploy")),
        (&events, "action Deploy/Deploy ABANDONED", documented!("action_abandoned")),
        (&pushed, "action Source/Source SUCCEEDED", documented!("action_succeeded_source")),
    ];
    for (told, kind, documented) in table {
        let event = told.iter().find(|event| line(event) == kind).unwrap_or_else(|| panic!("nobody told {kind}"));
        let documented: Value = serde_json::from_str(documented).unwrap();
        let (mut here, mut there) = (BTreeSet::new(), BTreeSet::new());
        fields(event, "", &mut here);
        fields(&documented, "", &mut there);
        assert_eq!(here, there, "{kind}");
        for path in ["/version", "/source", "/detail-type", "/detail/state", "/detail/pipeline-execution-attempt"] {
            assert_eq!(event.pointer(path), documented.pointer(path), "{kind} {path}");
        }
    }
    // What follows a retry tells when it was.
    let later = after_retry.iter().find(|event| line(event) == "stage Deploy SUCCEEDED").unwrap();
    assert_eq!(later["detail"]["stage-last-retry-attempt-time"], resumed[1]["detail"]["stage-last-retry-attempt-time"]);
    assert_eq!(later["detail"]["pipeline-execution-attempt"], json!(2.0));

    let all: Vec<&Value> = events.iter().chain(&resumed).chain(&after_retry).chain(&pushed).collect();
    let ids: BTreeSet<&str> = all.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), all.len(), "an id is an event's own");
    for event in all {
        let envelope = decode_event_value(event).unwrap();
        assert!(matches!(envelope.event, Event::Pipeline(_) | Event::Stage(_) | Event::Action(_)), "{event}");
    }
}

#[tokio::test]
async fn a_push_that_fails_in_its_source_is_not_told_again() {
    let stage = Stage::set().await;
    let release = PipelineId::new(HUB, REGION, "web-release");
    stage.pipelines().define(Pipeline::new(HUB, REGION, "web-release"));
    stage.pipelines().behave(&release, Behaviour::fails("Source", "ConfigurationError", "No such branch"));
    let _id = stage.pipelines().start(&release, Cause::Push(push()));
    stage.pipelines().settle(&[HUB]);
    let events = stage.pipelines().take_events(HUB);
    let failed = events.iter().find(|event| line(event) == "pipeline FAILED").unwrap();
    assert!(failed["detail"].get("execution-trigger").is_none());
}
