//! Engines other than CodePipeline: a change set that has to be prepared first, a target that has the release already, an
//! operation that its token names, and a failure that says why by itself.

use manifold_core::event::PipelineState;
use manifold_core::ids::{Attempt, ExecutionId, RunId};
use manifold_core::run::{
    Event, Learnt, Observation, Observed, Outcome, Reason, ReasonSource, Refusal, Status, Told, Verdict,
};
use manifold_core::time::Span;

use super::play::{Play, key, reason, run_id};

/// One target of one wave whose engine is CloudFormation.
fn stack() -> Play {
    let mut plan = super::play::plan(&[(1, 1, 0)], 1);
    plan.targets[0].subject = "cloudformation:web".parse().unwrap();
    Play::open("this", plan, Default::default(), super::play::released_at())
}

fn token(run: &RunId, attempt: u32) -> ExecutionId {
    run.attempt_token(&key(0), Attempt(attempt)).parse().unwrap()
}

fn observed(play: &mut Play, execution: &ExecutionId, what: Observed) -> Told {
    let observation = Observation {
        target: key(0),
        subject: "cloudformation:web".parse().unwrap(),
        execution: execution.clone(),
        at: play.now,
        started_by: None,
        what,
        learnt: Learnt::ByEvent,
    };
    play.tell(Event::Observed(Box::new(observation))).told
}

fn state(state: PipelineState, reason: Option<Reason>) -> Observed {
    Observed::State { state, attempt: None, comments: None, reason: reason.map(Box::new) }
}

fn preparing() -> Refusal {
    Refusal::Preparing { reason: reason("The change set of stack web is being made"), again: Span::from_seconds(15) }
}

#[test]
fn a_change_set_is_come_back_for_without_a_back_off_and_looked_for_before_it_is_executed() {
    let mut play = stack();
    play.claim(0);
    for _ in 0..40 {
        let answer = play.refused(0, 1, preparing());
        assert_eq!(answer.effects[0], "start 0");
        assert_eq!(play.status(0), Status::Queued);
        assert_eq!(play.target(0).start_due_at, Some(play.now.plus(Span::from_seconds(15))));
        play.wait(Span::from_seconds(15));
        assert_eq!(play.claim(0).told, Told::Claimed { look_first: true, may_start: true });
    }
    // It answered each time: ten minutes of it are no reason to call the account unreachable.
    assert_eq!(play.target(0).unanswered_since, None);
}

#[test]
fn a_change_set_that_is_never_ready_times_out_at_the_deadline() {
    let mut play = stack();
    play.claim(0);
    play.wait(Span::from_minutes(121));
    play.refused(0, 1, preparing());
    assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut));
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "The change set of stack web is being made");
}

#[test]
fn a_target_that_has_the_release_already_succeeds_without_an_execution_of_its_own() {
    let mut play = stack();
    play.claim(0);
    play.refused(0, 1, preparing());
    play.wait(Span::from_seconds(15));
    play.claim(0);
    let execution = token(&run_id("this"), 1);
    let told = play.tell(Event::Current { target: key(0), attempt: Attempt(1), execution: execution.clone() });
    assert_eq!(told.told, Told::Changed);
    assert_eq!(play.status(0), Status::Ended(Outcome::Succeeded));
    assert_eq!(play.verdict(), Some(Verdict::Succeeded));
    assert!(play.target(0).already && play.target(0).reason.is_none());
    // What is known of the target names no execution that never ran.
    let known = &told.step.known[0];
    assert_eq!((known.current.run.clone(), known.current.execution.clone()), (run_id("this"), None));
    // Whoever comes late finds it done.
    assert_eq!(play.claim(0).told, Told::TooLate);
}

#[test]
fn a_stacks_event_is_claimed_by_its_token_before_the_worker_has_recorded_the_start() {
    let mut play = stack();
    play.claim(0);
    let execution = token(&run_id("this"), 1);
    assert_eq!(observed(&mut play, &execution, state(PipelineState::Started, None)), Told::Changed);
    assert_eq!((play.status(0), play.target(0).execution.clone()), (Status::Running, Some(execution)));
}

#[test]
fn a_token_of_another_run_attempt_or_console_claims_nothing() {
    let mut play = stack();
    play.claim(0);
    for foreign in
        [token(&run_id("another"), 1), token(&run_id("this"), 2), "Console-UpdateStack-0a1b".parse().unwrap()]
    {
        let told = observed(&mut play, &foreign, state(PipelineState::Started, None));
        assert_eq!(told, Told::Stray("an execution that this run did not start"), "{foreign}");
    }
    // And nobody's before a worker had claimed the target.
    let mut untouched = stack();
    let told = observed(&mut untouched, &token(&run_id("this"), 1), state(PipelineState::Succeeded, None));
    assert_eq!(told, Told::Stray("no such target in this run"));
}

#[test]
fn the_resource_that_failed_goes_before_what_its_stack_says_in_any_order() {
    let why = |cause: &str, attempt| Reason {
        cause: cause.to_owned(),
        detail: None,
        link: None,
        source: ReasonSource::Event,
        attempt,
    };
    let resource = || Observed::ActionFailed { reason: why("UPDATE_FAILED of Jobs (AWS::SQS::Queue)", 1) };
    let failed = || state(PipelineState::Failed, Some(why("UPDATE_ROLLBACK_COMPLETE", 0)));
    for order in [[resource(), failed()], [failed(), resource()]] {
        let mut play = stack();
        play.claim(0);
        let execution = token(&run_id("this"), 1);
        play.tell(Event::Started { target: key(0), attempt: Attempt(1), execution: execution.clone() });
        for what in order {
            assert_eq!(observed(&mut play, &execution, what), Told::Changed);
        }
        assert_eq!(play.status(0), Status::Ended(Outcome::Failed));
        assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "UPDATE_FAILED of Jobs (AWS::SQS::Queue)");
        assert!(!play.target(0).is_unexplained());
    }
    // The stack's word alone leaves the question open: its engine is asked.
    let mut play = stack();
    play.claim(0);
    let execution = token(&run_id("this"), 1);
    play.tell(Event::Started { target: key(0), attempt: Attempt(1), execution: execution.clone() });
    observed(&mut play, &execution, failed());
    assert!(play.target(0).is_unexplained());
}

#[test]
fn a_retry_of_what_was_there_already_keeps_the_execution_that_brought_it() {
    use manifold_core::known::{Good, Known};
    let good = |run: &str, execution: Option<&str>, minutes: i64| Good {
        run: run_id(run),
        release: super::play::release(run, super::play::released_at()),
        fingerprint: run.to_owned(),
        execution: execution.map(|id| id.parse().unwrap()),
        pinned: None,
        at: super::play::released_at().plus(Span::from_minutes(minutes)),
    };
    let first = Known::with(None, key(0), good("one", Some("token-1"), 0)).unwrap();
    let second = Known::with(Some(&first), key(0), good("two", None, 5)).unwrap();
    assert_eq!(second.current.execution.as_ref().map(ExecutionId::as_str), Some("token-1"));
    assert_eq!(second.previous, Some(first.current));
}
