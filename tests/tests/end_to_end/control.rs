//! Rollouts that somebody controls: from Slack, with the command, and by the app's policy.

use std::collections::BTreeMap;

use manifold_core::ids::RunId;
use manifold_core::run::{Outcome, Verdict};
use manifold_tests::local_aws::buttons::Button;
use manifold_tests::local_aws::front::codepipeline::{Behaviour, Execution, Status};
use manifold_tests::local_aws::organization::{COMMIT, Organization, REGIONS, SIGNING_SECRET};
use manifold_tests::local_aws::patience;
use serde_json::{Value, json};

use crate::story::{DUPLICATE, LIMIT, executions, one_message, outcome, release, target, ten_executions};

/// The commit of the second release.
const SECOND: &str = "1f2e3d4c5b6a79880716253443526170fedcba98";

/// The fleet file with more lines for its app.
fn policy(lines: &'static str) -> impl FnOnce(String) -> String {
    move |fleet| changed(&fleet, "    max_attempts: 1\n", &format!("    max_attempts: 1\n{lines}"))
}

fn changed(fleet: &str, from: &str, to: &str) -> String {
    assert!(fleet.contains(from), "the fleet file has no {from:?} any more");
    fleet.replacen(from, to, 1)
}

/// A run in full, as `manifold show --output json` tells it.
async fn shown(story: &Organization, run: &RunId) -> Value {
    let done = story.control("show", &[run.as_str(), "--output", "json"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    done.json()
}

/// Who decided what about a run, and why it was refused if it was, oldest first.
async fn decisions(story: &Organization, run: &RunId) -> Vec<[String; 3]> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let decisions = shown(story, run).await["decisions"].as_array().cloned().unwrap_or_default();
    let told = |decision: &Value| [&decision["who"]["id"], &decision["what"], &decision["answer"]["because"]].map(word);
    decisions.iter().map(told).collect()
}

/// The app's runs, newest first, as `manifold history --output json` tells them.
async fn history(story: &Organization) -> Vec<Value> {
    let done = story.control("history", &["web", "--output", "json"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    done.json()["runs"].as_array().cloned().unwrap_or_default()
}

fn run_of(told: &Value) -> RunId {
    told["run"].as_str().unwrap().parse().unwrap()
}

/// The executions in an account that got a commit.
fn with_commit(story: &Organization, account: &str, commit: &str) -> Vec<Execution> {
    let pinned = BTreeMap::from([("Source".to_owned(), commit.to_owned())]);
    let mut executions = story.front().pipelines().executions(account);
    executions.retain(|execution| execution.pinned == pinned);
    executions
}

fn regions(executions: &[Execution]) -> Vec<&str> {
    let mut regions: Vec<&str> = executions.iter().map(|execution| execution.pipeline.region.as_str()).collect();
    regions.sort_unstable();
    regions
}

fn all_regions() -> Vec<&'static str> {
    let mut regions = REGIONS.to_vec();
    regions.sort_unstable();
    regions
}

/// Waits until the first wave's five executions are started and recorded. Nothing moves meanwhile.
async fn first_wave(story: &Organization) {
    patience::until("the first wave", LIMIT, async || {
        let (queues, executions) = (story.queues().await, executions(story).len());
        let is_quiet = ["dispatch", "deploy", "collect"].iter().all(|queue| !queues.contains_key(*queue));
        if executions == 5 && is_quiet { Ok(()) } else { Err(format!("{executions}, {queues:?}")) }
    })
    .await;
}

async fn button(story: &Organization, id: &str) -> Button {
    patience::until("the button in Slack", LIMIT, async || {
        story.advance().await;
        let buttons = story.buttons();
        let found = buttons.iter().find(|button| button.id == id).cloned();
        found.ok_or_else(|| format!("{buttons:?}, {:#?}", story.slack().messages()))
    })
    .await
}

#[tokio::test]
async fn a_wave_is_approved_from_slack_by_whoever_may_and_once() {
    let story = Organization::controlled(|fleet| {
        let fleet = changed(&fleet, "apps:\n", "operators:\n  alice: { slack: U0123456789 }\napps:\n");
        changed(&fleet, "      - name: prod\n", "      - name: prod\n        approval: { by: alice }\n")
    })
    .await;
    story.hide_for("collect", DUPLICATE).await;
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let approve = button(&story, "manifold.approve").await;
    assert!(story.buttons().iter().any(|button| button.id == "manifold.reject"), "{:?}", story.buttons());
    assert_eq!(regions(&executions(&story)), all_regions(), "only the first wave was started");

    let press = approve.pressed_by("U0123456789", "alice");
    assert_eq!(story.press(&press, "another secret").await, 401);
    let stranger = approve.pressed_by("U0987654321", "mallory");
    assert_eq!(story.press(&stranger, SIGNING_SECRET).await, 200, "whether they may is judged by the run");
    let refused = ["U0987654321", "approve prod", "mallory may not: only alice may"].map(str::to_owned);
    patience::until("the refusal", LIMIT, async || {
        let decisions = decisions(&story, &run).await;
        if decisions.contains(&refused) { Ok(()) } else { Err(format!("{decisions:#?}")) }
    })
    .await;
    assert_eq!(executions(&story).len(), 5, "nothing was approved");
    assert_eq!(shown(&story, &run).await["summary"]["asks"]["wave"], "prod");

    // The same request twice, as Slack would send it again, and one more press.
    let press = approve.pressed_by("U0123456789", "alice");
    assert_eq!(story.press(&press, SIGNING_SECRET).await, 200);
    assert_eq!(story.press(&press, SIGNING_SECRET).await, 200);
    assert_eq!(story.press(&approve.pressed_by("U0123456789", "alice"), SIGNING_SECRET).await, 200);
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, &run);
    let message = one_message(&story);
    assert!(message.contains("approved by alice"), "{message}");
    assert_eq!(story.buttons(), [], "nothing is left to press");
    let decided = decisions(&story, &run).await;
    let by_alice: Vec<_> = decided.iter().filter(|[who, ..]| who == "U0123456789").collect();
    let [first, second] = by_alice.as_slice() else { panic!("two presses: {decided:#?}") };
    assert_eq!((first[1].as_str(), first[2].as_str()), ("approve prod", ""), "{decided:#?}");
    assert!(second[2].contains("has approved it at"), "{decided:#?}");
    story.emptied(LIMIT).await;
}

#[tokio::test]
async fn what_failed_is_retried_with_the_command_and_nothing_else_is() {
    let story = Organization::controlled(|fleet| fleet).await;
    let failed = target(&story.prod, "eu-west-1");
    story.front().pipelines().behave_next(&failed, Behaviour::fails("Deploy", "JobFailed", "Out of disk space"));
    let (run, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    ten_executions(&story, &run);

    let done = story.control("retry", &[run.as_str(), "--failed", "--why", "Disk is larger", "--output", "json"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    let told = done.json();
    assert_eq!(told["answer"], "opened", "{told:#}");
    let retry = run_of(&told);
    let summary = story.settle(&retry, LIMIT).await;
    assert_eq!((summary.verdict, summary.size), (Some(Verdict::Succeeded), 1));
    assert_eq!(outcome(&summary, "prod/eu-west-1"), Some(Outcome::Succeeded));
    let executions = executions(&story);
    assert_eq!(executions.len(), 11);
    let again: Vec<&Execution> = executions.iter().filter(|execution| execution.pipeline == failed).collect();
    assert_eq!(again.iter().map(|execution| execution.status).collect::<Vec<_>>(), [Status::Failed, Status::Succeeded]);
    assert!(again[1].cause.detail().ends_with(&format!("/mf-{retry}")), "{:?}", again[1].cause);
    assert_eq!(again[1].pinned["Source"], COMMIT);

    // What the command tells of both.
    let runs = history(&story).await;
    assert_eq!(runs.iter().map(run_of).collect::<Vec<_>>(), [retry.clone(), run.clone()], "newest first");
    assert_eq!((&runs[0]["origin"]["origin"], &runs[0]["origin"]["of"]), (&json!("retry"), &json!(run)));
    let told = shown(&story, &retry).await;
    assert_eq!((&told["summary"]["verdict"], &told["summary"]["size"]), (&json!("succeeded"), &json!(1)), "{told:#}");
    let decided = decisions(&story, &run).await;
    let root = format!("arn:aws:iam::{}:root", story.hub);
    let recorded = [root, format!("retry what failed, as {retry}"), String::new()];
    assert!(decided.contains(&recorded), "{decided:#?}");
    let status = story.control("status", &[]).await;
    assert_eq!(status.status, Some(0), "{status:#?}");
    assert!(status.out.contains(retry.as_str()) && status.out.contains("succeeded"), "{}", status.out);
    let why = story.control("why", &[run.as_str(), "prod/eu-west-1"]).await;
    assert!(why.out.contains("JobFailed"), "{why:#?}");
}

#[tokio::test]
async fn a_newer_release_takes_over_what_the_one_before_has_not_started() {
    let story = Organization::controlled(policy("    newer_release: supersede\n")).await;
    let event = story.release();
    let first = story.run_of(&event);
    story.put(&event).await;
    first_wave(&story).await;
    let event = story.release_of(SECOND);
    let second = story.run_of(&event);
    story.put(&event).await;
    patience::until("the second run", LIMIT, async || match story.summary(&second).await {
        Some(summary) if summary.verdict.is_none() => Ok(()),
        other => Err(format!("{other:#?}")),
    })
    .await;
    assert_eq!(executions(&story).len(), 5, "what runs is waited for");

    let summary = story.settle(&second, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    let summary = story.settle(&first, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Incomplete));
    assert_eq!((summary.tally.succeeded, summary.tally.skipped), (5, 5));
    let closing = summary.closing.map(|closing| closing.words()).unwrap_or_default();
    assert!(closing.contains(&format!("superseded by {second}")), "{closing}");
    for (account, commit, expected) in [
        (&story.dev, COMMIT, all_regions()),
        (&story.prod, COMMIT, Vec::new()),
        (&story.dev, SECOND, all_regions()),
        (&story.prod, SECOND, all_regions()),
    ] {
        assert_eq!(regions(&with_commit(&story, account, commit)), expected, "{commit} in {account}");
    }
    assert_eq!(executions(&story).len(), 15);
}

#[tokio::test]
#[ignore = "takes more than a minute: three runs, one after the other"]
async fn a_release_that_fails_is_rolled_back_by_itself_wherever_it_got() {
    let story = Organization::controlled(policy("    on_failure: roll_back_run\n")).await;
    let (first, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, &first);

    let failing = target(&story.dev, "eu-west-1");
    story.front().pipelines().behave_next(&failing, Behaviour::fails("Deploy", "JobFailed", "It does not start"));
    let event = story.release_of(SECOND);
    let second = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&second, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Failed));
    assert_eq!((summary.tally.succeeded, summary.tally.failed, summary.tally.skipped), (4, 1, 5));

    let runs = history(&story).await;
    let [back, failed, good] = runs.as_slice() else { panic!("three runs: {runs:#?}") };
    assert_eq!((run_of(failed), run_of(good)), (second.clone(), first));
    let origin = &back["origin"];
    assert_eq!((&origin["origin"], &origin["of"]), (&json!("rollback"), &json!(second)), "{back:#}");
    assert_eq!(origin["by"]["via"], "manifold", "nobody asked for it");
    let back = run_of(back);
    let summary = story.settle(&back, LIMIT).await;
    assert_eq!((summary.verdict, summary.size), (Some(Verdict::Succeeded), 5));

    // Every target that the second release got to has the first one's commit again, and no other was touched.
    assert_eq!(regions(&with_commit(&story, &story.dev, SECOND)), all_regions());
    assert!(with_commit(&story, &story.prod, SECOND).is_empty());
    let session = format!("/mf-{back}");
    let mut went_back = with_commit(&story, &story.dev, COMMIT);
    went_back.retain(|execution| execution.cause.detail().ends_with(&session));
    assert_eq!(regions(&went_back), all_regions());
    assert!(went_back.iter().all(|execution| execution.variables["COMMIT"] == COMMIT), "{went_back:#?}");
    assert_eq!(executions(&story).len(), 20);
    let decided = decisions(&story, &second).await;
    assert!(decided.iter().any(|[_, what, _]| *what == format!("roll back all, as {back}")), "{decided:#?}");
}

#[tokio::test]
async fn a_run_that_is_aborted_and_stopped_stops_its_executions() {
    let story = Organization::controlled(|fleet| fleet).await;
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    first_wave(&story).await;

    let done = story.control("abort", &[run.as_str(), "--stop"]).await;
    assert_eq!(done.status, Some(2), "nobody agreed: {done:#?}");
    let done = story.control("abort", &[run.as_str(), "--stop", "--why", "Wrong release", "--yes"]).await;
    assert_eq!(done.status, Some(0), "{done:#?}");
    assert!(done.out.contains("aborted"), "{done:#?}");
    patience::until("every execution to be told to stop", LIMIT, async || {
        let statuses: Vec<Status> = executions(&story).iter().map(|execution| execution.status).collect();
        match statuses.iter().all(|status| matches!(status, Status::Stopping | Status::Stopped)) {
            true => Ok(()),
            false => Err(format!("{statuses:?}, {:#?}", story.front().refusals(&story.dev))),
        }
    })
    .await;
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Aborted));
    let executions = executions(&story);
    assert_eq!(executions.len(), 5, "nothing more was started");
    assert!(executions.iter().all(|execution| execution.status == Status::Stopped), "{executions:#?}");
    assert_eq!(story.front().refusals(&story.dev), [""; 0]);
    let calls = story.front().calls(&story.dev)["codepipeline.StopPipelineExecution"];
    assert!((5..=10).contains(&calls), "{calls} calls to stop five executions");
    assert!(one_message(&story).contains("Aborted by"), "{}", one_message(&story));
}

/// CodePipeline invokes `dispatch` for a job, again with what that handed over, until there is a result.
async fn waits(story: &Organization, parameters: &str, twice: bool) -> (usize, Value) {
    let pipelines = story.front().pipelines();
    let (mut token, mut jobs): (Option<String>, usize) = (None, 0);
    loop {
        jobs += 1;
        let id = format!("{jobs:08x}-7d52-4d5e-9f0b-5a1f7c2b9e01");
        let event = pipelines.job(&story.hub, &id, parameters, token.as_deref());
        for _ in 0..if twice { 2 } else { 1 } {
            story.invoke("dispatch", &event).await;
        }
        let result = patience::until("the result of a job", LIMIT, async || {
            pipelines.job_result(&story.hub, &id).ok_or_else(|| format!("job {jobs} has no result"))
        })
        .await;
        let Some(next) = result["continuationToken"].as_str() else { return (jobs, result) };
        assert!(
            result["executionDetails"]["percentComplete"].as_u64().is_some_and(|percent| percent < 100),
            "{result}"
        );
        token = Some(next.to_owned());
        story.advance().await;
    }
}

#[tokio::test]
async fn a_release_pipeline_waits_for_the_verdict_and_is_told_of_it() {
    let story = Organization::controlled(|fleet| fleet).await;
    for queue in ["deploy", "collect"] {
        story.hide_for(queue, DUPLICATE).await;
    }
    // The event comes when the pipeline has ended, and that waits for the run.
    let event = story.release();
    let execution = event["detail"]["execution-id"].as_str().unwrap().to_owned();
    let parameters = json!({"app": "web", "execution": execution}).to_string();
    let (jobs, result) = waits(&story, &parameters, true).await;
    assert!(jobs > 1, "it did not wait: {result}");
    let details = &result["executionDetails"];
    assert_eq!(details["percentComplete"], 100, "{result}");
    assert!(details["summary"].as_str().unwrap().contains("succeeded on all 10 targets"), "{result}");
    let run = story.run_of(&event);
    assert_eq!(details["externalExecutionId"], run.as_str());
    story.put(&event).await;
    story.settle(&run, LIMIT).await;
    story.emptied(LIMIT).await;
    ten_executions(&story, &run);
    assert_eq!(history(&story).await.len(), 1, "the event opened no other run");
    one_message(&story);

    let unknown = json!({"app": "shop", "execution": execution}).to_string();
    let id = "ffffffff-7d52-4d5e-9f0b-5a1f7c2b9e01";
    let event = story.front().pipelines().job(&story.hub, id, &unknown, None);
    story.invoke("dispatch", &event).await;
    let result = patience::until("the refusal", LIMIT, async || {
        story.front().pipelines().job_result(&story.hub, id).ok_or_else(|| "no result".to_owned())
    })
    .await;
    assert_eq!(result["failureDetails"]["type"], "ConfigurationError", "{result}");
}
