//! The looks of a drift check, as the inspect function makes them, at pipelines that somebody changes by hand.

use manifold_aws::credentials::Assumer;
use manifold_aws::watch::Watcher;
use manifold_core::checkup::Tried;
use manifold_core::drift::definition::differences;
use manifold_core::drift::message::Look;
use manifold_core::drift::sight::{ExecutionSeen, PipelineSeen, StateSeen};
use manifold_core::drift::{Aspect, Looks};
use manifold_core::ids::RunId;
use manifold_core::time::Span;
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Asked, Seen, Watch};
use manifold_tests::local_aws::front::codepipeline::{
    Action, Behaviour, ExecutionMode, Pipeline, Stage as PipelineStage,
};

use crate::stage::{COMMIT, INSPECT_ROLE, REGION, Stage, TARGET, planned, run, svc, svc_deploy};

const JANE: &str = "arn:aws:sts::444455556666:assumed-role/Admin/jane";

fn looks() -> Looks {
    Looks {
        aspects: [Aspect::Revision, Aspect::Definition, Aspect::Health].into(),
        deploy_stage: None,
        stacks: Vec::new(),
        stuck_after: Span::from_minutes(60),
        variables: true,
        who: false,
    }
}

/// As the inspect function has it.
async fn watcher(stage: &Stage) -> Watcher {
    let clients = stage.clients().await;
    Watcher::new(clients.clone(), Assumer::new(clients.sts()), "ManifoldInspect".to_owned())
}

/// Looks with a session of its own.
async fn look(stage: &Stage) -> Seen {
    look_with(&watcher(stage).await).await
}

async fn look_with(watcher: &Watcher) -> Seen {
    let (check, planned, looks) = (run(), planned(), looks());
    let asked = Asked { check: &check, planned: &planned, looks: &looks, look: Look::First };
    watcher.look(asked, manifold_aws::clock::SystemClock.now().plus(Span::from_seconds(60))).await
}

fn pipeline(seen: &Seen) -> &PipelineSeen {
    seen.sight.pipeline.as_ref().unwrap().done().unwrap()
}

fn deployed(seen: &Seen) -> &[ExecutionSeen] {
    seen.sight.deployed.as_ref().unwrap().done().unwrap()
}

fn state(seen: &Seen) -> &StateSeen {
    seen.sight.state.as_ref().unwrap().done().unwrap()
}

#[tokio::test]
async fn what_a_rollout_brought_is_seen_as_its_own() {
    let stage = Stage::set().await;
    let id = stage.deploy().await.unwrap();
    stage.pipelines().settle(&[TARGET]);
    let seen = look(&stage).await;
    assert_eq!(seen.sight.assumed, Tried::Done(()));
    assert_eq!((pipeline(&seen).version, pipeline(&seen).deploy_stage.as_str()), (1, "Deploy"));
    let [last] = deployed(&seen) else { panic!("{seen:?}") };
    assert_eq!((last.id.as_str(), last.status.as_str()), (id.as_str(), "Succeeded"));
    assert_eq!(last.revisions, [("Source".to_owned(), COMMIT.to_owned())].into());
    assert_eq!(last.variables, [("LOG_LEVEL".to_owned(), "warn".to_owned())].into());
    assert_eq!(RunId::from_session_arn(last.started_by.as_deref().unwrap()), Some(run()));
    assert_eq!(seen.sight.executions.as_ref().unwrap().done().unwrap().len(), 1);
    assert_eq!(*state(&seen), StateSeen::default());
}

#[tokio::test]
async fn what_somebody_did_by_hand_is_seen_with_who_did_it() {
    let stage = Stage::set().await;
    stage.deploy().await.unwrap();
    stage.pipelines().settle(&[TARGET]);
    let before = look(&stage).await;

    stage.pipelines().edit(&svc(), |pipeline| {
        pipeline.stages[1].actions[0].configuration.insert("ApplicationName".to_owned(), "hotfix".to_owned());
    });
    let by_hand = stage.pipelines().start_by_hand(&svc(), JANE, &[("Source", "feedc0de")]);
    stage.pipelines().settle(&[TARGET]);
    stage.pipelines().disable_transition(&svc(), "Deploy", "a freeze");
    let after = look(&stage).await;

    let [last] = deployed(&after) else { panic!("{after:?}") };
    assert_eq!((last.id.as_str(), last.started_by.as_deref()), (by_hand.as_str(), Some(JANE)));
    assert_eq!(last.revisions, [("Source".to_owned(), "feedc0de".to_owned())].into());
    assert_eq!(pipeline(&after).version, 2);
    assert_ne!(pipeline(&before).digest, pipeline(&after).digest);
    assert!(pipeline(&before).updated_at <= pipeline(&after).updated_at);
    let found = differences(&before.definition.as_ref().unwrap().text, &after.definition.as_ref().unwrap().text);
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.path, "/stages/Deploy/actions/Deploy/configuration");
    let [disabled] = &state(&after).disabled[..] else { panic!("{after:?}") };
    assert_eq!((disabled.stage.as_str(), disabled.reason.as_deref()), ("Deploy", Some("a freeze")));
    assert_eq!(disabled.by.as_deref(), Some(format!("arn:aws:iam::{TARGET}:root").as_str()));
    assert!(disabled.at.is_some());

    // After repair it is as it was.
    stage.pipelines().edit(&svc(), |pipeline| pipeline.stages[1].actions[0].configuration.clear());
    stage.pipelines().enable_transition(&svc(), "Deploy");
    let repaired = look(&stage).await;
    assert_eq!(pipeline(&repaired).digest, pipeline(&before).digest);
    assert_eq!(*state(&repaired), StateSeen::default());
}

#[tokio::test]
async fn an_approval_that_waits_and_a_failure_are_seen() {
    let stage = Stage::set().await;
    stage.pipelines().edit(&svc(), |pipeline| {
        pipeline.stages.insert(1, PipelineStage::new("Ask", vec![Action::new("Ask", "Approval", "Manual")]));
    });
    stage.pipelines().behave_next(&svc(), Behaviour::fails("Source", "JobFailed", "no"));
    stage.start().await;
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    let seen = look(&stage).await;
    let executions = seen.sight.executions.as_ref().unwrap().done().unwrap();
    let statuses: Vec<&str> = executions.iter().map(|execution| execution.status.as_str()).collect();
    assert_eq!(statuses, ["InProgress", "Failed"], "the newest comes first");
    assert_eq!(deployed(&seen), [], "nobody came so far");
    let [approval] = &state(&seen).approvals[..] else { panic!("{seen:?}") };
    assert_eq!((approval.stage.as_str(), approval.action.as_str()), ("Ask", "Ask"));
    assert!(approval.since.is_some());
}

#[tokio::test]
async fn siblings_have_one_definition_wherever_they_are_and_whatever_their_mode_says_of_their_state() {
    let stage = Stage::set().await;
    stage.pipelines().define(svc_deploy().mode(ExecutionMode::Parallel));
    stage.start().await;
    stage.start().await;
    stage.pipelines().settle(&[TARGET]);
    let here = look(&stage).await;
    assert!(pipeline(&here).is_parallel);
    assert_eq!(deployed(&here).len(), 2);
    assert!(state(&here).has_none);
    let elsewhere = Stage::set().await;
    elsewhere.pipelines().define(Pipeline { mode: ExecutionMode::Parallel, ..svc_deploy() });
    elsewhere.pipelines().edit(&svc(), |pipeline| pipeline.tags.clear());
    let there = look(&elsewhere).await;
    assert_eq!(pipeline(&here).digest, pipeline(&there).digest, "an update that changed nothing is none");
    assert_ne!(pipeline(&here).version, pipeline(&there).version);
}

#[tokio::test]
async fn a_permission_that_is_missing_and_a_region_that_is_not_enabled_are_told() {
    let stage = Stage::set().await;
    stage.emulator.deny(INSPECT_ROLE, "GetPipelineState");
    let seen = look(&stage).await;
    let Some(Tried::Refused { code, .. }) = &seen.sight.state else { panic!("{seen:?}") };
    assert_eq!(code, "AccessDeniedException");
    assert_eq!(pipeline(&seen).version, 1, "nothing else suffers");

    stage.front.faults().disable_region(TARGET, REGION);
    let seen = look(&stage).await;
    let Some(Tried::Refused { code, .. }) = &seen.sight.pipeline else { panic!("{seen:?}") };
    assert_eq!(code, "UnrecognizedClientException");
    assert_eq!((seen.sight.deployed, seen.definition), (Some(Tried::NotTried), None));
}

#[tokio::test]
async fn a_session_that_was_ended_is_followed_by_another() {
    let stage = Stage::set().await;
    let watcher = watcher(&stage).await;
    for sessions in [1, 1, 2] {
        if sessions == 2 {
            stage.front.sessions().expire(TARGET);
        }
        assert_eq!(pipeline(&look_with(&watcher).await).version, 1);
        let opened = stage.front.sessions().in_account(TARGET);
        let names: Vec<&str> = opened.iter().map(|session| session.name.as_str()).collect();
        assert_eq!(names, vec!["mf-inspect"; sessions]);
    }
}
