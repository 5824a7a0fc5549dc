//! Every recorded or documented event under `tests/events/` decodes to what it says, and nothing that is not an
//! event does any harm. A new file there is covered at once: its line is missing in the snapshot.

#![allow(clippy::unwrap_used, reason = "the lint spares tests, but not the helpers beside them")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use manifold_core::event::{
    ActionEvent, ActionState, BatchResponse, BuildEvent, DecodeError, DeploymentEvent, DriftEvent, Envelope, Event,
    ExecutionResult, ExecutionTrigger, FailedAction, FailedPhase, GitTrigger, HookEvent, Input, InstanceEvent,
    PhaseEvent, PipelineEvent, PipelineState, ResourceEvent, ScheduleTick, SqsBatch, SqsRecord, StackEvent,
    StackSetEvent, StageEvent, decode_batch, decode_event, decode_event_value, decode_input, decode_input_str,
};
use manifold_core::ids::RunId;
use manifold_core::run::Observation;
use proptest::prelude::*;
use serde_json::{Value, json};

// --- fixtures --------------------------------------------------------------------------------------------------------

struct Fixture {
    name: String,
    text: String,
}

impl Fixture {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// The files of one folder of `tests/events/`, by name.
fn fixtures(folder: &str) -> Vec<Fixture> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(folder);
    let mut found: Vec<Fixture> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Fixture {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn fixture(folder: &str, name: &str) -> Fixture {
    fixtures(folder).into_iter().find(|fixture| fixture.name == name).unwrap()
}

/// What a function would get: the events of the sequence one by one, every other file as it is.
fn inputs() -> Vec<Fixture> {
    let single = ["cloudformation", "codebuild", "codedeploy", "codepipeline", "schedule", "codepipeline_job", "sqs"]
        .into_iter()
        .flat_map(fixtures);
    let (sequences, single): (Vec<_>, Vec<_>) =
        single.filter(|fixture| !fixture.name.contains("_response_")).partition(|fixture| fixture.json().is_array());
    let split = |sequence: Fixture| {
        let events = sequence.json().as_array().unwrap().clone();
        events.into_iter().map(move |event| Fixture { name: sequence.name.clone(), text: event.to_string() })
    };
    single.into_iter().chain(sequences.into_iter().flat_map(split)).collect()
}

// --- one line for what happened, one for each thing known about it -----------------------------------------------------
// Each function takes its type apart without `..`, so that a new field does not compile until it is shown here.

fn show(name: &str, value: Option<impl ToString>, out: &mut String) {
    if let Some(value) = value {
        write!(out, " {name}={:?}", value.to_string()).unwrap();
    }
}

fn show_envelope(envelope: &Envelope) -> String {
    let Envelope { id, account, region, at, event } = envelope;
    let mut out = match event {
        Event::Pipeline(event) => show_pipeline(event),
        Event::Stage(event) => show_stage(event),
        Event::Action(event) => show_action(event),
        Event::Drift(DriftEvent { detection, is_under_way }) => {
            format!("drift detection {detection:?}{}", if *is_under_way { " goes on" } else { " has ended" })
        }
        Event::Build(event) => show_build(event),
        Event::Phase(PhaseEvent { project, build, phase, status, seconds }) => {
            let mut out = format!("end of phase {phase} of {build}\n  project: {project}");
            show("status", status.as_ref(), &mut out);
            show("seconds", *seconds, &mut out);
            out
        }
        Event::Stack(StackEvent { stack, status, reason, token }) => {
            let mut out = format!("stack {stack} {status:?}");
            show("reason", reason.as_ref(), &mut out);
            show("token", token.as_ref(), &mut out);
            out
        }
        Event::Resource(resource) => {
            let ResourceEvent { stack, resource: logical, kind, status, reason, token } = resource;
            let mut out = format!("resource {logical} of stack {stack} {status:?}");
            show("kind", kind.as_ref(), &mut out);
            show("reason", reason.as_ref(), &mut out);
            show("token", token.as_ref(), &mut out);
            show("is_failure", Some(resource.is_failure()), &mut out);
            out
        }
        Event::StackSet(StackSetEvent { stack_set, what, status }) => {
            format!("stack set {status}: {what:?}\n  of {stack_set}")
        }
        Event::Deployment(DeploymentEvent { group, deployment, state }) => {
            format!("deployment {deployment} of {} {state:?}", group.as_str())
        }
        Event::Instance(InstanceEvent { group, deployment, instance, state }) => {
            format!("instance {instance:?} in deployment {deployment} of {} {state:?}", group.as_str())
        }
        Event::Scheduled { rule } => format!("scheduled by {rule:?}"),
        Event::Other { source, detail_type } => format!("other: {detail_type:?} from {source:?}"),
    };
    write!(out, "\n  envelope: {account}/{region} at {at}").unwrap();
    show("id", id.as_ref(), &mut out);
    if let Some(Observation { target, subject, execution, started_by, what, .. }) = Observation::of(envelope) {
        write!(out, "\n  observed: {subject} in {target}, {execution}: {what:?}").unwrap();
        show("started_by", started_by.as_ref(), &mut out);
    }
    out
}

fn show_build(event: &BuildEvent) -> String {
    let BuildEvent { project, build, state, initiator, failed, log } = event;
    let mut out = format!("build {build} {state:?}\n  project: {project}");
    show("initiator", initiator.as_ref(), &mut out);
    if let Some(FailedPhase { phase, status, context }) = failed {
        write!(out, "\n  failed: {phase} {status} {context:?}").unwrap();
    }
    show("log", log.as_ref(), &mut out);
    out
}

fn show_pipeline(event: &PipelineEvent) -> String {
    let PipelineEvent {
        pipeline,
        execution,
        state,
        attempt,
        started_at,
        trigger,
        stop_comments,
        version,
        failed_stage,
        failed_actions,
    } = event;
    let mut out = format!("pipeline {pipeline} {state:?}\n  execution: {execution}");
    show("attempt", *attempt, &mut out);
    show("version", *version, &mut out);
    show("started", *started_at, &mut out);
    show("stop_comments", stop_comments.as_ref(), &mut out);
    show("failed_stage", failed_stage.as_ref(), &mut out);
    for FailedAction { action, information } in failed_actions {
        write!(out, "\n  failed action: {action:?} {information:?}").unwrap();
    }
    if let Some(ExecutionTrigger { kind, detail, git }) = trigger {
        out.push_str("\n  trigger:");
        show("kind", kind.as_ref(), &mut out);
        show("detail", detail.as_ref(), &mut out);
        if let Some(git) = git {
            show_git(git, &mut out);
        }
    }
    out
}

fn show_git(git: &GitTrigger, out: &mut String) {
    let GitTrigger {
        commit_id,
        commit_message,
        author,
        author_id,
        author_email,
        authored_at,
        repository,
        branch,
        tag,
        provider,
        connection_arn,
    } = git;
    out.push_str(" git");
    show("commit", commit_id.as_ref(), out);
    show("message", commit_message.as_ref(), out);
    show("author", author.as_ref(), out);
    show("author_id", author_id.as_ref(), out);
    show("author_email", author_email.as_ref(), out);
    show("authored", *authored_at, out);
    show("repository", repository.as_ref(), out);
    show("branch", branch.as_ref(), out);
    show("tag", tag.as_ref(), out);
    show("provider", provider.as_ref(), out);
    show("connection", connection_arn.as_ref(), out);
}

fn show_stage(event: &StageEvent) -> String {
    let StageEvent { pipeline, execution, stage, state, attempt, started_at, last_retried_at, version } = event;
    let mut out = format!("stage {pipeline}/{stage} {state:?}\n  execution: {execution}");
    show("attempt", *attempt, &mut out);
    show("version", *version, &mut out);
    show("started", *started_at, &mut out);
    show("last_retried", *last_retried_at, &mut out);
    out
}

fn show_action(event: &ActionEvent) -> String {
    let ActionEvent {
        pipeline,
        execution,
        stage,
        action,
        action_execution,
        state,
        category,
        provider,
        action_region,
        attempt,
        started_at,
        result,
        version,
    } = event;
    let mut out = format!("action {pipeline}/{stage}/{action} {state:?}\n  execution: {execution}");
    show("attempt", *attempt, &mut out);
    show("version", *version, &mut out);
    show("started", *started_at, &mut out);
    show("action_execution", action_execution.as_ref(), &mut out);
    show("category", category.as_ref(), &mut out);
    show("provider", provider.as_ref(), &mut out);
    show("region", action_region.as_ref(), &mut out);
    if let Some(ExecutionResult { external_id, summary, url, error_code }) = result {
        out.push_str("\n  result:");
        show("id", external_id.as_ref(), &mut out);
        show("summary", summary.as_ref(), &mut out);
        show("url", url.as_ref(), &mut out);
        show("error_code", error_code.as_ref(), &mut out);
    }
    out
}

fn show_event(decoded: &Result<Envelope, DecodeError>) -> String {
    decoded.as_ref().map_or_else(|error| format!("refused: {error}"), show_envelope)
}

fn show_batch(batch: &SqsBatch) -> String {
    let mut out = format!("batch of {}", batch.records.len());
    for record in &batch.records {
        let SqsRecord { message_id, body, receive_count, sent_at, first_received_at, queue_arn, group_id, attributes } =
            record;
        write!(out, "\n- message {message_id} received {receive_count}").unwrap();
        show("sent", *sent_at, &mut out);
        show("first_received", *first_received_at, &mut out);
        show("queue", queue_arn.as_ref(), &mut out);
        show("group", group_id.as_ref(), &mut out);
        for (name, value) in attributes {
            write!(out, "\n  attribute: {name}={value:?}").unwrap();
        }
        write!(out, "\n  {}", show_event(&decode_event(body)).replace('\n', "\n  ")).unwrap();
    }
    out
}

fn show_input(input: &Input) -> String {
    match input {
        Input::Event(envelope) => show_envelope(envelope),
        Input::Batch(batch) => show_batch(batch),
        Input::Job(job) => {
            let mut out = format!("job {} of {}", job.id, job.account);
            show("user_parameters", job.user_parameters.as_ref(), &mut out);
            show("continuation_token", job.continuation_token.as_ref(), &mut out);
            out
        }
        Input::Schedule(ScheduleTick { kind, schedule_arn, scheduled_time, execution_id, attempt }) => {
            let mut out = "tick".to_owned();
            show("kind", kind.as_ref(), &mut out);
            show("schedule", schedule_arn.as_ref(), &mut out);
            show("due", *scheduled_time, &mut out);
            show("execution", execution_id.as_ref(), &mut out);
            show("attempt", *attempt, &mut out);
            out
        }
        Input::Hook(HookEvent { deployment, hook }) => format!("hook of deployment {deployment}\n  hook: {hook}"),
    }
}

/// Every fixture of a folder as one readable text.
fn show_folder(folder: &str) -> String {
    let inputs = inputs();
    let shown = fixtures(folder).into_iter().map(|fixture| fixture.name).filter_map(|name| {
        let decoded = inputs.iter().filter(|input| input.name == name);
        let shown: Vec<String> = decoded.map(|input| show_input(&decode_input_str(&input.text).unwrap())).collect();
        (!shown.is_empty()).then(|| format!("## {name}\n{}", shown.join("\n")))
    });
    shown.collect::<Vec<_>>().join("\n\n")
}

// --- what is said about fixtures -------------------------------------------------------------------------------------

#[test]
fn every_codepipeline_event_decodes_to_what_it_says() {
    insta::assert_snapshot!("codepipeline", show_folder("codepipeline"));
}

#[test]
fn what_decides_is_what_the_raw_event_carries() {
    for input in
        inputs().iter().filter(|input| input.text.contains("aws.codepipeline") && !input.text.contains("Records"))
    {
        let (raw, decoded) = (input.json(), decode_event(&input.text).unwrap());
        let (pipeline, state, attempt) = match &decoded.event {
            Event::Pipeline(event) => (&event.pipeline, event.state.to_string(), event.attempt),
            Event::Stage(event) => (&event.pipeline, event.state.to_string(), event.attempt),
            Event::Action(event) => (&event.pipeline, event.state.to_string(), event.attempt),
            Event::Drift(_)
            | Event::Build(_)
            | Event::Phase(_)
            | Event::Stack(_)
            | Event::Resource(_)
            | Event::StackSet(_)
            | Event::Deployment(_)
            | Event::Instance(_)
            | Event::Scheduled { .. }
            | Event::Other { .. } => panic!("{}: {decoded:?}", input.name),
        };
        let detail = &raw["detail"];
        let target = decoded.execution().unwrap();
        assert_eq!(detail["pipeline"], pipeline.as_str(), "{}", input.name);
        assert_eq!(detail["state"], state.as_str(), "{}", input.name);
        assert_eq!(detail["execution-id"], target.id.as_str(), "{}", input.name);
        assert_eq!(detail["pipeline-execution-attempt"].as_f64(), attempt.map(f64::from), "{}", input.name);
        assert_eq!(raw["account"], target.target.account.as_str(), "{}", input.name);
        assert_eq!(raw["region"], target.target.region.as_str(), "{}", input.name);
        assert_eq!(raw["time"], decoded.at.to_string(), "{}", input.name);
        assert_eq!(raw["id"].as_str(), decoded.id.as_deref(), "{}", input.name);
    }
}

#[test]
fn every_codebuild_event_decodes_to_what_it_says() {
    insta::assert_snapshot!("codebuild", show_folder("codebuild"));
}

#[test]
fn every_cloudformation_event_decodes_to_what_it_says() {
    insta::assert_snapshot!("cloudformation", show_folder("cloudformation"));
}

#[test]
fn every_codedeploy_event_decodes_to_what_it_says() {
    insta::assert_snapshot!("codedeploy", show_folder("codedeploy"));
}

/// No engine's event is left to be something else.
#[test]
fn every_event_of_an_engine_is_known() {
    for folder in ["codepipeline", "codebuild", "cloudformation", "codedeploy"] {
        for input in fixtures(folder).iter().filter(|fixture| !fixture.json().is_array()) {
            match decode_input_str(&input.text).unwrap() {
                Input::Event(envelope) => {
                    assert!(!matches!(envelope.event, Event::Other { .. }), "{}: {envelope:?}", input.name);
                }
                Input::Hook(_) => {}
                other @ (Input::Batch(_) | Input::Job(_) | Input::Schedule(_)) => panic!("{}: {other:?}", input.name),
            }
        }
    }
}

#[test]
fn every_schedule_decodes_to_what_it_says() {
    insta::assert_snapshot!("schedule", show_folder("schedule"));
}

#[test]
fn every_job_decodes_to_what_it_says() {
    insta::assert_snapshot!("codepipeline_job", show_folder("codepipeline_job"));
}

#[test]
fn every_batch_decodes_to_what_it_says() {
    insta::assert_snapshot!("sqs", show_folder("sqs"));
}

#[test]
fn every_batch_response_is_read_and_written_the_same() {
    for fixture in fixtures("sqs").iter().filter(|fixture| fixture.name.contains("_response_")) {
        let response: BatchResponse = serde_json::from_str(&fixture.text).unwrap();
        assert_eq!(serde_json::to_value(&response).unwrap(), fixture.json(), "{}", fixture.name);
        assert_eq!(BatchResponse::failing(response.failed()), response);
    }
}

#[test]
fn a_poisoned_message_fails_alone_and_says_why() {
    let batch = decode_batch(&fixture("sqs", "sqs_with_poison_messages").json()).unwrap();
    let decoded: Vec<_> = batch.records.iter().map(|record| (&record.message_id, record.event())).collect();
    let Event::Pipeline(sound) = &decoded[0].1.as_ref().unwrap().event else { panic!("{decoded:?}") };
    assert_eq!(sound.state, PipelineState::Succeeded);
    let reasons: Vec<String> =
        decoded.iter().filter_map(|(_, event)| event.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "not json at line 1, column 2: expected ident",
            "source is missing, expected a sender such as aws.codepipeline",
        ]
    );
    let response = BatchResponse::failing(decoded.iter().filter(|(_, event)| event.is_err()).map(|(id, _)| *id));
    assert_eq!(
        serde_json::to_value(response).unwrap(),
        json!({ "batchItemFailures": [
            { "itemIdentifier": "3fccf7e8-ef8b-b6df-5c1a-77f579c5b914" },
            { "itemIdentifier": "68b619a6-8d46-df0f-5fb6-6f50b5ccdde1" },
        ]})
    );
}

#[test]
fn a_sequence_out_of_order_decodes_in_order_of_arrival_and_its_duplicate_is_equal() {
    let sequence = fixture("codepipeline", "sequence_out_of_order_with_duplicate").json();
    let events: Vec<Envelope> =
        sequence.as_array().unwrap().iter().map(|event| decode_event_value(event).unwrap()).collect();
    assert_eq!(events.len(), sequence.as_array().unwrap().len());
    assert!(!events.is_sorted_by_key(|event| event.at), "the recording is out of order");

    let (last, earlier) = events.split_last().unwrap();
    assert_eq!(earlier.iter().filter(|event| event.id == last.id).collect::<Vec<_>>(), [last]);
    assert!(events.iter().all(|event| event.execution() == last.execution() && last.execution().is_some()));
}

#[test]
fn an_actions_region_is_not_its_pipelines() {
    let event = decode_event(&fixture("codepipeline", "action_succeeded_cross_region").text).unwrap();
    assert_eq!(event.execution().unwrap().target.region.as_str(), "eu-west-1");
    let Event::Action(action) = event.event else { panic!("another event") };
    assert_eq!(action.action_region.unwrap().as_str(), "ap-southeast-2");
    assert_eq!(action.state, ActionState::Succeeded);
}

#[test]
fn both_forms_of_a_message_say_the_same() {
    for (raw, processed) in [
        ("pipeline_started_api", "processed_pipeline_started"),
        ("stage_started", "processed_stage_started"),
        ("action_failed_codedeploy", "processed_action_failed"),
    ] {
        let raw = decode_event(&fixture("codepipeline", raw).text).unwrap();
        let processed = decode_event(&fixture("codepipeline", processed).text).unwrap();
        assert_eq!((raw.event, raw.at, None), (processed.event, processed.at, processed.id));
    }
}

#[test]
fn the_run_is_read_from_the_session_that_started_the_execution() {
    let mut event = fixture("codepipeline", "pipeline_started_api").json();
    let run: RunId = "web-0f3a5b7c9d1e2f40".parse().unwrap();
    let session = format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{}", run.session_name());
    event["detail"]["execution-trigger"]["trigger-detail"] = json!(session);
    let Event::Pipeline(event) = decode_event_value(&event).unwrap().event else { panic!("another event") };
    let detail = event.trigger.unwrap().detail.unwrap();
    assert_eq!(RunId::from_session_arn(&detail), Some(run));
}

/// The credentials in the fixtures of jobs.
const SECRETS: [&str; 3] =
    ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "MIICiTCCAfICCQD6EXAMPLETOKEN=", "AKIAIOSFODNN7EXAMPLE"];

#[test]
fn a_job_shows_no_credential_and_nothing_that_a_user_configured() {
    for fixture in fixtures("codepipeline_job") {
        assert!(SECRETS.iter().all(|secret| fixture.text.contains(secret)), "{}", fixture.name);
        let input = decode_input_str(&fixture.text).unwrap();
        for shown in [format!("{input:?}"), format!("{input:#?}"), show_input(&input)] {
            assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
        }
        let debug = format!("{input:?}");
        assert!(!debug.contains("wave") && !debug.contains("rollout_id"), "{debug}");
    }
}

// --- what is said about everything else ------------------------------------------------------------------------------

fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(1.0e308)),
    ];
    let text = prop_oneof!["\\PC{0,12}", "[0-9]{1,12}", Just("x".repeat(3000)), Just("\u{202e}\u{0}\n".to_owned())];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text.prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{0,8}", inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Calls `visit` on every node, outermost first.
fn each_node(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    visit(value);
    if let Some(fields) = value.as_object_mut() {
        fields.values_mut().for_each(|field| each_node(field, visit));
    } else if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(|item| each_node(item, visit));
    }
}

/// Calls `change` on one of the nodes that are `eligible`, chosen by a number of any size.
fn change_one(value: &mut Value, eligible: fn(&Value) -> bool, chosen: usize, change: impl FnOnce(&mut Value)) {
    let mut count = 0;
    each_node(value, &mut |node| count += usize::from(eligible(node)));
    let (mut index, mut change) = (0, Some(change));
    each_node(value, &mut |node| {
        if !eligible(node) {
            return;
        }
        if index == chosen % count
            && let Some(change) = change.take()
        {
            change(node);
        }
        index += 1;
    });
}

/// Decodes in every way there is; whatever is refused says so briefly and gives nothing away.
fn decode_all_ways(text: &str) {
    let mut errors = Vec::new();
    errors.extend(decode_event(text).err());
    match decode_input_str(text) {
        Ok(Input::Batch(batch)) => {
            errors.extend(batch.records.iter().filter_map(|record| record.event().err()));
            assert!(batch.records.iter().all(|record| !record.message_id.trim().is_empty()));
        }
        Ok(input @ (Input::Job(_) | Input::Event(_) | Input::Schedule(_) | Input::Hook(_))) => {
            let shown = format!("{input:?}");
            assert!(!matches!(input, Input::Job(_)) || SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
        }
        Err(error) => errors.push(error),
    }
    if let Ok(value) = serde_json::from_str(text) {
        errors.extend(decode_batch(&value).err());
    }
    for error in errors {
        let shown = error.to_string();
        assert!(shown.chars().count() <= 300 && !shown.contains('\n'), "{shown}");
        assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
        assert!(SECRETS.iter().all(|secret| !format!("{error:?}").contains(secret)), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_and_no_json_makes_it_panic(text in "\\PC{0,200}", value in any_json()) {
        decode_all_ways(&text);
        decode_all_ways(&value.to_string());
    }

    #[test]
    fn no_mutation_of_an_input_makes_it_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<usize>(), prop::option::of(any_json())), 1..4),
        cut in any::<prop::sample::Index>(),
        garbage in "\\PC{0,4}",
    ) {
        let inputs = inputs();
        let input = which.get(&inputs);
        let mut value = input.json();
        for (chosen, replacement) in changes {
            change_one(&mut value, |_| true, chosen, |node| match (replacement, node.as_object_mut()) {
                (Some(replacement), _) => *node = replacement,
                // No replacement means: lose a field.
                (None, Some(fields)) => {
                    let name = fields.keys().nth(chosen % fields.len().max(1)).cloned();
                    name.and_then(|name| fields.remove(&name));
                }
                (None, None) => *node = Value::Null,
            });
        }
        decode_all_ways(&value.to_string());

        let ends: Vec<usize> = input.text.char_indices().map(|(index, _)| index).collect();
        let (head, tail) = input.text.split_at(*cut.get(&ends));
        decode_all_ways(head);
        decode_all_ways(&format!("{head}{garbage}{tail}"));
    }

    #[test]
    fn a_field_that_is_new_to_us_changes_nothing(
        which in any::<prop::sample::Index>(),
        additions in prop::collection::vec((any::<usize>(), "x-[a-z]{1,8}", any_json()), 1..5),
    ) {
        // An empty object is a tick because it is empty; with a field in it, it is something else.
        let inputs: Vec<Fixture> = inputs().into_iter().filter(|input| input.text.trim() != "{}").collect();
        let input = which.get(&inputs);
        let mut value = input.json();
        for (chosen, name, addition) in additions {
            change_one(&mut value, Value::is_object, chosen, |node| {
                node.as_object_mut().unwrap().insert(name, addition);
            });
        }
        prop_assert_eq!(decode_input(&value), decode_input(&input.json()), "{}", &input.name);
    }

    #[test]
    fn numbers_mean_the_same_in_every_shape(which in any::<prop::sample::Index>(), shape in 0..3) {
        let inputs: Vec<Fixture> = inputs().into_iter().filter(|input| input.text.contains("detail")).collect();
        let input = which.get(&inputs);
        let mut value = input.json();
        each_node(&mut value, &mut |node| {
            if let Some(number) = node.as_f64().filter(|number| number.fract() == 0.0) {
                *node = match shape {
                    0 => json!(number as u64),
                    1 => json!(format!("{number}")),
                    _ => json!(format!("{number:.1}")),
                };
            }
        });
        prop_assert_eq!(decode_input(&value), decode_input(&input.json()), "{}", &input.name);
    }
}
