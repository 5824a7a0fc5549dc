//! The attempt waits for its turn: put back, and certainly not started.

use manifold_core::pace::Api::{AssumeRole, ListPipelineExecutions, StartPipelineExecution};
use manifold_core::run::{Effect, Outcome, Status, Told};
use manifold_core::time::Span;

use super::play::{Answer, DEADLINE, LEASE, Play, busy, later, permanent, wait};

const FRESH: Told = Told::Claimed { look_first: false, may_start: true };

fn delays(answer: &Answer) -> Vec<i64> {
    let delay = |effect: &Effect| match effect {
        Effect::Start { delay, .. } => Some(delay.as_millis() / 1000),
        Effect::Explain { .. }
        | Effect::Summarize { .. }
        | Effect::Activate { .. }
        | Effect::Advance { .. }
        | Effect::Alarms { .. }
        | Effect::Stop { .. }
        | Effect::Open { .. } => None,
    };
    answer.step.effects.iter().filter_map(delay).collect()
}

/// One target that waits so many seconds for its turn to be started.
fn waiting(seconds: i64) -> Play {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    let answer = play.refused(0, 1, wait(StartPipelineExecution, play.now, seconds, false));
    assert_eq!((answer.told.clone(), delays(&answer)), (Told::Changed, vec![seconds]));
    play
}

#[test]
fn what_waits_for_its_turn_is_queued_and_is_claimed_again_without_a_look() {
    let mut play = waiting(40);
    let target = play.target(0);
    assert_eq!((target.status(), target.claim.clone(), target.put_back), (Status::Queued, None, 0));
    play.wait(Span::from_seconds(40));
    assert_eq!(play.claim(0).told, FRESH);
    assert_eq!(play.target(0).turn.unwrap().cuts, 0, "the worker is told its turn");
    play.started(0, 1);
    assert_eq!((play.status(0), play.target(0).turn), (Status::Running, None));
}

#[test]
fn a_message_that_comes_before_its_turn_is_sent_again_for_the_rest_and_changes_nothing() {
    let mut play = waiting(1200);
    play.wait(Span::from_seconds(900));
    let early = play.claim(0);
    assert_eq!((delays(&early), early.step.targets.len()), (vec![300], 0));
    assert!(matches!(early.told, Told::Early { .. }));
    play.wait(Span::from_seconds(300));
    assert_eq!(play.claim(0).told, FRESH);
}

#[test]
fn a_start_that_is_in_doubt_stays_so_until_somebody_looked() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.refused(0, 1, later());
    play.wait(Span::from_minutes(6));
    let look = Told::Claimed { look_first: true, may_start: true };
    assert_eq!(play.claim(0).told, look);
    play.refused(0, 1, wait(ListPipelineExecutions, play.now, 5, false));
    play.wait(Span::from_seconds(5));
    assert_eq!(play.claim(0).told, look, "it only waited to look");
    play.refused(0, 1, wait(AssumeRole, play.now, 5, true));
    play.wait(Span::from_seconds(5));
    assert_eq!(play.claim(0).told, look, "it was throttled before it could look");
    // The look found nothing, and the start waits.
    play.refused(0, 1, wait(StartPipelineExecution, play.now, 5, false));
    play.wait(Span::from_seconds(5));
    assert_eq!(play.claim(0).told, FRESH);
    // This worker dies, perhaps after the start.
    play.wait(LEASE);
    assert_eq!(play.claim_as(0, 1, "b").told, look);
}

#[test]
fn a_throttled_call_started_nothing_and_its_account_is_not_unreachable_while_it_answers_others() {
    let mut play = Play::of(&[(1, 1, 0)]);
    for _ in 0..9 {
        assert_eq!(play.claim(0).told, FRESH);
        play.refused(0, 1, wait(StartPipelineExecution, play.now, 600, true));
        play.wait(Span::from_seconds(600));
    }
    assert_eq!(play.status(0), Status::Queued, "nine calls in 90 minutes, each behind hundreds of others");
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "Throttled by CodePipeline");
    assert_eq!(play.claim(0).told, FRESH);
    play.refused(0, 1, wait(StartPipelineExecution, play.now, 600, true));
    assert_eq!(play.status(0), Status::Ended(Outcome::Unreachable), "the tenth in a row");
}

#[test]
fn ten_throttled_calls_within_minutes_are_waited_out() {
    let mut play = Play::of(&[(1, 1, 0)]);
    for _ in 0..100 {
        play.claim(0);
        play.refused(0, 1, wait(StartPipelineExecution, play.now, 15, true));
        play.wait(Span::from_seconds(15));
    }
    assert_eq!(play.status(0), Status::Queued);
    // Any other answer begins the count anew.
    play.claim(0);
    play.refused(0, 1, busy());
    play.wait(Span::from_minutes(10));
    play.claim(0);
    play.refused(0, 1, wait(StartPipelineExecution, play.now, 15, true));
    assert_eq!((play.status(0), play.target(0).throttled.unwrap().calls), (Status::Queued, 1));
}

#[test]
fn waiting_does_not_count_towards_the_half_hour_of_an_account_that_does_not_answer() {
    let mut play = waiting(40 * 60);
    play.wait(Span::from_minutes(40));
    play.claim(0);
    play.refused(0, 1, later());
    assert_eq!(play.status(0), Status::Queued);
}

#[test]
fn who_still_waits_at_the_deadline_timed_out_and_says_what_for() {
    let mut play = waiting(3 * 3600);
    play.wait(DEADLINE);
    play.deadline();
    assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut));
    let cause = &play.target(0).reason.as_ref().unwrap().cause;
    assert!(cause.starts_with("No turn at CodePipeline before the deadline of 2 h"), "{cause}");

    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.wait(DEADLINE);
    let answer = play.refused(0, 1, wait(StartPipelineExecution, play.now, 5, false));
    assert_eq!((play.status(0), delays(&answer)), (Status::Ended(Outcome::TimedOut), vec![]));
}

#[test]
fn a_halted_run_skips_who_waits_at_the_next_word_of_it() {
    let mut play = Play::of(&[(3, 3, 0)]);
    play.claim(0);
    play.refused(0, 1, wait(StartPipelineExecution, play.now, 600, false));
    play.claim(1);
    play.refused(1, 1, permanent(Outcome::Failed));
    assert_eq!(play.claim(0).told, Told::TooLate);
    assert_eq!(play.status(0), Status::Ended(Outcome::Skipped));
}

#[test]
fn an_attempt_after_a_failure_waits_as_the_first_did() {
    let mut play = Play::with_attempts(&[(1, 1, 0)], 2);
    play.start(0);
    play.observe(0, manifold_core::event::PipelineState::Failed);
    assert_eq!(play.claim_as(0, 2, "a").told, FRESH);
    play.refused(0, 2, wait(StartPipelineExecution, play.now, 60, false));
    // A late event of the first attempt derives its effects again, and does not hurry the second.
    let late = play.observe(0, manifold_core::event::PipelineState::Failed);
    assert_eq!(delays(&late), Vec::<i64>::new());
    play.wait(Span::from_seconds(60));
    assert_eq!(play.claim_as(0, 2, "b").told, FRESH);
}
