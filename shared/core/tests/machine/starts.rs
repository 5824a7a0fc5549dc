//! The engine started an execution, or a worker found one.

use manifold_core::event::PipelineState;
use manifold_core::ids::Attempt;
use manifold_core::run::{Event, Outcome, Status, Told};

use super::play::{Play, execution, key};

#[test]
fn a_started_execution_runs_and_a_duplicate_says_so_again() {
    let mut play = Play::of(&[(2, 2, 0)]);
    play.claim(0);
    let told = play.started(0, 1);
    assert_eq!((told.told, told.effects), (Told::Changed, vec!["summarize".to_owned()]));
    assert_eq!(told.step.head, None, "a start counts nothing: the head is not contended");
    assert_eq!(play.status(0), Status::Running);
    assert_eq!(play.target(0).started_at, Some(play.now));
    let again = play.started(0, 1);
    assert_eq!((again.told, again.effects), (Told::Duplicate, vec!["summarize".to_owned()]));
}

#[test]
fn a_second_execution_of_an_attempt_is_not_ours_to_follow() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    let second = Event::Started { target: key(0), attempt: Attempt(1), execution: execution(9, 9) };
    assert_eq!(play.tell(second).told, Told::Stray("another execution is recorded for this attempt"));
    assert_eq!(play.target(0).execution, Some(execution(0, 1)));
}

#[test]
fn what_was_never_claimed_was_not_started_by_this_run() {
    let mut play = Play::of(&[(1, 1, 0)]);
    assert_eq!(play.started(0, 1).told, Told::Stray("no such target"));
}

#[test]
fn a_start_that_is_told_after_the_deadline_is_recorded_and_changes_no_outcome() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.wait(super::play::DEADLINE);
    play.deadline();
    assert_eq!(play.started(0, 1).told, Told::Changed);
    assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut));
    play.observe(0, PipelineState::Succeeded);
    assert_eq!(play.status(0), Status::Ended(Outcome::Succeeded), "what the engine says goes before what was assumed");
}

// A failed attempt with another one left.

#[test]
fn a_failed_attempt_is_followed_by_another_one_in_the_same_slot() {
    let mut play = Play::with_attempts(&[(2, 1, 0)], 2);
    play.start(0);
    let failed = play.observe(0, PipelineState::Failed);
    assert_eq!(failed.effects, ["start 0 attempt 2", "summarize"], "target 1 still waits for the slot");
    assert_eq!(play.status(0), Status::Queued);
    assert_eq!(play.target(0).past[0].execution, Some(execution(0, 1)));
    assert_eq!(play.claim_as(0, 2, "b").told, Told::Claimed { look_first: false, may_start: true });
    assert_eq!(play.started(0, 2).told, Told::Changed);
    let observation = play.observation(0, 2, PipelineState::Failed, Some(1));
    let failed = play.tell(Event::Observed(Box::new(observation)));
    assert_eq!(failed.effects, ["explain 0", "summarize"], "no attempt is left, and the wave is over its tolerance");
    assert_eq!(play.status(0), Status::Ended(Outcome::Failed));
}

#[test]
fn an_event_of_a_past_attempt_changes_nothing_and_starts_the_current_one_again_while_it_is_queued() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    play.observe(0, PipelineState::Failed);
    let again = play.observe(0, PipelineState::Failed);
    assert_eq!((again.told, again.effects[0].as_str()), (Told::Duplicate, "start 0 attempt 2"));
    play.claim_as(0, 2, "b");
    assert_eq!(play.observe(0, PipelineState::Failed).effects, ["summarize"]);
}

#[test]
fn the_message_of_a_past_attempt_starts_the_current_one_again_while_it_is_queued() {
    // The worker recorded the start and, in the same commit, the failure that had come before it; then it died.
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    play.observe(0, PipelineState::Failed);
    let again = play.claim(0);
    assert_eq!((again.told, again.effects[0].as_str()), (Told::TooLate, "start 0 attempt 2"));
    let again = play.started(0, 1);
    assert_eq!((again.told, again.effects[0].as_str()), (Told::TooLate, "start 0 attempt 2"));
}

#[test]
fn a_stopped_execution_is_not_tried_again() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 3);
    play.start(0);
    play.observe(0, PipelineState::Stopped);
    assert_eq!(play.status(0), Status::Ended(Outcome::Failed), "somebody meant it");
}
