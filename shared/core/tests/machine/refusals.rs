//! The attempt could not be started: given up, or put back and tried again.

use manifold_core::run::{Effect, Outcome, Status, Told, Verdict};
use manifold_core::time::Span;

use super::play::{Answer, DEADLINE, Play, busy, key, later, permanent};

/// How long the start that an answer asks for is delayed.
fn delay(answer: &Answer) -> Option<Span> {
    answer.step.effects.iter().find_map(|effect| match effect {
        Effect::Start { delay, .. } => Some(*delay),
        Effect::Explain { .. }
        | Effect::Summarize { .. }
        | Effect::Activate { .. }
        | Effect::Advance { .. }
        | Effect::Alarms { .. }
        | Effect::Stop { .. }
        | Effect::Open { .. } => None,
    })
}

#[test]
fn a_permanent_refusal_ends_the_target_and_gives_its_slot_to_the_next() {
    let mut play = Play::of(&[(2, 1, 1)]);
    play.claim(0);
    let refused = play.refused(0, 1, permanent(Outcome::Unreachable));
    assert_eq!((refused.told, refused.effects), (Told::Changed, vec!["start 1".to_owned(), "summarize".to_owned()]));
    assert_eq!(play.status(0), Status::Ended(Outcome::Unreachable));
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "AccessDenied on role ManifoldTarget");
    // Its worker died before the start of target 1 was sent, and its message comes again.
    assert_eq!(play.claim(0).effects, ["start 1", "summarize"]);
    assert_eq!(play.refused(0, 1, permanent(Outcome::Failed)).told, Told::TooLate);
}

#[test]
fn a_refusal_is_too_late_once_an_execution_is_known() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.start(0);
    assert_eq!(play.refused(0, 1, permanent(Outcome::Failed)).told, Told::TooLate);
    assert_eq!(play.refused(0, 2, permanent(Outcome::Failed)).told, Told::TooLate, "another attempt");
    assert_eq!(play.status(0), Status::Running);
}

#[test]
fn what_is_put_back_is_queued_again_and_waits_longer_each_time_but_never_more_than_five_minutes() {
    let mut play = Play::of(&[(1, 1, 0)]);
    let mut delays = Vec::new();
    for _ in 0..12 {
        play.claim(0);
        let put_back = play.refused(0, 1, busy());
        assert_eq!((&put_back.told, put_back.effects.len()), (&Told::Changed, 2));
        assert_eq!(play.status(0), Status::Queued);
        assert_eq!(play.target(0).claim, None, "nobody holds it");
        delays.push(delay(&put_back).unwrap().as_millis());
    }
    for (nth, delay) in delays.iter().enumerate() {
        let longest = (5_000 << nth.min(8)).min(300_000);
        assert!((longest / 2..=longest).contains(delay), "{delays:?}");
    }
    assert_eq!(play.target(0).put_back, 12);
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "At its limit", "an operator sees what it waits for");
}

#[test]
fn targets_that_are_put_back_together_do_not_come_back_together() {
    let mut play = Play::of(&[(50, 50, 0)]);
    let mut delays: Vec<Span> = (0..50)
        .map(|index| {
            play.claim(index);
            delay(&play.refused(index, 1, later())).unwrap()
        })
        .collect();
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 40, "{delays:?}");
}

#[test]
fn an_account_that_does_not_answer_for_half_an_hour_is_unreachable() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.refused(0, 1, later());
    play.wait(Span::from_millis(30 * 60_000 - 1));
    play.claim_as(0, 1, "b");
    play.refused(0, 1, later());
    assert_eq!(play.status(0), Status::Queued);
    play.wait(Span::from_millis(1));
    play.claim_as(0, 1, "c");
    let given_up = play.refused(0, 1, later());
    assert_eq!(given_up.effects, ["summarize"]);
    assert_eq!(play.status(0), Status::Ended(Outcome::Unreachable));
    assert_eq!(play.target(0).reason.as_ref().unwrap().cause, "It did not answer");
    assert_eq!(play.verdict(), Some(Verdict::Failed));
}

#[test]
fn a_busy_engine_answers_and_is_waited_for_until_the_deadline() {
    let mut play = Play::of(&[(1, 1, 0)]);
    for _ in 0..3 {
        play.claim(0);
        play.refused(0, 1, busy());
        play.wait(Span::from_minutes(35));
    }
    play.claim(0);
    play.refused(0, 1, later());
    assert_eq!(play.status(0), Status::Queued, "one call got no answer, after the engine had answered for hours");
    play.claim_as(0, 1, "b");
    play.wait(Span::from_minutes(15));
    play.refused(0, 1, busy());
    assert_eq!(play.status(0), Status::Ended(Outcome::TimedOut), "past the deadline");
    assert_eq!(play.verdict(), Some(Verdict::TimedOut));
}

#[test]
fn an_answer_in_between_begins_the_half_hour_anew() {
    let mut play = Play::of(&[(1, 1, 0)]);
    for refusal in [later(), busy(), later()] {
        play.claim(0);
        play.refused(0, 1, refusal);
        play.wait(Span::from_minutes(20));
    }
    assert_eq!(play.status(0), Status::Queued);
}

#[test]
fn past_the_deadline_nothing_is_put_back() {
    let mut play = Play::of(&[(1, 1, 0)]);
    play.claim(0);
    play.wait(DEADLINE);
    assert_eq!(delay(&play.refused(0, 1, later())), None);
    assert_eq!(play.status(0), Status::Ended(Outcome::Unreachable));
}

#[test]
fn a_failure_of_what_was_given_up_is_told_and_not_tried_again() {
    let mut play = Play::with_attempts(&[(2, 1, 1)], 2);
    play.claim(0);
    play.refused(0, 1, permanent(Outcome::Unreachable));
    // The call had gone through after all.
    let mut failed = play.observation(0, 1, manifold_core::event::PipelineState::Failed, Some(1));
    failed.started_by = Some(play.session());
    play.tell(manifold_core::run::Event::Observed(Box::new(failed)));
    assert_eq!(play.status(0), Status::Ended(Outcome::Failed));
    assert_eq!((play.target(0).attempt.0, play.target(0).key.clone()), (1, key(0)));
}
